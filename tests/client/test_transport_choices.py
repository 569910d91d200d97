"""`transport=`: the ways calls can travel, as objects, and the short spellings for them."""

import io
import pickle
from dataclasses import fields

import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody
from botocore.stub import Stubber

import sagewire
from sagewire import (
    AsyncClient,
    AsyncInference,
    Boto3,
    Client,
    Http,
    Options,
    Retries,
    Timeouts,
    UsageError,
    errors,
    types,
)
from sagewire.testing import FakeTransport


async def test_a_server_by_its_url_in_both_spellings(emulator):
    url = emulator.container_url("vllm")
    for client in (Client(url=url), Client(transport=Http(url))):
        assert client.chat("Hi").text == "Hi"
        assert client.target == url
    assert (await AsyncClient(transport=Http(url, headers={"X-Tenant": "blue"})).chat("Hi")).text == "Hi"
    assert emulator.calls[-1].headers["x-tenant"] == "blue"
    assert pickle.loads(pickle.dumps(Client(transport=Http(url)))).chat("Hi").text == "Hi"


async def test_a_boto3_client_in_both_spellings(emulator):
    runtime = boto3.client("sagemaker-runtime")
    for arguments in ({"client": runtime}, {"transport": Boto3(runtime)}):
        client = Client("vllm", handler="openai_chat", **arguments)
        assert client.chat("Hi").text == "Hi"
        assert (await client.to_async().chat("Hi")).text == "Hi"
        with pytest.raises(UsageError, match="cannot be pickled"):
            pickle.dumps(client)


def test_another_way_for_the_same_endpoint(emulator):
    client = Client("vllm", handler="openai_chat", options={"max_tokens": 9})
    through_boto3 = client.with_transport(Boto3(boto3.client("sagemaker-runtime")))
    assert through_boto3.chat("Hi").text == client.chat("Hi").text == "Hi"
    assert emulator.calls[-1].json["max_tokens"] == emulator.calls[-2].json["max_tokens"] == 9
    queued = client.with_transport(AsyncInference(upload_to="s3://bucket/in"), retries=1)
    assert (queued.target, type(queued)) == ("vllm", Client)


def test_secrets_are_not_shown_or_pickled():
    choice = Http("https://llm.example.org", "hidden-token", {"X-Key": "hidden-key"})
    assert "hidden" not in repr(choice)
    assert "hidden" not in repr(Client(transport=choice))
    with pytest.raises(UsageError, match="never pickled"):
        pickle.dumps(choice)
    with pytest.raises(UsageError, match="never pickled"):
        pickle.dumps(Client(url="https://llm.example.org", token="hidden-token", handler="openai_chat"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "name the endpoint"),
        ({"transport": AsyncInference()}, "name the endpoint"),
        ({"transport": Boto3(object())}, "name the endpoint"),
        ({"endpoint": "a", "transport": Http("https://b")}, "not both"),
        ({"url": "https://a", "transport": Http("https://b")}, "url= and transport= are two ways"),
        ({"url": "https://a", "client": object()}, "url= and client= are two ways"),
        ({"endpoint": "a", "token": "secret"}, "token= goes with url="),
        ({"endpoint": "a", "transport": "async-inference"}, r"give AsyncInference\(\)"),
    ],
)
def test_contradictions_are_told_at_once(arguments, message):
    with pytest.raises(UsageError, match=message):
        Client(**arguments)


RUNTIME = boto3.client("sagemaker-runtime", "eu-west-1", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="s")
ACCOUNT = [
    {"region_name": "us-east-1"},
    {"session": boto3.Session()},
    {"profile_name": "p"},
    {"aws_access_key_id": "a", "aws_secret_access_key": "b"},
    {"config": Config(read_timeout=5)},
    {"endpoint_url": "https://runtime.example.org"},
]
PARAMETERS = [{"endpoint_kwargs": {"TargetModel": "m"}}, {"inference_component_name": "c"}]
PATIENCE = [{"timeout": 5}, {"retries": 2}, {"timeout": Timeouts(total=9)}, {"retries": Retries(resend=True)}]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("way", "arguments"),
    [({"url": "http://127.0.0.1:9"}, given) for given in (*ACCOUNT, *PARAMETERS)]
    + [({"endpoint": "a", "client": RUNTIME}, given) for given in (*ACCOUNT, *PATIENCE)]
    + [
        ({"endpoint": "a", "transport": FakeTransport(b"")}, given)
        for given in (*ACCOUNT, *PARAMETERS, *PATIENCE, {"max_response_bytes": 9})
    ],
)
def test_what_cannot_take_effect_is_refused(kind, way, arguments):
    name = next(iter(arguments))
    with pytest.raises(UsageError, match=f"{name}= has no effect here"):
        kind(handler="openai_chat", **way, **arguments)


def test_what_takes_effect_beside_a_boto3_client():
    waits = Retries(wait_for_ready=60)
    for client in (
        Client("a", client=RUNTIME, region_name="eu-west-1", retries=waits, endpoint_kwargs={"TargetModel": "m"}),
        Client("arn:aws:sagemaker:eu-west-1:123456789012:endpoint/a", client=RUNTIME, max_response_bytes=9),
    ):
        assert client.target == "a"
    with pytest.raises(UsageError, match="region_name= has no effect"):
        Client("arn:aws:sagemaker:us-east-1:123456789012:endpoint/a", client=RUNTIME)
    told = []
    retries = Retries(wait_for_ready=60, max_delay=0.0, on_retry=lambda attempt, error, delay: told.append(attempt))
    runtime = boto3.client("sagemaker-runtime", "eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(runtime) as stubber:
        stubber.add_client_error("invoke_endpoint", "ModelNotReadyException", http_status_code=429)
        body = io.BytesIO(b'[{"generated_text": "Hi"}]')
        stubber.add_response("invoke_endpoint", {"Body": StreamingBody(body, 26), "ContentType": "application/json"})
        assert Client("a", client=runtime, handler="tgi", retries=retries).complete("x").text == "Hi"
    assert told == [1]


def test_a_transport_of_ones_own_needs_no_endpoint():
    assert Client(transport=FakeTransport(b'[{"generated_text": "Hi"}]'), handler="tgi").complete("a").text == "Hi"


def test_whatever_is_caught_or_annotated_is_a_name_of_the_package():
    deltas = {name for name in types.__all__ if name.endswith("Delta")}
    errors_raised = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    values = {
        "Reply",
        "ReplyStream",
        "AsyncReplyStream",
        "JsonHandler",
        "PromptFormat",
        "Timeouts",
        "Retries",
        "Options",
    }
    assert deltas | errors_raised | values <= {*sagewire.__all__}


def test_help_names_the_settings():
    for option in fields(Options):
        assert f"`{option.name}`" in (Client.chat.__doc__ or "")
