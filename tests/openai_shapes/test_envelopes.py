"""Which status and words an OpenAI client gets for which error."""

import pytest

from sagewire.errors import (
    AccessDenied,
    CredentialsExpired,
    EndpointError,
    EndpointNotFound,
    EndpointTimeout,
    ModelError,
    ModelStreamError,
    NotReady,
    PayloadTooLarge,
    StreamTruncated,
    Throttled,
    UnsupportedFeature,
    UsageError,
    WireError,
)
from sagewire.openai_shapes import BadRequest, error_envelope


def container(status: int | None, words: str = "boom") -> ModelError:
    error = ModelError(f"the container answered {status}: {words}", status=424)
    error.original_status, error.original_message = status, words
    return error


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (UsageError("x"), 400, "invalid_request_error", None),
        (UnsupportedFeature("tools", "handler 'tgi'"), 400, "invalid_request_error", "unsupported_feature"),
        (EndpointNotFound("x", status=400), 404, "invalid_request_error", "endpoint_not_found"),
        (AccessDenied("x", status=403), 403, "permission_error", "access_denied"),
        (AccessDenied("x", status=401), 401, "authentication_error", "access_denied"),
        (CredentialsExpired("x"), 403, "permission_error", "access_denied"),
        (Throttled("x", status=400), 429, "rate_limit_error", "rate_limit_exceeded"),
        (NotReady("x"), 503, "service_unavailable_error", "model_not_ready"),
        (PayloadTooLarge("x"), 413, "invalid_request_error", "request_too_large"),
        (EndpointTimeout("x"), 504, "timeout_error", "timeout"),
        (EndpointError("x", code="connection"), 502, "server_error", "connection"),
        (EndpointError("x", status=400, code="ValidationError"), 400, "invalid_request_error", "ValidationError"),
        (EndpointError("maximum context length is 8", status=400, code="400"), 400, None, "context_length_exceeded"),
        (EndpointError("prompt is too long", status=422), 400, None, "context_length_exceeded"),
        (EndpointError("prompt is too long", status=500), 502, None, "upstream_error"),
        (EndpointError("x", status=500), 502, "server_error", "upstream_error"),
        (container(400), 400, "invalid_request_error", "model_error"),
        (container(422), 422, "invalid_request_error", "model_error"),
        (container(400, "This model's maximum context length is 8"), 400, None, "context_length_exceeded"),
        (container(0), 504, "timeout_error", "timeout"),
        (container(401), 502, "server_error", "model_error"),
        (container(424), 502, "server_error", "model_error"),
        (container(429), 429, "rate_limit_error", "rate_limit_exceeded"),
        (container(500), 502, "server_error", "model_error"),
        (container(None), 502, "server_error", "model_error"),
        (container(503), 503, "service_unavailable_error", "model_not_ready"),
        (StreamTruncated("x"), 502, "server_error", "stream_truncated"),
        (ModelStreamError("x", "StreamBroken"), 502, "server_error", "model_stream_error"),
        (WireError("x"), 502, "server_error", "bad_upstream_response"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_status_type_and_code(error: Exception, status: int, kind: str | None, code: str | None) -> None:
    found, body = error_envelope(error)
    assert (found, body["error"]["code"]) == (status, code)
    assert body["error"]["message"] == str(error)
    if kind is not None:
        assert body["error"]["type"] == kind


def test_foreign_errors_say_nothing_of_themselves() -> None:
    status, body = error_envelope(KeyError("secret"))
    assert status == 500
    assert "secret" not in str(body)


def test_behind_a_gateway_refused_credentials_are_not_the_callers() -> None:
    for error, code in (
        (CredentialsExpired("arn:aws:iam::123:role/x", status=403), "upstream_access_denied"),
        (EndpointNotFound("Endpoint x of account 123 not found", status=400), "upstream_not_found"),
    ):
        status, body = error_envelope(error, behind_gateway=True)
        assert (status, body["error"]["code"]) == (502, code)
        assert "123" not in body["error"]["message"]


def test_the_field_is_named() -> None:
    assert error_envelope(BadRequest("x", "stop"))[1]["error"]["param"] == "stop"
