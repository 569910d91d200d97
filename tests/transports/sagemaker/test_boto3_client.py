"""The transports over a caller's own client: real boto3, real frames, the scripted server."""

import asyncio
import gc
import json
import pickle
import threading
import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from sagewire import Client
from sagewire.errors import (
    AccessDenied,
    EndpointError,
    EndpointNotFound,
    EndpointTimeout,
    FrameError,
    ModelError,
    ModelStreamError,
    NotReady,
    StreamTruncated,
    Throttled,
    UnsupportedFeature,
    UsageError,
)
from sagewire.streaming.eventstream import encode_exception, encode_payload_part
from sagewire.transports.base import Retries
from sagewire.transports.sagemaker.boto3_client import AsyncBoto3Transport, Boto3Transport
from sagewire.types import Invocation

CALL = Invocation(b'{"inputs": "x"}', parameters={"TargetVariant": "v1"})


def make_client(url, **config):
    return boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="not-a-real-secret",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


class Carrier:
    def __init__(self, flavour, client, **options):
        self.flavour = flavour
        kind = Boto3Transport if flavour == "sync" else AsyncBoto3Transport
        self.transport = kind(client, "my-llm", **options)

    def invoke(self, call):
        return self.transport.invoke(call) if self.flavour == "sync" else asyncio.run(self.transport.invoke(call))

    def stream(self, call, take=None):
        if self.flavour == "async":
            return asyncio.run(self._stream(call, take))
        pieces = []
        with self.transport.stream(call) as stream:
            for piece in stream:
                pieces.append(piece)
                if len(pieces) == take:
                    break
        return stream.info, pieces

    async def _stream(self, call, take):
        pieces = []
        async with self.transport.stream(call) as stream:
            async for piece in stream:
                pieces.append(piece)
                if len(pieces) == take:
                    break
        return stream.info, pieces


@pytest.fixture(params=["sync", "async"])
def carry(request, server):
    clients = []

    def make(url=None, *, client=None, config=None, **options):
        clients.append(client or make_client(url or server.url, **(config or {})))
        return Carrier(request.param, clients[-1], **options)

    yield make
    for client in clients:
        client.close()


def test_invoke(server, carry):
    server.script = lambda peer, seen: peer.answer(
        b'{"a": 1}', x_amzn_invoked_production_variant="blue", x_amzn_sagemaker_new_session_id="abc; Expires=x"
    )
    body = carry(parameters={"InferenceComponentName": "ic"}).invoke(CALL)
    assert body.data == b'{"a": 1}'
    assert (body.info.content_type, body.info.request_id) == ("application/json", "req-1")
    assert (body.info.production_variant, body.info.new_session_id) == ("blue", "abc")
    assert body.info.timings.total > 0
    headers = server.seen[0].headers
    assert headers["x-amzn-sagemaker-inference-component"] == "ic"
    assert headers["x-amzn-sagemaker-target-variant"] == "v1"


def test_stream(server, carry):
    def script(peer, seen):
        peer.start_chunks()
        for piece in (b"one", b"", b"two"):
            peer.chunk(encode_payload_part(piece))
        peer.end_chunks()

    server.script = script
    info, pieces = carry().stream(CALL)
    assert pieces == [b"one", b"two"]
    assert (info.content_type, info.event_stream, info.request_id) == ("text/event-stream", False, "req-1")
    assert info.timings.total > 0


def test_a_long_stream_through_a_full_queue(server, carry):
    """More than may wait: the worker has to stop and go on."""
    part = encode_payload_part(b"x" * 100_000)

    def script(peer, seen):
        peer.start_chunks()
        for _ in range(60):
            peer.chunk(part)
        peer.end_chunks()

    server.script = script
    _, pieces = carry().stream(CALL)
    assert sum(map(len, pieces)) == 6_000_000


def test_leaving_early_closes_the_connection(server, carry):
    closed = []

    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(encode_payload_part(b"first"))
        closed.append(peer.wait_until_closed())

    server.script = script
    _, pieces = carry().stream(CALL, take=1)
    assert pieces == [b"first"]
    assert server.wait_for(lambda: closed == [True])


