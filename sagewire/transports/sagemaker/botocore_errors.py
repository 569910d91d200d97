"""botocore's exceptions as sagewire's errors: the edge of the transports that go through a caller's own client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sagewire.aws.lookup_errors import translate
from sagewire.errors import FrameError, ModelStreamError, SagewireError, combined
from sagewire.http.errors import connection_error, connection_lost, retry_after_of, timeout_error, tls_error, truncated
from sagewire.transports.sagemaker.service_errors import ServiceError, error_of
from sagewire.types import ResponseInfo

__all__ = ["add_kind_of_cause", "info_of", "translated"]


@contextmanager
def translated(endpoint: str, region: str, limit: str) -> Iterator[None]:
    """Turn what a boto3 client raises into sagewire's errors.

    Args:
        endpoint: The endpoint that is called.
        region: The client's region.
        limit: The limit that a read timeout stands for now: `first_byte`, or `idle` once the answer has begun.
    """
    try:
        yield
    except SagewireError:
        raise
    except Exception as error:
        known = _known(error, endpoint, region, limit)
        if known is None:
            raise
        raise known from error


def _known(error: Exception, endpoint: str, region: str, limit: str) -> SagewireError | None:
    from botocore import exceptions
    from botocore.eventstream import ParserError
    from urllib3 import exceptions as urllib3_exceptions

    where = f"endpoint {endpoint!r} in {region}"
    if isinstance(error, exceptions.EventStreamError):
        # botocore loses the ErrorCode field of the event; the exception's own type is all that is left.
        fields = error.response.get("Error", {})
        return ModelStreamError(fields.get("Message") or str(error), fields.get("Code"))
    if isinstance(error, exceptions.ClientError):
        return error_of(_fault(error.response, endpoint, region))
    if isinstance(error, ParserError):
        return FrameError(f"the event stream of {where} is damaged: {error}")
    if isinstance(error, exceptions.ConnectTimeoutError):
        return timeout_error("connect", None, where)
    if isinstance(error, exceptions.ReadTimeoutError | urllib3_exceptions.ReadTimeoutError):
        return timeout_error(limit, None, where)
    if isinstance(error, exceptions.SSLError):
        return tls_error(error, where)
    if isinstance(error, exceptions.ConnectionClosedError):
        return connection_lost(error, where)
    broken = (urllib3_exceptions.HTTPError, exceptions.ResponseStreamingError, exceptions.IncompleteReadError)
    if isinstance(error, broken):
        return truncated(error, where)
    if isinstance(error, exceptions.EndpointConnectionError | exceptions.ProxyConnectionError):
        return connection_error(error, where)
    return translate(error)


def _fault(response: Mapping[str, Any], endpoint: str, region: str) -> ServiceError:
    error, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    return ServiceError(
        code=str(error.get("Code") or ""),
        message=str(error.get("Message") or response.get("Message") or "the service gave no reason"),
        status=metadata.get("HTTPStatusCode"),
        request_id=metadata.get("RequestId"),
        fields=response,
        retry_after=retry_after_of(metadata.get("HTTPHeaders", {})),
        endpoint=endpoint,
        region=region,
    )


def info_of(response: Mapping[str, Any]) -> ResponseInfo:
    """Return what a boto3 response says beside its body."""
    new_session = response.get("NewSessionId")
    return ResponseInfo(
        content_type=response.get("ContentType") or "",
        request_id=response.get("ResponseMetadata", {}).get("RequestId"),
        production_variant=response.get("InvokedProductionVariant"),
        custom_attributes=response.get("CustomAttributes"),
        # "<id>; Expires=2026-01-02T03:04:05Z"
        new_session_id=new_session.partition(";")[0].strip() if new_session else None,
        closed_session_id=response.get("ClosedSessionId"),
    )


def add_kind_of_cause(error: SagewireError) -> None:
    """Make an error that a caller's own boto3 client caused one of botocore's, too, with its attributes.

    `except ClientError` and `except client.exceptions.ModelError` are what programs with such a client have.
    """
    cause = error.__cause__
    if isinstance(cause, Exception) and _is_of_botocore(type(cause)) and not isinstance(error, type(cause)):
        error.__class__ = combined(type(error), type(cause))
        for name, value in vars(cause).items():
            error.__dict__.setdefault(name, value)


def _is_of_botocore(kind: type[BaseException]) -> bool:
    # By name, since botocore need not be installed.
    return any(each.__module__ == "botocore.exceptions" for each in kind.__mro__)
