"""The sync transport against a scripted server."""

import pytest

from sagewire.errors import EndpointError, EndpointNotFound, ModelError, PayloadTooLarge, UnsupportedFeature, UsageError
from sagewire.transports.base import Retries, Timeouts
from sagewire.transports.sagemaker import SageMakerTransport
from sagewire.types import Invocation

CALL = Invocation(b'{"inputs": "x"}', parameters={"TargetVariant": "v1"})


@pytest.fixture
def transport(server, session):
    transport = SageMakerTransport("my-llm", session=session, endpoint_url=server.url)
    yield transport
    transport.close()


def test_invoke(server, transport):
    server.script = lambda peer, seen: peer.answer(
        b'{"a": 1}', x_amzn_invoked_production_variant="blue", x_amzn_sagemaker_custom_attributes="c=1"
    )
    body = transport.invoke(CALL)
    assert body.data == b'{"a": 1}'
    assert body.info.content_type == "application/json"
    assert body.info.request_id == "req-1"
    assert body.info.production_variant == "blue"
    assert body.info.custom_attributes == "c=1"
    assert body.info.event_stream is False
    assert body.info.timings.attempts == 1
    assert 0 < body.info.timings.first_byte <= body.info.timings.total
    (seen,) = server.seen
    assert seen.path == "/endpoints/my-llm/invocations"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["x-amzn-sagemaker-target-variant"] == "v1"
    assert seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert seen.body == CALL.body


def test_stream(server, transport):
    def script(peer, seen):
        peer.start_chunks()
        for piece in (b"one", b"two", b"three"):
            peer.chunk(piece)
        peer.end_chunks()

    server.script = script
    with transport.stream(CALL) as stream:
        assert stream.info.content_type == "text/event-stream"
        assert stream.info.event_stream is True
        assert b"".join(stream) == b"onetwothree"
    assert stream.info.timings.total > 0
    with transport.stream(CALL) as stream:
        assert b"".join(stream) == b"onetwothree"
    assert server.opened == 1, "a connection that was read to its end is used again"
    assert server.seen[0].path == "/endpoints/my-llm/invocations-response-stream"
    assert server.seen[0].headers["x-amzn-sagemaker-accept"] == "application/json"
    assert "accept" not in server.seen[0].headers
