"""Sagewire's errors as LangChain's too: one exception that is both.

`except sagewire.errors.Throttled` and `except langchain_core.exceptions.ModelRateLimitError` catch the same object, so
LangChain's retry, fallback and summarization middleware understand what sagewire says.
"""

from __future__ import annotations

from types import TracebackType

from langchain_core import exceptions as theirs

from sagewire import errors

__all__ = ["as_langchain_error", "model_errors"]

_NOT_WHO_YOU_SAY = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
    }
)
_SIMPLE: tuple[tuple[type[errors.SagewireError], type[theirs.ModelError]], ...] = (
    (errors.UsageError, theirs.ModelInvalidRequestError),
    (errors.UnsupportedFeature, theirs.ModelInvalidRequestError),
    (errors.EndpointNotFound, theirs.ModelNotFoundError),
    (errors.CredentialsExpired, theirs.ModelAuthenticationError),
    (errors.Throttled, theirs.ModelRateLimitError),
    (errors.NotReady, theirs.ModelAPIError),
    (errors.PayloadTooLarge, theirs.ModelInvalidRequestError),
    (errors.EndpointTimeout, theirs.ModelTimeoutError),
    (errors.FrameError, theirs.ModelConnectionError),
    (errors.StreamTruncated, theirs.ModelConnectionError),
    (errors.ModelStreamError, theirs.ModelAPIError),
)


class model_errors:
    """Raises sagewire's errors out of its `with` block as LangChain's too; all classes use it."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, errors.SagewireError):
            both = as_langchain_error(error)
            if both is not error:
                raise both.with_traceback(trace) from error.__cause__


def as_langchain_error(error: errors.SagewireError) -> errors.SagewireError:
    """Return `error` as its own instance class and of the fitting class of LangChain."""
    their_class = _their_class(error)
    if their_class is None or isinstance(error, theirs.ModelError):
        return error
    both = errors.combined(type(error), their_class)
    copy: errors.SagewireError = both.__new__(both)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    return copy


def _their_class(error: errors.SagewireError) -> type[theirs.ModelError] | None:
    if isinstance(error, errors.MissingExtra):
        return None
    if isinstance(error, errors.ModelError):
        return _of_container(error)
    for ours, their_class in _SIMPLE:
        if isinstance(error, ours):
            return their_class
    if isinstance(error, errors.AccessDenied):
        stranger = error.code in _NOT_WHO_YOU_SAY or error.status == 401
        return theirs.ModelAuthenticationError if stranger else theirs.ModelPermissionDeniedError
    if isinstance(error, errors.EndpointError):
        if error.context_exceeded:
            return theirs.ContextOverflowError
        return theirs.ModelConnectionError if error.status is None else _of_status(error.status)
    # An answer that is not what the handler promised will not get better by asking again.
    return theirs.ModelError


def _of_container(error: errors.ModelError) -> type[theirs.ModelError]:
    if error.context_exceeded:
        return theirs.ContextOverflowError
    if error.original_status == 0:
        return theirs.ModelTimeoutError
    return _of_status(error.original_status or error.status or 500)


def _of_status(status: int) -> type[theirs.ModelError]:
    known: dict[int, type[theirs.ModelError]] = {
        401: theirs.ModelAuthenticationError,
        403: theirs.ModelPermissionDeniedError,
        404: theirs.ModelNotFoundError,
        408: theirs.ModelTimeoutError,
        429: theirs.ModelRateLimitError,
    }
    # SageMaker wraps every failure of a container as 424.
    client_fault = 400 <= status < 500 and status != 424
    return known.get(status) or (theirs.ModelInvalidRequestError if client_fault else theirs.ModelAPIError)
