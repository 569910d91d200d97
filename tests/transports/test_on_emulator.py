"""All transports on the emulator, which checks signatures and lets credentials expire as AWS does."""

import asyncio
import json
import resource
import time

import boto3
import pytest

from sagewire.aws import credential_providers as recipes
from sagewire.aws.session import assume_role_session, default_session, static_session
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.errors import AccessDenied, CredentialsExpired, EndpointNotFound
from sagewire.streaming.eventstream import EventStreamDecoder
from sagewire.transports.base import Retries
from sagewire.transports.http import AsyncHttpTransport, HttpTransport
from sagewire.transports.sagemaker import AsyncSageMakerTransport, SageMakerTransport
from sagewire.transports.sagemaker.boto3_client import AsyncBoto3Transport, Boto3Transport
from sagewire.types import Invocation

WHOLE = Invocation(json.dumps({"inputs": "Hello", "parameters": {"return_full_text": False}}).encode())
STREAMED = Invocation(json.dumps({"inputs": "Hello", "parameters": {}, "stream": True}).encode())
ONCE = Retries(attempts=1)


class Clock:
    ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture(scope="module")
def emulator(clock):
    with Emulator({"echo": "tgi:echo"}, clock=clock) as emulator:
        emulator.add("theirs", EndpointSpec("tgi", engine="echo", account=emulator.other_account))
        yield emulator


@pytest.fixture
def settings(emulator, monkeypatch):
    for name, value in emulator.environ().items():
        monkeypatch.setenv(name, value)
    return emulator


KINDS = {
    "sagemaker": (SageMakerTransport, AsyncSageMakerTransport),
    "boto3": (Boto3Transport, AsyncBoto3Transport),
    "http": (HttpTransport, AsyncHttpTransport),
}


@pytest.fixture(params=KINDS)
def carry(request, settings, carry_kinds):
    def make(endpoint="echo"):
        kinds = KINDS[request.param]
        if request.param == "http":
            return carry_kinds(*kinds, settings.container_url(endpoint))
        if request.param == "boto3":
            return carry_kinds(*kinds, boto3.client("sagemaker-runtime"), endpoint)
        return carry_kinds(*kinds, endpoint)

    return make


def test_whole(carry):
    path = "/generate" if "Http" in type(carry().transport).__name__ else ""
    body = carry().invoke(Invocation(WHOLE.body, path=path))
    assert b"Hello" in body.data
    assert body.info.content_type.startswith("application/json")


def test_streamed(carry):
    carrier = carry()
    path = "/generate_stream" if "Http" in type(carrier.transport).__name__ else ""
    info, pieces = carrier.stream(Invocation(STREAMED.body, path=path))
    if info.event_stream:
        decoder = EventStreamDecoder()
        pieces = [payload for piece in pieces for payload in decoder.feed(piece)]
        assert decoder.close() == []
    assert info.content_type.startswith("text/event-stream")
    text = b"".join(pieces)
    assert text.startswith(b"data:")
    assert b"Hello" in text


def test_an_endpoint_name_beyond_ascii_is_signed_right(settings, carry_kinds):
    """Encoded once in the path and once more in what is signed: else it would be the signature that is refused."""
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "caf\u00e9 1")
    with pytest.raises(EndpointNotFound):
        carrier.invoke(WHOLE)


def test_an_endpoint_that_does_not_exist(settings, carry_kinds):
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "nope")
    with pytest.raises(EndpointNotFound, match=r"'nope'.*us-east-1"):
        carrier.invoke(WHOLE)


@pytest.mark.parametrize("keys", [("AKIAWRONG", "x"), ("real", "wrong-secret")])
def test_keys_the_service_does_not_accept(settings, carry_kinds, keys):
    access_key = settings.credentials.access_key if keys[0] == "real" else keys[0]
    session = static_session(access_key, keys[1])
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "echo", session=session, retries=ONCE)
    with pytest.raises(AccessDenied) as caught:
        carrier.invoke(WHOLE)
    assert keys[1] not in str(caught.value) or keys[1] == "x"


def test_expired_credentials_that_cannot_be_renewed(settings, carry_kinds, clock, monkeypatch):
    short = settings.issue_credentials(seconds=60)
    session = static_session(short.access_key, short.secret_key, short.session_token)
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "echo", session=session)
    monkeypatch.setattr(clock, "ahead", 61.0)
    with pytest.raises(CredentialsExpired):
        carrier.invoke(WHOLE)


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_role_whose_credentials_die_early_is_taken_on_again(settings, carry_kinds, clock, monkeypatch, how):
    """The client thinks its credentials are good for an hour; the service has let them expire."""
    short = settings.issue_credentials(seconds=60)
    real, given = recipes.AssumeRole._ask, []

    def ask(self, request):
        answer = real(self, request)
        if not given:
            answer["Credentials"] |= {
                "AccessKeyId": short.access_key,
                "SecretAccessKey": short.secret_key,
                "SessionToken": short.session_token,
            }
        given.append(answer["Credentials"]["AccessKeyId"])
        return answer

    monkeypatch.setattr(recipes.AssumeRole, "_ask", ask)
    session = assume_role_session(settings.role_arn, region_name="us-east-1")
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "theirs", session=session, retries=ONCE)
    call = WHOLE if how == "invoke" else STREAMED
    getattr(carrier, how)(call)
    monkeypatch.setattr(clock, "ahead", 61.0)
    getattr(carrier, how)(call)
    assert len(given) == 2
    assert session.source.get().access_key == given[1]


def test_a_cross_account_role_in_one_piece(settings, carry_kinds):
    session = assume_role_session(settings.role_arn, region_name="us-east-1", session_name="tester")
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "theirs", session=session)
    assert b"Hello" in carrier.invoke(WHOLE).data
    client = session.client("sagemaker-runtime")
    answer = client.invoke_endpoint(EndpointName="theirs", Body=WHOLE.body, ContentType="application/json")
    assert b"Hello" in answer["Body"].read()
    client.close()


def test_sessions_of_boto3(settings, carry_kinds):
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "echo", session=boto3.Session())
    assert b"Hello" in carrier.invoke(WHOLE).data
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "echo", session=default_session())
    assert b"Hello" in carrier.invoke(WHOLE).data


def test_a_large_stream_in_little_memory(server, carry_kinds, session):
    """128 MB go by; what the process holds at its peak does not grow with them."""
    piece = b"x" * 65_536

    def script(peer, seen):
        peer.start_chunks()
        for _ in range(2048):
            peer.chunk(piece)
        peer.end_chunks()

    server.script = script
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "big", session=session, endpoint_url=server.url)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def count():
        total = 0
        with carrier.transport.stream(WHOLE) as stream:
            for data in stream:
                total += len(data)
        return total

    async def count_async():
        total = 0
        async with carrier.transport.stream(WHOLE) as stream:
            async for data in stream:
                total += len(data)
        return total

    total = count() if carrier.flavour == "sync" else asyncio.run(count_async())
    assert total == 2048 * 65_536
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000
