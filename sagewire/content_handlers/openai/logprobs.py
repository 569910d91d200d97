"""Log probabilities in OpenAI's two notations: one object per token (chat), parallel arrays (completions)."""

from __future__ import annotations

from typing import Any

from sagewire.types import TokenLogprob

__all__ = ["read_logprobs"]


def read_logprobs(logprobs: Any) -> tuple[TokenLogprob, ...]:
    """Return the tokens in a choice's `logprobs`, in either notation.

    Example:
        >>> read_logprobs({"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [{"a": -0.1, "b": -3.0}]})
        (TokenLogprob(token='a', logprob=-0.1, top=(('a', -0.1), ('b', -3.0))),)
    """
    if isinstance(logprobs, list):
        # LMI's rolling batch wraps the object in an array (djl_python/output_formatter.py, a stray comma).
        return tuple(token for item in logprobs for token in _read_object(item))
    return _read_object(logprobs)


def _read_object(logprobs: Any) -> tuple[TokenLogprob, ...]:
    if "token_logprobs" in logprobs:
        return _read_arrays(logprobs)
    return tuple(_read_token(token) for token in logprobs.get("content") or ())


def _read_token(token: Any) -> TokenLogprob:
    alternatives = token.get("top_logprobs") or ()
    top = tuple((_token_text(other["token"]), float(other["logprob"])) for other in alternatives)
    return TokenLogprob(_token_text(token["token"]), float(token["logprob"]), top)


def _token_text(token: Any) -> str:
    # LMI's rolling batch writes the number itself as the alternative's token.
    return token if isinstance(token, str) else str(token)


def _read_arrays(logprobs: Any) -> tuple[TokenLogprob, ...]:
    tokens, values = logprobs["tokens"], logprobs["token_logprobs"]
    tops = logprobs.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        # The first token of an echoed prompt has no probability.
        TokenLogprob(token, float(value), tuple((top or {}).items()))
        for token, value, top in zip(tokens, values, tops, strict=True)
        if value is not None
    )
