"""LiteLLM's exceptions by their names, for `except` clauses that programs have.

Every error of sagewire's that leaves this package is raised as one of these, too: a throttled call is a
`sagewire.Throttled` and a `RateLimitError`, and OpenAI's `RateLimitError` in a program that has imported `openai`.
"""

from __future__ import annotations

import sys

from sagewire import errors
from sagewire.errors import AccessDenied, EndpointError, SagewireError, UnsupportedFeature, WireError

__all__ = [
    "APIConnectionError",
    "APIError",
    "AuthenticationError",
    "BadGatewayError",
    "BadRequestError",
    "ContentPolicyViolationError",
    "ContextWindowExceededError",
    "InternalServerError",
    "InvalidRequestError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "ServiceUnavailableError",
    "Timeout",
    "UnprocessableEntityError",
    "UnsupportedParamsError",
]


class AuthenticationError(Exception):
    """Credentials are missing, wrong or expired (401)."""


class PermissionDeniedError(Exception):
    """The credentials do not allow this (403)."""


class NotFoundError(Exception):
    """An endpoint or model that does not exist (404)."""


class BadRequestError(Exception):
    """The request itself is wrong (400)."""


class InvalidRequestError(BadRequestError):
    """LiteLLM's older name; nothing is raised as it."""


class ContextWindowExceededError(BadRequestError):
    """The conversation is longer than the model's context."""


class ContentPolicyViolationError(BadRequestError):
    """LiteLLM raises it for hosted providers; nothing is raised as it here."""


class UnsupportedParamsError(BadRequestError):
    """A parameter that the container does not support."""


class UnprocessableEntityError(BadRequestError):
    """The container does not take the request (422)."""


class RateLimitError(Exception):
    """Too many calls (429)."""


class Timeout(Exception):
    """No answer in time (504, 408)."""


class ServiceUnavailableError(Exception):
    """The endpoint cannot answer yet (503)."""


class InternalServerError(Exception):
    """The container or the service failed (5xx)."""


class BadGatewayError(InternalServerError):
    """LiteLLM's name for a status of 502 of the container's own."""


class APIError(Exception):
    """The answer cannot be read."""


class APIConnectionError(APIError):
    """The endpoint cannot be reached, or an answer broke off."""


# Wrong, missing or expired keys, which SageMaker answers with 403 as it does for what a policy forbids.
_WRONG_KEYS = ("Unrecognized", "Signature", "Expired", "MissingAuth", "Token")

_BY_STATUS: dict[int, type[Exception]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: Timeout,
    422: UnprocessableEntityError,
    429: RateLimitError,
    503: ServiceUnavailableError,
    504: Timeout,
}


def kind_of(error: SagewireError, status: int) -> type[Exception]:
    """Return the exception that LiteLLM has for an error.

    Args:
        error: The error.
        status: The status that OpenAI's API would have answered with.
    """
    if isinstance(error, UnsupportedFeature):
        return UnsupportedParamsError
    if isinstance(error, EndpointError) and error.context_exceeded:
        return ContextWindowExceededError
    if isinstance(error, AccessDenied):
        wrong = error.status is None or any(word in (error.code or "") for word in _WRONG_KEYS)
        return AuthenticationError if wrong or status == 401 else PermissionDeniedError
    if isinstance(error, errors.StreamTruncated):
        return APIConnectionError
    if isinstance(error, WireError):
        return APIError
    if status not in _BY_STATUS and isinstance(error, EndpointError) and error.status is None:
        return APIConnectionError
    return _BY_STATUS.get(status, InternalServerError if status >= 500 else BadRequestError)


def openai_kind(kind: type[Exception]) -> type[Exception] | None:
    """Return the exception of OpenAI's library that LiteLLM's is a kind of; `None` unless the program has loaded it.

    A program has to import the library to name its exceptions, so it need not be imported here.
    """
    library = sys.modules.get("openai")
    for each in kind.__mro__:
        name = _OPENAI.get(each.__name__, each.__name__)
        found = getattr(library, name, None)
        if each.__module__ == __name__ and found is not None:
            return found  # type: ignore[no-any-return]
    return None


_OPENAI = {
    "BadGatewayError": "InternalServerError",
    "InvalidRequestError": "BadRequestError",
    "ServiceUnavailableError": "InternalServerError",
    "Timeout": "APITimeoutError",
}
