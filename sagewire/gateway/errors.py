"""Errors of the gateway itself, raised before an endpoint is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.errors import (
    AccessDenied,
    EndpointError,
    EndpointNotFound,
    EndpointTimeout,
    FrameError,
    ModelError,
    ModelStreamError,
    ResponseTooLarge,
    SagewireError,
    StreamTruncated,
    Throttled,
    ToolCallMissing,
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
    "is_time_limit",
]

# Answers in the right shape that were damaged, too long, cut, or without what was asked for.
_OF_ONE_ANSWER = (FrameError, ModelStreamError, ResponseTooLarge, StreamTruncated, ToolCallMissing)
# Errors that every other deployment would answer with, too. 404 and 403 concern a deployment, not the request.
_CALLERS = frozenset({400, 413, 422})


class GatewayError(SagewireError):
    """A request that goes no further.

    Args:
        status: The HTTP status.
        code: A word for programs.
        message: The reason and the cure.
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
    """A deployment whose container could not be detected.

    Args:
        label: The deployment's label.
    """

    def __init__(self, label: str) -> None:
        super().__init__(
            502,
            "undetected_container",
            f"the container of {label!r} could not be detected, the gateway's log has the reason; configure its "
            "`embedding_handler` or `rerank_handler`",
        )
        self.label = label

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.label,)


def _refusal(status: int, code: str, message: str, headers: dict[str, str], param: str | None) -> GatewayError:
    return GatewayError(status, code, message, headers=headers, param=param)


class ClientGone(Exception):
    """A request whose client has closed the connection."""


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
    if isinstance(error, EndpointError) and error.context_exceeded:
        return True
    if not isinstance(error, EndpointError) or isinstance(error, AccessDenied | EndpointNotFound):
        return False
    status = _container_status(error)
    return status is not None and ((400 <= status < 500 and status not in (401, 403, 408, 424)) or status == 501)


def is_missing_route(error: BaseException, *, of_service: bool, main: bool) -> bool:
    """Return whether a server answered a first request as one that does not have the route.

    Args:
        error: The error that ended the request.
        of_service: The server is behind a service, SageMaker, whose own 404 is about the endpoint.
        main: The route is the one that the server is for: an answer in another shape, or a 501, is about the request.
    """
    if isinstance(error, WireError):
        return not main and not isinstance(error, _OF_ONE_ANSWER)
    if isinstance(error, EndpointNotFound):
        return not of_service
    missing = (404, 405) if main else (404, 405, 501)
    return isinstance(error, EndpointError) and _container_status(error) in missing


def is_time_limit(error: BaseException) -> bool:
    """Return whether a server worked on a request until a time limit was over: configured, or SageMaker's own."""
    if isinstance(error, EndpointTimeout):
        return error.code != "connect"
    return isinstance(error, ModelError) and error.original_status == 0


def is_callers_fault(error: BaseException) -> bool:
    """Return whether the request itself is wrong, so that no retry and no other deployment can help."""
    return envelope_of(error)[0] in _CALLERS
