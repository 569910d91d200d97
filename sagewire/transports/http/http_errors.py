"""A plain HTTP server's answer of no as the error that says what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.errors import (
    AccessDenied,
    EndpointError,
    EndpointNotFound,
    ModelError,
    NotReady,
    PayloadTooLarge,
    Throttled,
    excerpt,
)
from sagewire.transports.container_errors import MAX_BODY_CHARACTERS, container_message, json_fields
from sagewire.transports.http.hugging_face import wait_of

__all__ = ["http_error", "request_id_of"]

_MAX_CODE = 100
_REQUEST_IDS = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")
_KINDS: Mapping[int, type[EndpointError]] = {
    401: AccessDenied,
    402: AccessDenied,
    403: AccessDenied,
    404: EndpointNotFound,
    413: PayloadTooLarge,
    # TGI answers 424 when generating failed (router/src/server.rs).
    424: ModelError,
    429: Throttled,
}
_CURES: Mapping[int, str] = {
    401: "; check token=",
    402: "; the account's credits are used up",
    403: "; the token may not do this",
    407: "; the user name and password of the proxy belong into its URL",
    404: "; check the URL: it names the server, and the path depends on the handler",
}


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the server's id of a request, under whichever name it has."""
    return next((value for name in _REQUEST_IDS if (value := headers.get(name))), None)


def http_error(
    status: int, headers: Mapping[str, str], body: bytes, *, url: str, may_sleep: bool = False
) -> EndpointError:
    """Return the error for an answer whose status is not 2xx.

    Args:
        status: The HTTP status.
        headers: The answer's headers, looked up case-insensitively.
        body: The answer's body.
        url: The URL that was called, without secrets.
        may_sleep: A 503 means that the server is starting.
    """
    fields = json_fields(body)
    words = container_message(body.decode("utf-8", "replace")) or headers.get("x-error-message") or "no reason given"
    flags: dict[str, Any] = {
        "code": _code(fields, headers),
        "status": status,
        "request_id": request_id_of(headers),
        "retry_after": wait_of(headers, fields.get("estimated_time")),
    }
    if 300 <= status < 400:
        # Following one would hand the token to whoever the server names.
        there = excerpt(headers.get("location") or "another address")
        return EndpointError(f"{url} redirects to {there}; give that URL instead", fault="client", **flags)
    message = f"{url} answered {status}: {words}{_CURES.get(status, '')}"
    if status == 503 and (may_sleep or "estimated_time" in fields or "loading" in words.lower()):
        return NotReady(message, retry_safe=True, **flags)
    kind = _KINDS.get(status)
    if kind is None:
        # The answer comes from the container itself, or from a proxy in front of it.
        kind = ModelError if status == 500 else EndpointError
    server_side = status >= 500 or status in (408, 429)
    error = kind(message, fault=_fault(kind, status), retry_safe=server_side, **flags)
    error.body = body[:MAX_BODY_CHARACTERS].decode("utf-8", "replace")
    if isinstance(error, ModelError):
        error.original_status, error.original_message = status, words
    return error


def _fault(kind: type[EndpointError], status: int) -> Any:
    if kind is ModelError:
        return "model"
    return "service" if status >= 500 or status in (408, 429) else "client"


def _code(fields: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    nested = fields.get("error")
    nested = nested if isinstance(nested, Mapping) else {}
    found = fields.get("error_type") or nested.get("code") or nested.get("type") or headers.get("x-error-code")
    return excerpt(str(found), _MAX_CODE) if found else None
