"""The pure half of error handling: codes, messages, and the words a container wraps them in."""

import json
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagewire.errors import (
    AccessDenied,
    CredentialsExpired,
    EndpointError,
    EndpointNotFound,
    ModelError,
    NotReady,
    PayloadTooLarge,
    Throttled,
)
from sagewire.http.errors import retry_after_of, timeout_error
from sagewire.transports.container_errors import container_body, container_message, unwrap
from sagewire.transports.http.http_errors import http_error
from sagewire.transports.sagemaker.service_errors import ServiceError, error_of, service_error_of

TAIL = (
    ". See https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:"
    "group=/aws/sagemaker/Endpoints/e in account 1 for more information."
)

CONTAINER_BODIES = {
    "a string": ('"CUDA out of memory"', "CUDA out of memory"),
    "plain text": ("CUDA out of memory", "CUDA out of memory"),
    "TGI": (
        '{"error":"Input validation error: `inputs` tokens + 1","error_type":"validation"}',
        "Input validation error: `inputs` tokens + 1",
    ),
    "OpenAI": (
        '{"error":{"message":"maximum context length","type":"BadRequestError","code":400}}',
        "maximum context length",
    ),
    "vLLM before 0.9": ('{"object":"error","message":"too long","type":"BadRequestError","code":400}', "too long"),
    "MMS": (
        '{\n  "code": 400,\n  "type": "InternalServerException",\n  "message": "\\u0027inputs\\u0027"\n}\n',
        "'inputs'",
    ),
    "FastAPI": ('{"detail":"Not Found"}', "Not Found"),
    "FastAPI validation": ('{"detail":[{"loc":["body"],"msg":"field required","type":"missing"}]}', "field required"),
    "Hugging Face": ('{"errors":[{"message":"a"},{"message":"b"}]}', "a; b"),
    "a list": ('["one", "two"]', "one; two"),
    "Triton": ('{"error":"unexpected inference input"}', "unexpected inference input"),
    "no known field": ('{"status": 7}', '{"status": 7}'),
    "empty": ("", ""),
    "cut JSON": ('{"error":"was cu', '{"error":"was cu'),
}


@pytest.mark.parametrize("name", CONTAINER_BODIES)
def test_what_containers_say(name):
    body, words = CONTAINER_BODIES[name]
    assert container_message(body) == words


CUT_CALL = "the model's tool call ended early, as a rule at max_tokens: raise max_tokens"


@pytest.mark.parametrize(
    ("said", "cut"),
    [
        ("EOF while parsing an object at line 1 column 203", True),
        ('Tool error: Failed to parse generated text: EOF while parsing a string at line 1 column 9 "{\\"f"', True),
        ("Failed to parse the request body as JSON: EOF while parsing a value at line 1 column 0", False),
        ("EOF while parsing a value at line 1 column 0", False),
    ],
)
def test_a_tool_call_that_was_cut_off_names_the_limit(said, cut):
    body = json.dumps({"error": said, "error_type": "generation"})
    assert container_message(body) == (f"{said} ({CUT_CALL})" if cut else said)
    wrapped = json.dumps({"OriginalStatusCode": 424, "OriginalMessage": body, "Message": "m"}).encode()
    for error in (error_of(service_error_of(424, {}, wrapped)), http_error(424, {}, body.encode(), url="http://x")):
        assert ("raise max_tokens" in str(error)) is cut


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_any_json_yields_text(value):
    assert isinstance(container_message(json.dumps(value)), str)


@given(st.binary(), st.integers(300, 599))
def test_any_bytes_yield_an_error(body, status):
    for error in (error_of(service_error_of(status, {}, body)), http_error(status, {}, body, url="http://x")):
        assert isinstance(error, EndpointError)
        assert error.status == status
        assert len(str(error)) < 3000


@pytest.mark.parametrize("container", ["primary", "model", "Kl6NPmsGIHdsibbMO7hO"])
def test_the_sentence_around_a_container_body(container):
    body = '{"error":"he said \\"no\\". See https://docs"}'
    message = f'Received client error (422) from {container} with message "{body}"{TAIL}'
    assert unwrap(message) == (422, body)
    assert container_body(message, None) == body
    assert container_body(message, "better") == "better"


def test_a_body_that_could_not_be_loaded():
    message = f"Received server error (500) from primary and could not load the entire response body{TAIL}"
    error = error_of(ServiceError("ModelError", message, 424))
    assert isinstance(error, ModelError)
    assert error.original_status == 500
    assert "could not load" in error.original_message
    assert "cloudwatch" not in error.original_message


