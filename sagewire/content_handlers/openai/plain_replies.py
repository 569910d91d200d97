"""Whole answers of OpenAI-shaped servers that hold one text and nothing else: read without the steps between."""

from __future__ import annotations

from typing import Any, NamedTuple

from sagewire.content_handlers.outcome import openai_usage
from sagewire.types import Choice, FinishReason, Reply, Usage

__all__ = ["PlainText", "plain_reply", "plain_text"]

_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
# The fields of a message that are more than text.
_MORE = ("reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")
_EXTRA = ("system_fingerprint", "service_tier", "timings")


class PlainText(NamedTuple):
    """A `chat.completion` that holds one text and nothing else.

    Args:
        text: The text.
        reason: Why it ended.
        stop: The stop string that ended it.
        usage: The token counts.
    """

    text: str
    reason: FinishReason
    stop: str | None
    usage: Usage | None


def plain_text(payload: Any) -> PlainText | None:
    """Return the text in a `chat.completion`, `None` if anything in it needs a closer look.

    Args:
        payload: The parsed body.

    Example:
        >>> choice = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        >>> plain_text({"choices": [choice]})
        PlainText(text='Hi', reason='stop', stop=None, usage=None)
        >>> plain_text({"error": "out of memory"}) is None
        True
    """
    if type(payload) is not dict or payload.get("error") is not None or "message" in payload:
        return None
    choices, usage = payload.get("choices"), payload.get("usage")
    if type(choices) is not list or len(choices) != 1 or (usage and not _counts_are_plain(usage)):
        return None
    choice = choices[0]
    message = choice.get("message") if type(choice) is dict else None
    if type(message) is not dict or choice.get("logprobs") or choice.get("index") not in (0, None):
        return None
    # Most messages have a role and a text, so that there is nothing to look for.
    if (len(message) > 2 or "role" not in message) and any(map(message.get, _MORE)):
        return None
    text, word = message.get("content"), choice.get("finish_reason")
    reason = _REASONS.get(word) if type(word) is str else None
    if type(text) is not str or reason is None:
        return None
    # The names of vLLM and SGLang.
    stop = choice.get("stop_reason") or choice.get("matched_stop")
    return PlainText(text, reason, stop if type(stop) is str else None, openai_usage(usage) if usage else None)


def plain_reply(payload: Any) -> Reply | None:
    """Return the reply in a `chat.completion`, `None` if anything in it needs a closer look.

    It is the fold of what `read_chat_reply` makes of it, at a third of the cost.

    Args:
        payload: The parsed body.

    Example:
        >>> choice = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        >>> plain_reply({"choices": [choice]}).text
        'Hi'
    """
    found = plain_text(payload)
    if found is None:
        return None
    extra: dict[str, Any] = {}
    # Loops, because a comprehension is a function of its own.
    for name in _EXTRA:
        if payload.get(name) is not None:
            extra[name] = payload[name]
    choice = Choice(found.text, finish_reason=found.reason, stop=found.stop)
    return Reply((choice,), found.usage, payload.get("id") or None, payload.get("model") or None, extra)


def _counts_are_plain(usage: Any) -> bool:
    if type(usage) is not dict:
        return False
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return (prompt is None or type(prompt) is dict) and (completion is None or type(completion) is dict)
