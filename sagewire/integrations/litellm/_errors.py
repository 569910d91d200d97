"""OpenAI's status codes on sagewire's errors, where programs written for LiteLLM look for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sagewire.errors import SagewireError, combined
from sagewire.integrations.litellm.exceptions import kind_of, openai_kind
from sagewire.openai_shapes import error_envelope

__all__ = ["coded_errors"]


@contextmanager
def coded_errors(provider: str, model: str) -> Iterator[None]:
    """Put `status_code`, `message`, `llm_provider` and `model` on every error of sagewire's that passes.

    The error is also one of the exceptions that LiteLLM raises; see `exceptions`.

    Args:
        provider: The part of the model's name before the first slash.
        model: The rest of it.

    Example:
        >>> from sagewire.errors import Throttled
        >>> try:
        ...     with coded_errors("sagemaker", "my-llama"):
        ...         raise Throttled("slow down")
        ... except Throttled as error:
        ...     error.status_code
        429
    """
    try:
        yield
    except SagewireError as error:
        status, envelope = error_envelope(error)
        added = {"status_code": status, "llm_provider": provider, "model": model}
        if not hasattr(error, "message"):
            added["message"] = envelope["error"]["message"]
        error.__dict__.update(added)
        kind = kind_of(error, status)
        if not isinstance(error, kind):
            # The same object, so that its traceback and causes stay.
            error.__class__ = combined(type(error), kind)
        theirs = openai_kind(kind)
        if theirs is not None and not isinstance(error, theirs):
            error.__class__ = combined(type(error), theirs)
            _complete(error, status)
        raise


def _complete(error: SagewireError, status: int) -> None:
    """Add the attributes that OpenAI's exceptions have; no HTTP exchange with OpenAI's API is behind them."""
    import httpx

    request = httpx.Request("POST", "https://sagemaker/")
    given = {"request": request, "response": httpx.Response(status, request=request)}
    given |= {"request_id": None, "body": None, "code": None, "param": None, "type": None}
    for name, value in given.items():
        if not hasattr(error, name):
            error.__dict__[name] = value
