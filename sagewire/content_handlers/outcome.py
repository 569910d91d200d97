"""Finish reasons and token counts, in one vocabulary for every wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.types import FinishReason, Usage

__all__ = ["finish_reason", "openai_usage", "token_count", "vector_usage"]

# Words of TGI, LMI, vLLM, SGLang, llama.cpp, Cohere, AI21, Mistral, Ollama, and of proxies in front of providers.
# In small letters, since some write capitals.
_FINISH: Mapping[str, FinishReason] = {
    **dict.fromkeys(
        ("stop", "eos", "eos_token", "stop_sequence", "stop_token", "endoftext", "end_turn", "complete"), "stop"
    ),
    **dict.fromkeys(
        ("length", "limit", "max_tokens", "max_new_tokens", "max_length", "max_output_tokens", "model_length"), "length"
    ),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "error_toxic", "safety", "refusal"), "content_filter"),
    **dict.fromkeys(("error", "error_limit", "network_error"), "error"),
}

# More than any model can have read; beyond, sums and JSON lose digits.
_MOST_TOKENS = 2**50


def finish_reason(word: Any, *, called_tools: bool = False) -> FinishReason:
    """Return the server's word in sagewire's vocabulary.

    Args:
        word: The server's word; SGLang's own route sends an object with the word as its `type`.
        called_tools: The answer holds tool calls. TGI, and vLLM when one tool is forced, then still report `stop`.

    Example:
        >>> finish_reason("eos_token"), finish_reason("stop", called_tools=True), finish_reason("abort")
        ('stop', 'tool_calls', 'other')
    """
    if isinstance(word, Mapping):
        word = word.get("type")
    reason = _FINISH.get(str(word).lower(), "other")
    return "tool_calls" if called_tools and reason == "stop" else reason


def token_count(value: Any) -> int | None:
    """Return a token count, or `None` if the server sent none that can be true; Cohere writes counts as floats."""
    if type(value) is int:
        return value if 0 <= value <= _MOST_TOKENS else None
    return int(value) if isinstance(value, float) and 0 <= value <= _MOST_TOKENS else None


def vector_usage(fields: Mapping[str, Any]) -> Usage:
    """Return the `usage` object of embeddings and rankings; some servers count `total_tokens` only."""
    prompt = fields.get("prompt_tokens")
    return Usage(prompt_tokens=token_count(fields.get("total_tokens") if prompt is None else prompt))


def openai_usage(fields: Mapping[str, Any]) -> Usage:
    """Return OpenAI's `usage` object; SGLang puts `reasoning_tokens` next to the counts instead of in the details."""
    get = fields.get
    prompt, completion = get("prompt_tokens_details"), get("completion_tokens_details")
    reasoning = token_count(completion.get("reasoning_tokens")) if completion else None
    return Usage(
        prompt_tokens=token_count(get("prompt_tokens")),
        completion_tokens=token_count(get("completion_tokens")),
        cached_tokens=token_count(prompt.get("cached_tokens")) if prompt else None,
        reasoning_tokens=token_count(get("reasoning_tokens")) if reasoning is None else reasoning,
    )
