"""Errors that look as if an endpoint had another container than the one that was detected."""

from __future__ import annotations

import re

from sagewire.errors import (
    EndpointError,
    ModelError,
    ModelStreamError,
    ResponseTooLarge,
    SagewireError,
    StreamTruncated,
    ToolCallMissing,
    WireError,
)

__all__ = ["lacks_route", "may_be_another"]

# What TGI, Hugging Face's toolkit and handlers written for it say to OpenAI's fields.
_NEEDS_INPUTS = re.compile(r"\binputs\b")
# What TGI says to a prompt that is too long.
_TOO_LONG = re.compile(r"\btokens\b|\bGiven:|\blonger\b")


def lacks_route(error: SagewireError) -> bool:
    """Return whether a server has no OpenAI route: it says so, or takes any path and misses what it reads there."""
    if not isinstance(error, EndpointError) or isinstance(error, ModelError):
        return False
    if error.status in (400, 422):
        return bool(_NEEDS_INPUTS.search(error.message)) and not _TOO_LONG.search(error.message)
    return error.status in (404, 405, 501)


def may_be_another(error: SagewireError) -> bool:
    """Return whether an error is one that the wrong request format causes."""
    if isinstance(error, WireError):
        # Answers that broke off, were too long, or lacked a tool call do not point to a wrong format.
        other = ModelStreamError | ResponseTooLarge | StreamTruncated | ToolCallMissing
        return not isinstance(error, other)
    if isinstance(error, ModelError):
        status = error.original_status
        return status is not None and 400 <= status < 500 and status != 429 and not error.context_exceeded
    return isinstance(error, EndpointError) and (error.status in (404, 405, 415, 422) or lacks_route(error))
