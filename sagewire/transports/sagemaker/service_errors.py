"""One origin that turns a service's answer of no into the error that says what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagewire.aws.lookup_errors import BAD_KEYS
from sagewire.errors import (
    AccessDenied,
    CredentialsExpired,
    EndpointError,
    EndpointNotFound,
    ModelError,
    NotReady,
    PayloadTooLarge,
    Throttled,
    excerpt,
)
from sagewire.http.errors import retry_after_of
from sagewire.transports.container_errors import (
    MAX_BODY_CHARACTERS,
    MAX_CHARACTERS,
    container_body,
    container_message,
    json_fields,
    unwrap,
)

__all__ = [
    "ServiceError",
    "error_of",
    "service_error_of",
]

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
# The throttling codes of botocore/retries/standard.py.
_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_TRANSIENT = frozenset({"InternalFailure", "InternalServerError", "ServiceUnavailable", "ServiceUnavailableException"})
# One pattern with `.*` between two words takes time that grows with the square of a message's length: in the patterns
# here every repetition is bounded, and what has to follow is searched separately.
_MAX_CODE = 200
_NOT_FOUND = re.compile(
    r"Endpoint .{1,200}? of account \S{1,40} not found|Could not find (endpoint|inference component)", re.I
)
_COMPONENT = re.compile(r"inference component ", re.I)
_MISSING = re.compile(r"not found|does not exist", re.I)
_SIZED = re.compile(r"length less than or equal to|payload|body|request", re.I)
_TOO_LARGE = re.compile(r"exceed|too large|6291456|limit", re.I)
# How serverless endpoints put it: "Request ... has oversize body."
_OVERSIZE = "has oversize body"
# A container says these of itself when it is overloaded or still loading; SageMaker passes the status on in the body.
_BUSY_CONTAINER = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class ServiceError:
    """The words with which a service refused a call, wherever they were read from.

    Args:
        code: The service's error code.
        message: The service's words.
        status: The HTTP status.
        request_id: The service's id of the request.
        fields: Everything else in the error's body, for example `OriginalStatusCode`.
        retry_after: Seconds the service asked to wait.
        endpoint: The endpoint that was called.
        region: The region it was looked for in.
    """

    code: str
    message: str
    status: int | None = None
    request_id: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None
    endpoint: str = ""
    region: str = ""


def service_error_of(
    status: int, headers: Mapping[str, str], body: bytes, *, endpoint: str = "", region: str = ""
) -> ServiceError:
    """Read an AWS error response; `headers` has lower-case names."""
    fields = json_fields(body)
    nested = fields.get("error")
    if isinstance(nested, Mapping):
        # The OpenAI-compatible route wraps its errors the way OpenAI does.
        fields = {**nested, "__type": nested.get("code") or nested.get("type")}
    code = headers.get("x-amzn-errortype") or fields.get("__type") or fields.get("code") or fields.get("Code") or ""
    message = fields.get("Message") or fields.get("message") or ""
    if not message:
        text = excerpt(body).strip()
        message = f"the service answered {status}" + (f": {text}" if text else " without a body")
    return ServiceError(
        # "ValidationError:http://internal.amazon.com/..." and "com.amazonaws#ThrottlingException" both occur.
        code=str(code)[:_MAX_CODE].split(":")[0].rsplit("#", 1)[-1].strip(),
        message=str(message),
        status=status,
        request_id=headers.get("x-amzn-requestid") or headers.get("x-amz-request-id"),
        fields=fields,
        retry_after=retry_after_of(headers),
        endpoint=endpoint,
        region=region,
    )


def error_of(fault: ServiceError) -> EndpointError:
    """Return the error for a fault."""
    for rule in (_identity_error, _readiness_error, _request_error):
        error = rule(fault)
        if error is not None:
            return error
    if fault.code == "ModelError" or fault.code == "model_error" or fault.status == 424:
        return _model_error(fault)
    server_side = fault.code in _TRANSIENT or (fault.status is not None and fault.status >= 500)
    return _make(EndpointError, fault, fault="service" if server_side else "client", retry_safe=server_side)


def _make(kind: type[EndpointError], seen: ServiceError, message: str | None = None, **flags: Any) -> EndpointError:
    return kind(
        excerpt(message or seen.message, 2 * MAX_CHARACTERS),
        code=seen.code or None,
        status=seen.status,
        request_id=seen.request_id,
        retry_after=seen.retry_after,
        **flags,
    )


def _identity_error(fault: ServiceError) -> EndpointError | None:
    if fault.code in _EXPIRED:
        cure = "these credentials have expired; renew them, or use a session that refreshes itself"
        return _make(CredentialsExpired, fault, f"{fault.message} ({cure})", fault="client")
    if fault.code in ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"):
        return _make(AccessDenied, fault, f"{fault.message} ({BAD_KEYS})", fault="client")
    if fault.code in _DENIED or fault.status in (401, 403):
        return _make(AccessDenied, fault, fault="client")
    return None


def _readiness_error(fault: ServiceError) -> EndpointError | None:
    if fault.code == "ModelNotReadyException":
        return _make(NotReady, fault, retry_safe=True)
    if fault.status == 400 and "has no capacity" in fault.message:
        # Scaled to zero: the refused call itself is what makes auto scaling start an instance, minutes away.
        cure = "the endpoint is scaled to zero; Retries(wait_for_ready=600) waits for it"
        return _make(NotReady, fault, f"{fault.message} ({cure})", retry_safe=True)
    if fault.code in _THROTTLED or fault.status == 429:
        return _make(Throttled, fault, retry_safe=True)
    return None


def _request_error(fault: ServiceError) -> EndpointError | None:
    said = fault.message
    too_large = _OVERSIZE in said or _follows(_SIZED, _TOO_LARGE, said)
    if fault.status == 413 or (fault.status == 400 and too_large):
        return _make(PayloadTooLarge, fault, fault="client")
    not_found = _NOT_FOUND.search(said) or _follows(_COMPONENT, _MISSING, said)
    if (not_found and fault.code != "ModelError") or fault.code == "ResourceNotFound":
        where = f"endpoint {fault.endpoint!r} in region {fault.region!r}"
        return _make(EndpointNotFound, fault, f"{where}: {fault.message}", fault="client")
    return None


def _follows(first: re.Pattern[str], second: re.Pattern[str], text: str) -> bool:
    """Return whether a match of `second` comes behind one of `first`."""
    match = first.search(text)
    return match is not None and second.search(text, match.end()) is not None


def _is_status(text: str) -> bool:
    return len(text) <= 5 and text.isascii() and text.isdecimal()


def _model_error(fault: ServiceError) -> ModelError:
    wrapped_status, _ = unwrap(fault.message)
    given = fault.fields.get("OriginalStatusCode")
    status = int(given) if isinstance(given, int | str) and _is_status(str(given)) else wrapped_status
    body = container_body(fault.message, fault.fields.get("OriginalMessage"))
    words = container_message(body)
    message = f"the container answered {status}: {words}" if status else f"the container failed: {words}"
    if status == 0 or "invocation timed out" in fault.message:
        message = (
            "the container did not answer within SageMaker's 60 s limit for whole answers; stream instead "
            "(a stream may take 8 minutes), or Client(..., stream_internally=True): " + words
        )
    error = _make(ModelError, fault, message, fault="model", retry_safe=status in _BUSY_CONTAINER)
    assert isinstance(error, ModelError)
    error.original_status, error.original_message = status, words
    error.body = body[:MAX_BODY_CHARACTERS]
    arn = fault.fields.get("LogStreamArn")
    error.log_stream_arn = str(arn) if arn else None
    return error
