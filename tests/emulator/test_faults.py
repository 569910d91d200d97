"""Faults, as real clients feel them."""

import json
import socket
import time
import urllib.error
import urllib.request
from contextlib import closing

import pytest
import urllib3
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EventStreamError,
    HTTPClientError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from urllib3.exceptions import ProtocolError

from sagewire.emulator import FAULTS, EndpointSpec
from sagewire.emulator.faults import make_fault, split_suffix

from .conftest import CONFIG, client_of

TEXT = "Grüße, 世界 🎉! One, two, three, four."
STREAM = {"inputs": TEXT, "parameters": {"return_full_text": False}, "stream": True}
CHAT = {"messages": [{"role": "user", "content": TEXT}], "stream": True}
WHOLE = {"inputs": TEXT, "parameters": {"return_full_text": False}}


@pytest.fixture(scope="module")
def judge(make_judge):
    return make_judge(
        {
            "tgi": "tgi:echo",
            "lmi": "lmi:echo",
            "chat": "openai_chat:echo",
            "throttled": EndpointSpec("tgi", "echo", faults=["throttle:2,7"]),
            "slow": EndpointSpec("tgi", "echo", latency=0.2),
        }
    )


def refusal(call, *arguments, **options):
    with pytest.raises(ClientError) as error:
        call(*arguments, **options)
    return error.value.response


def asked(fault):
    return {"CustomAttributes": f"sagewire-fault={fault}"}


def test_every_fault_says_how_it_is_written():
    for name, fault in FAULTS.items():
        assert fault.__doc__ is not None
        assert fault.__doc__.lstrip("r").startswith(f"`{name}"), name
        assert isinstance(make_fault(name), fault)
        assert split_suffix(f"my-endpoint--{name.replace('_', '-')}") == ("my-endpoint", name)


def plain(judge, endpoint, body):
    return b"".join(judge.parts(endpoint, body))


@pytest.mark.parametrize("fault", ["split_bytes", "split_bytes:3", "split_random:5", "merge", "merge:100", "cut_utf8"])
@pytest.mark.parametrize(("endpoint", "body"), [("tgi", STREAM), ("lmi", STREAM)])
def test_cuts_change_the_parts_and_not_the_bytes(judge, endpoint, body, fault):
    expected, usual = plain(judge, endpoint, body), judge.parts(endpoint, body)
    parts = judge.parts(endpoint, body, **asked(fault))
    assert b"".join(parts) == expected
    assert parts != usual
    if fault == "split_bytes":
        assert {len(part) for part in parts} == {1}
    if fault.startswith("merge"):
        assert len(parts) < len(usual)
    if fault == "cut_utf8":
        cut = [part for part in parts if (part[0] & 0xC0) == 0x80]
        assert len(cut) >= len(TEXT.encode()) - len(TEXT)


def test_line_ends_can_be_missing_and_can_be_windows_own(judge):
    expected = plain(judge, "lmi", STREAM)
    assert b"".join(judge.parts("lmi", STREAM, **asked("no_final_newline"))) == expected.rstrip(b"\n")
    assert b"".join(judge.parts("lmi", STREAM, **asked("crlf"))) == expected.replace(b"\n", b"\r\n")
    commented = b"".join(judge.parts("tgi", STREAM, **asked("keep_alive")))
    assert commented.count(b":\n\ndata:") == plain(judge, "tgi", STREAM).count(b"data:")


@pytest.mark.parametrize(
    ("endpoint", "body", "read"),
    [
        ("tgi", STREAM, lambda parts: json.loads(parts[-1][5:])["error_type"] == "generation"),
        ("lmi", STREAM, lambda parts: json.loads(parts[-1])["details"]["finish_reason"] == "error"),
        (
            "chat",
            CHAT,
            lambda parts: json.loads(parts[-2][6:])["error"]["code"] == 500 and parts[-1] == b"data: [DONE]\n\n",
        ),
    ],
)
def test_a_model_that_fails_mid_stream_is_reported_in_the_containers_words(judge, endpoint, body, read):
    parts = judge.parts(endpoint, body, **asked("error_mid_stream:3"))
    assert len(parts) >= 4
    assert read(parts)


