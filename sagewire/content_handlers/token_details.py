"""The token facts of TGI and LMI: `details` at the end, and the token objects themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sagewire.content_handlers.outcome import finish_reason, token_count
from sagewire.types import Delta, FinishDelta, LogprobsDelta, TokenLogprob, Usage, UsageDelta

__all__ = ["read_details", "read_top_tokens"]

_WORDS = frozenset({"length", "eos_token", "stop_sequence", "stop", "error", "abort"})


def read_details(details: Any, choice: int = 0, *, surplus: int = 0) -> Iterator[Delta]:
    """Return the deltas in a `details` object, which is null unless requested.

    Args:
        details: The object.
        choice: The number of the answer it belongs to.
        surplus: How many tokens too many the server counts.
    """
    if not details:
        return
    tops, tokens = details.get("top_tokens"), details.get("tokens")
    if tops and tokens:
        pairs = zip(tokens, tops, strict=False)
        yield LogprobsDelta(tuple(read_top_tokens(token, top) for token, top in pairs), choice)
    word = details.get("finish_reason")
    if word in _WORDS:
        yield FinishDelta(finish_reason(word), choice=choice)
    elif word:
        # LMI's async handler writes vLLM's `stop_reason` here: the stop string, or a token id
        # (lmi_vllm/request_response_utils.py).
        yield FinishDelta("stop", word if isinstance(word, str) else None, choice)
    yield from _read_usage(details, surplus)


def _read_usage(details: Mapping[str, Any], surplus: int) -> Iterator[UsageDelta]:
    completion = token_count(details.get("generated_tokens"))
    prompt = token_count(details.get("input_length"))
    if prompt is None and details.get("prefill"):
        prompt = len(details["prefill"])
    if completion is not None:
        completion = max(0, completion - surplus)
    if completion is not None or prompt is not None:
        yield UsageDelta(Usage(prompt_tokens=prompt, completion_tokens=completion))


def read_top_tokens(token: Mapping[str, Any], top: Any) -> TokenLogprob:
    """Return one token with its alternatives; TGI writes `logprob`, LMI's rolling batch `log_prob`."""
    return TokenLogprob(str(token["text"]), _logprob(token), tuple((str(one["text"]), _logprob(one)) for one in top))


def _logprob(token: Mapping[str, Any]) -> float:
    value = token.get("logprob")
    return float(token["log_prob"] if value is None else value)
