"""Both SageMaker transports against a scripted server: what is sent, what comes back, what is refused."""

import gzip
import json
import logging

import pytest

from sagewire.errors import (
    AccessDenied,
    CredentialsExpired,
    EndpointError,
    EndpointNotFound,
    ModelError,
    NotReady,
    PayloadTooLarge,
    StreamTruncated,
    Throttled,
    UnsupportedFeature,
    UsageError,
)
from sagewire.transports.base import Retries
from sagewire.types import Invocation

CALL = Invocation(b'{"inputs": "x"}', parameters={"TargetVariant": "v1"})
ONCE = Retries(attempts=1)


def test_invoke(server, carry):
    server.script = lambda peer, seen: peer.answer(
        b'{"a": 1}',
        x_amzn_invoked_production_variant="blue",
        x_amzn_sagemaker_custom_attributes="c=1",
        x_amzn_sagemaker_new_session_id="abc; Expires=2026-01-02T03:04:05Z",
    )
    body = carry().invoke(CALL)
    assert body.data == b'{"a": 1}'
    assert body.info.content_type == "application/json"
    assert body.info.request_id == "req-1"
    assert body.info.production_variant == "blue"
    assert body.info.custom_attributes == "c=1"
    assert body.info.new_session_id == "abc"
    assert body.info.event_stream is False
    assert body.info.timings.attempts == 1
    assert 0 < body.info.timings.first_byte <= body.info.timings.total
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/endpoints/my-llm/invocations")
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["x-amzn-sagemaker-target-variant"] == "v1"
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert seen.body == CALL.body


def test_stream(server, carry):
    def script(peer, seen):
        peer.start_chunks()
        for piece in (b"one", b"two", b"three"):
            peer.chunk(piece)
        peer.end_chunks()

    server.script = script
    info, pieces = carry().stream(CALL)
    assert b"".join(pieces) == b"onetwothree"
    assert info.content_type == "text/event-stream"
    assert info.event_stream is True
    assert info.timings.total >= info.timings.first_byte > 0
    (seen,) = server.seen
    assert seen.path == "/endpoints/my-llm/invocations-response-stream"
    assert seen.headers["x-amzn-sagemaker-accept"] == "application/json"
    assert "accept" not in seen.headers


def test_a_container_that_does_not_stream_is_answered_unframed(server, carry):
    server.script = lambda peer, seen: peer.answer(b"[]")
    info, pieces = carry().stream(CALL)
    assert (info.content_type, info.event_stream, pieces) == ("application/json", False, [b"[]"])


def test_pieces_arrive_one_by_one(server, carry):
    """The server sends the next piece only after the client has closed, which it does on the first."""
    closed = []

    def script(peer, seen):
        peer.start_chunks()
        peer.chunk(b"first")
        closed.append(peer.wait_until_closed())

    server.script = script
    _, pieces = carry().stream(CALL, take=1)
    assert pieces == [b"first"]
    assert server.wait_for(lambda: closed == [True])


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_bodies_of_all_sizes(server, carry, size):
    server.script = lambda peer, seen: peer.answer(seen.body[::-1])
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert carry().invoke(Invocation(body)).data == body[::-1]
    assert server.seen[0].body == body


def test_compressed_answers_are_unpacked(server, carry):
    server.script = lambda peer, seen: peer.answer(gzip.compress(b"plain"), content_encoding="gzip")
    carrier = carry()
    assert carrier.invoke(CALL).data == b"plain"
    assert b"".join(carrier.stream(CALL)[1]) == b"plain"


def test_answers_without_a_length_end_with_the_connection(server, carry):
    def script(peer, seen):
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nall of it")
        peer.close()

    server.script = script
    carrier = carry()
    assert carrier.invoke(CALL).data == b"all of it"
    assert b"".join(carrier.stream(CALL)[1]) == b"all of it"


def test_parameters_of_transport_and_call_are_merged(server, carry):
    carrier = carry(parameters={"TargetVariant": "v0", "InferenceComponentName": "ic"})
    carrier.invoke(Invocation(b"{}", parameters={"TargetVariant": "v9", "SessionId": "s", "EnableExplanations": "`x`"}))
    headers = server.seen[0].headers
    assert headers["x-amzn-sagemaker-target-variant"] == "v9"
    assert headers["x-amzn-sagemaker-inference-component"] == "ic"
    assert headers["x-amzn-sagemaker-session-id"] == "s"
    assert headers["x-amzn-sagemaker-enable-explanations"] == "`x`"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"TargetVarient": "x"}, "did you mean 'TargetVariant'"),
        ({"Nonsense": "x"}, "CustomAttributes, EnableExplanations, InferenceComponentName"),
        ({"ContentType": "x"}, "content handler"),
        ({"TargetModel": 7}, "string"),
        ({"CustomAttributes": "a\r\nX-Evil: 1"}, "visible ASCII"),
        ({"CustomAttributes": "caf\u00e9"}, "visible ASCII"),
        ({"CustomAttributes": "x" * 1025}, "1025 characters"),
    ],
)
def test_impossible_parameters_are_refused(server, carry, parameters, said):
    with pytest.raises(UsageError, match=said):
        carry().invoke(Invocation(b"{}", parameters=parameters))
    with pytest.raises(UsageError, match=said):
        carry(parameters=parameters)
    assert server.seen == []