@pytest.mark.parametrize(
    ("fault", "code", "count"),
    [
        ("model_stream_error:2", "ModelStreamError", 2),
        ("model_stream_error:0,ModelInvocationTimeExceeded", "ModelStreamError", 0),
        ("internal_stream_failure:1", "InternalStreamFailure", 1),
        ("unmodelled_error:1", "InternalError", 1),
    ],
)
def test_the_service_reports_errors_in_frames(judge, fault, code, count):
    response = judge.client.invoke_endpoint_with_response_stream(
        EndpointName="tgi", Body=json.dumps(STREAM), ContentType="application/json", **asked(fault)
    )
    seen = []
    with closing(response["Body"]) as events, pytest.raises(EventStreamError) as error:
        seen.extend(event["PayloadPart"]["Bytes"] for event in events)
    assert len(seen) == count
    assert error.value.response["Error"]["Code"] == code


def read(judge, fault):
    """Return the parts read before the error, and the error."""
    response = judge.client.invoke_endpoint_with_response_stream(
        EndpointName="tgi", Body=json.dumps(STREAM), ContentType="application/json", **asked(fault)
    )
    seen = []
    with closing(response["Body"]) as events:
        try:
            seen.extend(event["PayloadPart"]["Bytes"] for event in events)
        except Exception as error:
            return seen, error
    return seen, None


def test_a_frame_can_be_damaged(judge):
    seen, error = read(judge, "bad_crc:2")
    assert isinstance(error, ChecksumMismatch)
    assert len(seen) == 2


@pytest.mark.parametrize("fault", ["close_mid_frame:2", "reset_mid_stream:2"])
def test_the_connection_can_die(judge, fault):
    seen, error = read(judge, fault)
    assert isinstance(error, ProtocolError | HTTPClientError | ResponseStreamingError | ConnectionError), error
    assert len(seen) <= 2


def test_the_body_can_end_early_as_if_it_were_complete(judge):
    whole, _ = read(judge, "")
    short, error = read(judge, "truncate_stream:3")
    assert error is None
    assert short == whole[:3]
    # botocore does not notice half a frame at the end: that is for better clients to do.
    cut, error = read(judge, "truncate_frame:3")
    assert (cut, error) == (whole[:3], None)


def test_throttling_ends_after_so_many_times(judge):
    for _ in range(2):
        response = refusal(judge.invoke, "throttled", WHOLE)
        assert response["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"}
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"
    assert judge.whole("throttled", WHOLE) == [{"generated_text": TEXT}]


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("too_many_requests:1", "ThrottlingException", 429),
        ("not_ready:1", "ModelNotReadyException", 429),
        ("no_capacity:1", "ValidationError", 400),
        ("internal_failure:1", "InternalFailure", 500),
        ("unavailable:1", "ServiceUnavailable", 503),
        ("dependency_failure:1", "InternalDependencyException", 530),
        ("access_denied:1", "AccessDeniedException", 403),
        ("html_502:1", "502", 502),
    ],
)
def test_refusals_of_the_service(judge, fault, code, status):
    name = f"tgi--{fault.replace('_', '-').replace(':', '-')}"
    response = refusal(judge.invoke, name, WHOLE)
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert judge.whole(name, WHOLE) == [{"generated_text": TEXT}]


def test_a_container_fails_in_its_own_words(judge):
    response = refusal(judge.invoke, "tgi", WHOLE, **asked("container_error:500,boom"))
    assert response["OriginalStatusCode"] == 424
    assert "boom" in json.loads(response["OriginalMessage"])["error"]
    assert refusal(judge.invoke, "chat", CHAT, **asked("container_error:503"))["OriginalStatusCode"] == 503
    page = refusal(judge.invoke, "tgi", WHOLE, **asked("container_html"))
    assert page["OriginalMessage"].startswith("<html>")
    late = refusal(judge.invoke, "tgi", WHOLE, **asked("invocation_timeout"))
    assert late["OriginalStatusCode"] == 0
    assert late["Message"].startswith(
        'Received server error (0) from primary with message "Your invocation timed out while waiting for a response'
    )


