"""Whole answers of OpenAI-shaped servers that hold one text and nothing else: read without the steps between."""

from __future__ import annotations

from typing import Any

from sagewire.content_handlers.outcome import openai_usage
from sagewire.types import Choice, FinishReason, Reply

__all__ = ["plain_reply"]

_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
# The fields of a message that are more than text.
_MESSAGE = ("reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")
_EXTRA = ("system_fingerprint", "service_tier", "timings")


def plain_reply(payload: Any) -> Reply | None:
    """Return the reply in a `chat.completion`, `None` if anything in it needs a closer look.

    It is the fold of what `read_chat_reply` makes of it, at a third of the cost.

    Args:
        payload: The parsed body.

    Example:
        >>> choice = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        >>> plain_reply({"choices": [choice]}).text
        'Hi'
        >>> plain_reply({"error": "out of memory"}) is None
        True
    """
    if type(payload) is not dict or payload.get("error") is not None or "message" in payload:
        return None
    choices = payload.get("choices")
    if type(choices) is not list or len(choices) != 1:
        return None
    choice, usage = _choice(choices[0]), payload.get("usage")
    if choice is None or (usage and not _counts_are_plain(usage)):
        return None
    extra: dict[str, Any] = {}
    # Loops, because a comprehension is a function of its own.
    for name in _EXTRA:
        if payload.get(name) is not None:
            extra[name] = payload[name]
    counted = openai_usage(usage) if usage else None
    return Reply((choice,), counted, payload.get("id") or None, payload.get("model") or None, extra)


def _choice(choice: Any) -> Choice | None:
    message = choice.get("message") if type(choice) is dict else None
    if type(message) is not dict or choice.get("logprobs") or choice.get("index") not in (0, None):
        return None
    for name in _MESSAGE:
        if message.get(name):
            return None
    text, word = message.get("content"), choice.get("finish_reason")
    reason = _REASONS.get(word) if type(word) is str else None
    if type(text) is not str or reason is None:
        return None
    # The names of vLLM and SGLang.
    stop = choice.get("stop_reason") or choice.get("matched_stop")
    return Choice(text, finish_reason=reason, stop=stop if type(stop) is str else None)


def _counts_are_plain(usage: Any) -> bool:
    if type(usage) is not dict:
        return False
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return (prompt is None or type(prompt) is dict) and (completion is None or type(completion) is dict)