@pytest.mark.parametrize(
    "parameters", [{"TargetModel": "m.tar.gz"}, {"EnableExplanations": "x"}, {"SessionId": "NEW_SESSION"}]
)
def test_what_the_streaming_route_lacks_is_refused(server, carry, parameters):
    with pytest.raises(UnsupportedFeature, match=next(iter(parameters))):
        carry().stream(Invocation(b"{}", parameters=parameters))
    assert server.seen == []


def test_a_body_over_the_limit_is_not_sent(server, carry):
    with pytest.raises(PayloadTooLarge, match=r"11 bytes.*10\. .*Asynchronous"):
        carry(max_request_bytes=10).invoke(Invocation(b"x" * 11))
    assert server.seen == []


def test_a_line_break_in_the_content_type_is_refused(server, carry):
    with pytest.raises(UsageError, match="header"):
        carry().invoke(Invocation(b"{}", content_type="a/b\r\nX-Evil: 1"))
    assert server.seen == []


FAULTS = {
    "unknown endpoint": (
        400,
        "ValidationError",
        {"Message": "Endpoint my-llm of account 1 not found."},
        EndpointNotFound,
    ),
    "access denied": (403, "AccessDeniedException", {"Message": "User is not authorized"}, AccessDenied),
    "bad signature": (403, "InvalidSignatureException", {"message": "The signature does not match"}, AccessDenied),
    "unknown key": (403, "UnrecognizedClientException", {"message": "The token is invalid"}, AccessDenied),
    "expired": (403, "ExpiredTokenException", {"message": "The security token is expired"}, CredentialsExpired),
    "throttled": (400, "ThrottlingException", {"message": "Rate exceeded"}, Throttled),
    "no capacity": (400, "ValidationError", {"Message": "Inference Component has no capacity to process"}, NotReady),
    "not ready": (429, "ModelNotReadyException", {"Message": "Model is loading"}, NotReady),
    "too large": (413, "", {"Message": "too much"}, PayloadTooLarge),
    "failure": (500, "InternalFailure", {"Message": "oops"}, EndpointError),
    "unavailable": (503, "ServiceUnavailable", {"Message": "later"}, EndpointError),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_faults(server, carry, name, how):
    status, code, fields, kind = FAULTS[name]
    server.script = lambda peer, seen: peer.answer(json.dumps(fields).encode(), status, x_amzn_errortype=code)
    with pytest.raises(kind) as caught:
        getattr(carry(retries=ONCE), how)(CALL)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.request_id == "req-1"
    assert "req-1" in str(caught.value)
    if kind is EndpointNotFound:
        assert "my-llm" in str(caught.value)
        assert "us-east-1" in str(caught.value)


def test_a_failed_container_speaks_for_itself(server, carry):
    fields = {
        "Message": 'Received client error (422) from primary with message "...". See https://x',
        "OriginalStatusCode": 422,
        "OriginalMessage": '{"error": "inputs too long"}',
        "LogStreamArn": "arn:x",
    }
    body = json.dumps(fields).encode()
    server.script = lambda peer, seen: peer.answer(body, 424, x_amzn_errortype="ModelError")
    with pytest.raises(ModelError) as caught:
        carry().invoke(CALL)
    assert caught.value.original_status == 422
    assert caught.value.original_message == "inputs too long"
    assert caught.value.log_stream_arn == "arn:x"
    assert "inputs too long" in str(caught.value)
    assert caught.value.fault == "model"
    assert len(server.seen) == 1, "a container's own no is not asked for again"


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_an_html_page_for_an_answer(server, carry, how):
    server.script = lambda peer, seen: peer.answer(b"<html><h1>502 Bad Gateway</h1></html>", 502)
    with pytest.raises(EndpointError, match="502 Bad Gateway"):
        getattr(carry(retries=ONCE), how)(CALL)


def test_something_that_is_not_http(server, carry):
    def script(peer, seen):
        peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")
        peer.close()

    server.script = script
    with pytest.raises(EndpointError):
        carry(retries=ONCE).invoke(CALL)


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nhalf",
    ],
    ids=["length", "between chunks", "inside a chunk"],
)
@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_answer_that_breaks_off(server, carry, bytes_sent, how, end):
    def script(peer, seen):
        peer.send(bytes_sent)
        peer.close() if end == "close" else peer.reset()

    server.script = script
    # A reset may overtake the headers; then the connection was lost before the answer.
    with pytest.raises((StreamTruncated, EndpointError)) as caught:
        getattr(carry(retries=ONCE), how)(CALL)
    if end == "close":
        assert isinstance(caught.value, StreamTruncated)


def test_logs_name_the_request_and_no_secret(server, carry, caplog):
    with caplog.at_level(logging.DEBUG, "sagewire"):
        carry().invoke(CALL)
    assert "req-1" in caplog.text
    assert "my-llm" in caplog.text
    for secret in ("not-a-real-secret", "AWS4-HMAC", "inputs"):
        assert secret not in caplog.text