def test_sixty_seconds():
    message = (
        'Received server error (0) from primary with message "Your invocation timed out while waiting for a response '
        f'from container primary. Review the latency metrics"{TAIL}'
    )
    error = error_of(ServiceError("ModelError", message, 424, fields={"OriginalStatusCode": 0, "OriginalMessage": ""}))
    assert isinstance(error, ModelError)
    assert error.original_status == 0
    assert "60 s" in str(error)
    assert "stream_internally=True" in str(error)
    assert not error.retry_safe


@pytest.mark.parametrize(("status", "again"), [(400, False), (422, False), (429, True), (500, False), (503, True)])
def test_which_container_errors_may_pass(status, again):
    assert error_of(ServiceError("ModelError", "x", 424, fields={"OriginalStatusCode": status})).retry_safe is again


@pytest.mark.parametrize("code", ["ExpiredTokenException", "ExpiredToken", "RequestExpired"])
def test_expired(code):
    error = error_of(ServiceError(code, "expired", 403))
    assert isinstance(error, CredentialsExpired)
    assert isinstance(error, AccessDenied)
    assert not error.retry_safe


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"x-amzn-errortype": "ValidationError:http://internal.amazon.com/coral/"}, b"{}", "ValidationError"),
        ({}, b'{"__type": "com.amazonaws.sagemaker#ThrottlingException"}', "ThrottlingException"),
        ({}, b'{"code": "InternalFailure"}', "InternalFailure"),
        ({}, b'{"error": {"message": "m", "type": "server_error", "code": "model_error"}}', "model_error"),
        ({}, b"not json", ""),
        ({}, b"[1]", ""),
    ],
)
def test_where_the_code_is(headers, body, code):
    assert service_error_of(400, headers, body).code == code


def test_the_openai_routes_envelope():
    words = f'Received client error (400) from ic with message "{{\\"error\\": \\"too long\\"}}"{TAIL}'
    body = b'{"error": {"message": %s, "type": "server_error", "code": "model_error"}}'
    error = error_of(service_error_of(400, {}, body % json.dumps(words).encode()))
    assert isinstance(error, ModelError)
    assert error.original_status == 400
    error = error_of(
        service_error_of(
            400, {}, b'{"error":{"message":"Endpoint x of account 1 not found.","code":"validation_error"}}'
        )
    )
    assert isinstance(error, EndpointNotFound)


@pytest.mark.parametrize(
    "message",
    [
        "Endpoint x of account 123456789012 not found.",
        "Could not find endpoint x",
        "Inference component y of account 1 not found",
    ],
)
def test_not_found_names_endpoint_and_region(message):
    error = error_of(ServiceError("ValidationError", message, 400, endpoint="x", region="eu-west-1"))
    assert isinstance(error, EndpointNotFound)
    assert "'x'" in str(error)
    assert "eu-west-1" in str(error)


def test_too_large():
    text = "Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 6291456"
    assert isinstance(error_of(ServiceError("ValidationError", text, 400)), PayloadTooLarge)


def test_no_capacity_may_pass():
    error = error_of(
        ServiceError("ValidationError", "Inference Component has no capacity to process this request.", 400)
    )
    assert isinstance(error, NotReady)
    assert error.retry_safe
    assert "wait_for_ready" in str(error)


def test_429_without_a_code_is_throttling():
    assert isinstance(error_of(ServiceError("", "slow down", 429)), Throttled)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("nan", 0.0), ("inf", 0.0), ("soon", None), ("", None), ("1e9", 0.0)],
)
def test_retry_after_in_seconds(value, seconds):
    assert retry_after_of({"retry-after": value}) == seconds


def test_retry_after_as_a_date():
    there = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < retry_after_of({"retry-after": there}) <= 30
    assert retry_after_of({"retry-after": format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True)}) == 0.0


@pytest.mark.parametrize("limit", ["connect", "first_byte", "idle", "total"])
def test_timeouts_say_which(limit):
    error = timeout_error(limit, 1.5, "endpoint 'x'")
    assert error.code == limit
    assert "1.5 s" in str(error)
    assert error.retry_safe == (limit == "connect")


def test_errors_travel_between_processes():
    error = error_of(ServiceError("ModelError", "m", 424, "r-1", {"OriginalStatusCode": 422, "LogStreamArn": "arn"}))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ModelError
    assert (again.original_status, again.log_stream_arn, again.request_id) == (422, "arn", "r-1")
    assert str(again) == str(error)