def test_a_cancelled_task_closes_the_connection_and_ends_its_thread(server):
    closed = []
    started = threading.Event()

    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(encode_payload_part(b"first"))
        started.set()
        closed.append(peer.wait_until_closed())

    server.script = script
    client = make_client(server.url)
    transport = AsyncBoto3Transport(client, "my-llm")

    async def read():
        async with transport.stream(CALL) as stream:
            async for _ in stream:
                pass

    async def main():
        task = asyncio.create_task(read())
        await asyncio.to_thread(started.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert server.wait_for(lambda: closed == [True])
    assert server.wait_for(lambda: not [t for t in threading.enumerate() if t.name == "sagewire-stream"])
    client.close()


def test_a_forgotten_stream_is_collected(server):
    closed = []

    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(encode_payload_part(b"first"))
        closed.append(peer.wait_until_closed(30))

    server.script = script
    client = make_client(server.url)

    async def main():
        stream = AsyncBoto3Transport(client, "my-llm").stream(CALL)
        await stream.__aenter__()

    asyncio.run(main())
    gc.collect()
    assert server.wait_for(lambda: closed == [True], 30)
    assert server.wait_for(lambda: not [t for t in threading.enumerate() if t.name == "sagewire-stream"], 30)
    client.close()


def test_the_loop_goes_on_while_boto3_waits(server):
    answer = threading.Event()

    def script(peer, seen):
        answer.wait(5)
        peer.answer()

    server.script = script
    client = make_client(server.url)

    async def main():
        task = asyncio.create_task(AsyncBoto3Transport(client, "my-llm").invoke(CALL))
        for _ in range(10):
            await asyncio.sleep(0)
        answer.set()
        await task

    asyncio.run(main())
    client.close()


FAULTS = [
    (400, "ValidationError", {"Message": "Endpoint my-llm of account 1 not found."}, EndpointNotFound),
    (400, "ValidationError", {"Message": "Inference Component has no capacity to process"}, NotReady),
    (403, "AccessDeniedException", {"Message": "no"}, AccessDenied),
    (400, "ThrottlingException", {"Message": "slow down"}, Throttled),
    (429, "ModelNotReadyException", {"Message": "loading"}, NotReady),
    (500, "InternalFailure", {"Message": "oops"}, EndpointError),
    (502, "", {}, EndpointError),
]


@pytest.mark.parametrize(("status", "code", "fields", "kind"), FAULTS)
@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_faults(server, carry, status, code, fields, kind, how):
    server.script = lambda peer, seen: peer.answer(json.dumps(fields).encode(), status, x_amzn_errortype=code)
    with pytest.raises(kind) as caught:
        getattr(carry(), how)(CALL)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.request_id == "req-1"


def test_a_failed_container(server, carry):
    fields = {
        "Message": 'Received server error (503) from primary with message "x". See https://y',
        "OriginalStatusCode": 503,
        "OriginalMessage": '{"error": "overloaded", "error_type": "overloaded"}',
        "LogStreamArn": "arn:x",
    }
    server.script = lambda peer, seen: peer.answer(json.dumps(fields).encode(), 424, x_amzn_errortype="ModelError")
    with pytest.raises(ModelError, match="overloaded") as caught:
        carry().invoke(CALL)
    error = caught.value
    assert (error.original_status, error.original_message, error.log_stream_arn) == (503, "overloaded", "arn:x")
    assert error.retry_safe


def test_waiting_until_ready(server, carry):
    def script(peer, seen):
        ready = len(server.seen) == 3
        peer.answer(b"ok" if ready else b"{}", 200 if ready else 429, x_amzn_errortype="ModelNotReadyException")

    server.script = script
    carrier = carry(retries=Retries(max_delay=0.01, wait_for_ready=30))
    assert carrier.invoke(CALL).data == b"ok"


def test_error_events_of_a_stream(server, carry):
    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(encode_payload_part(b"some"))
        peer.chunk(encode_exception("ModelStreamError", b'{"Message": "broke", "ErrorCode": "StreamBroken"}'))
        peer.end_chunks()

    server.script = script
    with pytest.raises(ModelStreamError, match="broke") as caught:
        carry().stream(CALL)
    assert caught.value.code in ("ModelStreamError", "modelStreamError")


def test_a_damaged_frame(server, carry):
    frame = bytearray(encode_payload_part(b"some"))
    frame[-1] ^= 1

    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(bytes(frame))
        peer.end_chunks()

    server.script = script
    with pytest.raises(FrameError):
        carry().stream(CALL)


def test_a_stream_that_breaks_off(server, carry):
    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(encode_payload_part(b"some"))
        peer.close()

    server.script = script
    with pytest.raises(StreamTruncated):
        carry().stream(CALL)


def test_time_limits_are_the_clients(server, carry):
    server.script = lambda peer, seen: peer.wait_until_closed(10)
    with pytest.raises(EndpointTimeout) as caught:
        carry(config={"read_timeout": 0.1}).invoke(CALL)
    assert caught.value.code == "first_byte"

    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(encode_payload_part(b"some"))
        peer.wait_until_closed(10)

    server.script = script
    started = time.monotonic()
    with pytest.raises(EndpointTimeout) as caught:
        carry(config={"read_timeout": 0.1}).stream(CALL)
    assert caught.value.code == "idle"
    assert time.monotonic() - started < 3


def test_nobody_listens(carry):
    with pytest.raises(EndpointError, match="cannot connect") as caught:
        carry("http://127.0.0.1:1").invoke(CALL)
    assert caught.value.retry_safe


def test_a_connection_lost(server, carry):
    server.script = lambda peer, seen: peer.close()
    with pytest.raises(EndpointError) as caught:
        carry().invoke(CALL)
    assert caught.value.code == "connection_lost"


def test_no_credentials(server, carry):
    client = boto3.Session().client("sagemaker-runtime", region_name="us-east-1", endpoint_url=server.url)
    with pytest.raises(AccessDenied):
        carry(client=client).invoke(CALL)


def test_stubs_work(carry):
    client = make_client("http://127.0.0.1:1")
    with Stubber(client) as stubber:
        stubber.add_client_error("invoke_endpoint", "ModelNotReadyException", http_status_code=429)
        with pytest.raises(NotReady):
            carry(client=client).invoke(CALL)


def test_hooks_work(server, carry):
    client = make_client(server.url)

    def add(params, **_):
        params["headers"]["X-Hook"] = "yes"

    client.meta.events.register("before-call.sagemaker-runtime.*", add)
    carry(client=client).invoke(CALL)
    assert server.seen[0].headers["x-hook"] == "yes"


def test_parameters_are_checked(server, carry):
    with pytest.raises(UsageError, match="TargetVariant"):
        carry().invoke(Invocation(b"{}", parameters={"TargetVarient": "x"}))
    with pytest.raises(UsageError, match="name the endpoint"):
        carry().invoke(Invocation(b"{}", parameters={"EndpointName": "x"}))
    with pytest.raises(UnsupportedFeature):
        carry().stream(Invocation(b"{}", parameters={"TargetModel": "x"}))
    assert server.seen == []


def test_what_boto3_itself_refuses_is_a_usage_error(server, carry):
    with pytest.raises(UsageError, match="TargetModel"):
        carry().invoke(Invocation(b"{}", parameters={"TargetModel": ""}))


def test_a_client_of_another_service():
    client = boto3.client("sts", region_name="us-east-1")
    with pytest.raises(UsageError, match="sagemaker-runtime"):
        Boto3Transport(client, "my-llm")
    client.close()


@pytest.mark.parametrize(
    ("operation", "ask"),
    [
        ("invoke_endpoint", lambda client: client.chat("x")),
        ("invoke_endpoint", lambda client: client.embed(["x"])),
        ("invoke_endpoint_with_response_stream", lambda client: list(client.stream("x"))),
    ],
)
def test_a_clients_errors_stay_those_of_boto3_too(operation, ask):
    own = make_client("http://127.0.0.1:1")
    client = Client("my-llm", client=own, handler="tei" if "embed" in ask.__code__.co_names else "openai_chat")
    with Stubber(own) as stub:
        stub.add_client_error(operation, "ModelError", "boom", http_status_code=424)
        with pytest.raises(own.exceptions.ModelError) as caught:
            ask(client)
    error = caught.value
    assert isinstance(error, ModelError)
    assert error.response["Error"]["Code"] == "ModelError"
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, ClientError)
    assert isinstance(again, ModelError)
    assert str(again) == str(error)


def test_so_do_refused_connections():
    client = Client("my-llm", client=make_client("http://127.0.0.1:1"), handler="openai_chat")
    with pytest.raises(EndpointConnectionError) as caught:
        client.chat("x")
    assert isinstance(caught.value, EndpointError)
