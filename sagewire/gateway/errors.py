"""What the gateway itself says no to, before any endpoint is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.errors import (
    AccessDenied,
    EndpointError,
    EndpointNotFound,
    ModelError,
    SagewireError,
    Throttled,
    UnsupportedFeature,
    UsageError,
    WireError,
)
from sagewire.openai_shapes import error_body, error_envelope

__all__ = [
    "ClientGone",
    "GatewayError",
    "UndetectedContainer",
    "envelope_of",
    "is_about_request",
    "is_callers_fault",
    "is_missing_route",
]

# What no other deployment would answer differently. 404 and 403 speak of a deployment, not of the request.
_CALLERS = frozenset({400, 413, 422})


class GatewayError(SagewireError):
    """A request that goes no further.

    Args:
        status: The HTTP status.
        code: A word for programs.
        message: What is wrong, and the cure.
        headers: Further response headers.
        param: The field it is about.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.param = param

    def __reduce__(self) -> tuple[object, ...]:
        return _refusal, (self.status, self.code, str(self), self.headers, self.param)


class UndetectedContainer(GatewayError):
    """It could not be found out what a deployment's container speaks.

    Args:
        label: The deployment's.
    """

    def __init__(self, label: str) -> None:
        super().__init__(
            502,
            "undetected_container",
            f"what {label!r} can do could not be found out, the gateway's log says why; `embedding_handler` or "
            "`rerank_handler` in its configuration settles it",
        )
        self.label = label

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.label,)


def _refusal(status: int, code: str, message: str, headers: dict[str, str], param: str | None) -> GatewayError:
    return GatewayError(status, code, message, headers=headers, param=param)


class ClientGone(Exception):
    """Whoever asked has closed the connection; nobody waits for the answer."""


def envelope_of(error: BaseException) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return the status, OpenAI's error object and further headers for an error."""
    if isinstance(error, GatewayError):
        body = error_body(str(error), status=error.status, code=error.code, param=error.param)
        return error.status, body, error.headers
    status, body = error_envelope(error, behind_gateway=True)
    headers = {}
    if isinstance(error, EndpointError) and error.retry_after:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    return status, body, headers


def _container_status(error: EndpointError) -> int | None:
    """Return the status of the server itself, also when it came through SageMaker."""
    return error.original_status if isinstance(error, ModelError) else error.status


def is_about_request(error: BaseException) -> bool:
    """Return whether an error says something about the request only, and nothing about the deployment's health.

    Throttling counts as such: a throttled deployment works, only not harder.
    """
    if isinstance(error, UsageError | UnsupportedFeature | Throttled | UndetectedContainer):
        return True
    if isinstance(error, ModelError) and error.context_exceeded:
        return True
    if not isinstance(error, EndpointError) or isinstance(error, AccessDenied | EndpointNotFound):
        return False
    status = _container_status(error)
    return status is not None and ((400 <= status < 500 and status not in (401, 403, 408, 424)) or status == 501)


def is_missing_route(error: BaseException, *, of_service: bool) -> bool:
    """Return whether a server answered a first request as one that does not have the route.

    Args:
        error: What the request ended in.
        of_service: The server is behind a service, SageMaker, whose own 404 is about the endpoint.
    """
    if isinstance(error, WireError):
        return True
    if isinstance(error, EndpointNotFound):
        return not of_service
    return isinstance(error, EndpointError) and _container_status(error) in (404, 405, 501)


def is_callers_fault(error: BaseException) -> bool:
    """Return whether the request itself is wrong, so that no retry and no other deployment can help."""
    return envelope_of(error)[0] in _CALLERS
