"""Emulators of their own for the emulator's tests, and boto3 clients without retries to judge them."""

import io
import json
from contextlib import closing

import boto3
import pytest
from botocore.config import Config

from sagewire.emulator import Emulator

# Without validation, botocore sends what the service itself should refuse.
CONFIG = Config(
    retries={"max_attempts": 0, "mode": "standard"}, read_timeout=10, proxies={}, parameter_validation=False
)
# Clients stay referenced until they are closed, so that none is collected with a connection open.
CLIENTS = []


def client_of(emulator, service="sagemaker-runtime", credentials=None, **options):
    """Return a boto3 client that talks to an emulator with the given credentials."""
    keys = credentials or emulator.credentials
    client = boto3.client(
        service,
        region_name=options.pop("region_name", emulator.region),
        endpoint_url=emulator.url,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.session_token,
        config=options.pop("config", CONFIG),
        **options,
    )
    CLIENTS.append(client)
    return client


@pytest.fixture(scope="session", autouse=True)
def close_clients():
    yield
    for client in CLIENTS:
        client.close()


class Judge:
    """A boto3 client for one emulator, with JSON in and out."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.client = client_of(emulator)

    def invoke(self, endpoint, body, **options):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        options = {"ContentType": "application/json", **options}
        response = self.client.invoke_endpoint(EndpointName=endpoint, Body=data, **options)
        with closing(response["Body"]) as body:
            return response | {"Body": io.BytesIO(body.read())}

    def whole(self, endpoint, body, **options):
        return json.loads(self.invoke(endpoint, body, **options)["Body"].read())

    def parts(self, endpoint, body, **options):
        response = self.client.invoke_endpoint_with_response_stream(
            EndpointName=endpoint, Body=json.dumps(body).encode(), ContentType="application/json", **options
        )
        with closing(response["Body"]) as events:
            return [event["PayloadPart"]["Bytes"] for event in events]


@pytest.fixture(scope="module")
def make_judge():
    """Start emulators that live as long as the module's tests."""
    running = []

    def make(endpoints, **options):
        emulator = Emulator(endpoints, **options)
        emulator.start()
        running.append(emulator)
        return Judge(emulator)

    yield make
    for emulator in running:
        emulator.stop()
