"""Errors as OpenAI's envelope and HTTP status, so that every OpenAI client raises the class its users expect."""

from __future__ import annotations

from typing import Any

from sagewire.errors import (
    AccessDenied,
    EndpointError,
    EndpointNotFound,
    EndpointTimeout,
    ModelError,
    ModelStreamError,
    NotReady,
    PayloadTooLarge,
    SagewireError,
    StreamTruncated,
    Throttled,
    UnsupportedFeature,
    UsageError,
    WireError,
)

__all__ = ["error_body", "error_envelope"]

# Status -> OpenAI's `type`. Clients choose their exception by the status alone; people read the type.
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


def error_body(message: str, *, status: int, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error envelope.

    Args:
        message: What happened.
        status: The HTTP status; the envelope's `type` follows from it.
        code: A word for programs.
        param: The field of the request that it is about.

    Example:
        >>> error_body("no such model", status=404, code="model_not_found")["error"]["type"]
        'invalid_request_error'
    """
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_envelope(error: BaseException, *, behind_gateway: bool = False) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and OpenAI's envelope for an error.

    Other exceptions become a server error without details, since their text may hold anything.

    Args:
        error: What was raised.
        behind_gateway: The caller is neither the one whose credentials were used nor the one who named the endpoint:
            that one of them is wrong is a 502, and the service's words about accounts and roles are not for them.

    Example:
        >>> status, body = error_envelope(UsageError("temperature must be a number"))
        >>> status, body["error"]["type"]
        (400, 'invalid_request_error')
    """
    status, code = _status_and_code(error)
    message = str(error) if isinstance(error, SagewireError) else "internal error"
    if behind_gateway and isinstance(error, AccessDenied):
        status, code = 502, "upstream_access_denied"
        message = "the gateway was refused by the model's endpoint; its log says why"
    elif behind_gateway and isinstance(error, EndpointNotFound):
        status, code = 502, "upstream_not_found"
        message = "the model's endpoint is not there; the gateway's log says more"
    elif behind_gateway and isinstance(error, StreamTruncated):
        message = "the answer of the model's endpoint broke off; the gateway's log says more"
    elif behind_gateway and _is_unreachable(error):
        message = "the model's endpoint cannot be reached; the gateway's log says more"
    return status, error_body(message, status=status, code=code, param=getattr(error, "param", None))


def _is_unreachable(error: BaseException) -> bool:
    """Return whether no answer came at all, in which case the error's text names hosts and ports."""
    # A model's error without a status is one that an answer with 200 had in it.
    answered = isinstance(error, EndpointTimeout | ModelError)
    return isinstance(error, EndpointError) and error.status is None and not answered


def _status_and_code(error: BaseException) -> tuple[int, str | None]:
    if isinstance(error, ModelError):
        return _of_container(error)
    for kind, status, code in _SIMPLE:
        if isinstance(error, kind):
            return status, code
    if isinstance(error, AccessDenied):
        return (401 if error.status == 401 else 403), "access_denied"
    if isinstance(error, EndpointError):
        return _of_service(error)
    return 500, "internal_error"


_SIMPLE: tuple[tuple[type[SagewireError], int, str | None], ...] = (
    (UsageError, 400, None),
    (UnsupportedFeature, 400, "unsupported_feature"),
    (EndpointNotFound, 404, "endpoint_not_found"),
    (Throttled, 429, "rate_limit_exceeded"),
    (NotReady, 503, "model_not_ready"),
    (PayloadTooLarge, 413, "request_too_large"),
    (EndpointTimeout, 504, "timeout"),
    (StreamTruncated, 502, "stream_truncated"),
    (ModelStreamError, 502, "model_stream_error"),
    (WireError, 502, "bad_upstream_response"),
)


def _of_container(error: ModelError) -> tuple[int, str | None]:
    if error.context_exceeded:
        return 400, "context_length_exceeded"
    status = error.original_status
    if status == 0:
        # SageMaker gave up waiting for the container.
        return 504, "timeout"
    if status == 429:
        return 429, "rate_limit_exceeded"
    if status == 503:
        return 503, "model_not_ready"
    # 424 is TGI's word for a failed generation; the other 4xx are about the request.
    if status is not None and 400 <= status < 500 and status not in (401, 403, 424):
        return status, "model_error"
    return 502, "model_error"


def _of_service(error: EndpointError) -> tuple[int, str | None]:
    if error.status is None:
        return 502, error.code or "connection"
    if error.context_exceeded:
        return 400, "context_length_exceeded"
    if 400 <= error.status < 500:
        return error.status, error.code
    return (503 if error.status == 503 else 502), error.code or "upstream_error"