def test_whole_answers_can_be_wrong(judge):
    whole = judge.invoke("tgi", WHOLE)["Body"].read()
    assert judge.invoke("tgi", WHOLE, **asked("empty_body"))["Body"].read() == b""
    assert judge.invoke("tgi", WHOLE, **asked("truncated_json"))["Body"].read() == whole[: len(whole) // 2]
    assert judge.invoke("tgi", WHOLE, **asked("wrong_content_type"))["ContentType"] == "text/html"
    with pytest.raises((ProtocolError, ResponseStreamingError)):
        judge.invoke("tgi", WHOLE, **asked("close_mid_frame"))


def test_the_connection_can_be_reset_before_the_answer(judge):
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        judge.invoke("tgi", WHOLE, **asked("reset"))


def test_silence_ends_with_the_clients_patience(judge):
    impatient = client_of(judge.emulator, config=CONFIG.merge(Config(read_timeout=0.2)))
    for fault in ("never_answer", "slow_start:5"):
        with pytest.raises(ReadTimeoutError):
            impatient.invoke_endpoint(
                EndpointName="tgi", Body=json.dumps(WHOLE), ContentType="application/json", **asked(fault)
            )
    stream = impatient.invoke_endpoint_with_response_stream(
        EndpointName="tgi", Body=json.dumps(STREAM), ContentType="application/json", **asked("hang:2")
    )
    seen = []
    with closing(stream["Body"]) as events, pytest.raises(urllib3.exceptions.ReadTimeoutError):
        seen.extend(events)
    assert len(seen) == 2


def test_slowness_is_measured_in_seconds(judge):
    def seconds(call):
        start = time.monotonic()
        call()
        return time.monotonic() - start

    assert seconds(lambda: judge.invoke("slow", WHOLE)) >= 0.2
    assert seconds(lambda: judge.invoke("tgi", WHOLE, **asked("slow_start:0.1"))) >= 0.1
    pieces = len(judge.parts("tgi", STREAM))
    assert seconds(lambda: judge.parts("tgi", STREAM, **asked("slow_tokens:0.01"))) >= 0.01 * pieces
    size = len(judge.invoke("tgi", WHOLE)["Body"].read())
    assert seconds(lambda: judge.invoke("tgi", WHOLE, **asked("slow_loris:0.002"))["Body"].read()) >= 0.002 * size


def test_a_plain_server_fails_without_the_words_of_aws(judge):
    def call(fault):
        headers = {"Content-Type": "application/json", "X-Amzn-SageMaker-Custom-Attributes": f"sagewire-fault={fault}"}
        url = f"{judge.emulator.container_url('tgi')}/generate"
        request = urllib.request.Request(url, json.dumps(WHOLE).encode(), headers)
        with pytest.raises(urllib.error.HTTPError) as error, urllib.request.urlopen(request):
            pass
        with error.value:
            return error.value.code, error.value.headers, error.value.read()

    status, headers, _ = call("throttle:1,3")
    assert (status, headers["Retry-After"]) == (429, "3")
    status, _, body = call("container_error:500,boom")
    assert (status, json.loads(body)["error_type"]) == (424, "generation")


def test_a_server_full_of_silent_requests_still_answers(judge):
    address = judge.emulator.url.removeprefix("http://").split(":")
    sockets = [socket.create_connection((address[0], int(address[1]))) for _ in range(50)]
    try:
        for each in sockets:
            each.sendall(b"POST /endpoints/tgi/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert judge.whole("tgi", WHOLE) == [{"generated_text": TEXT}]
    finally:
        for each in sockets:
            each.close()
