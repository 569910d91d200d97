"""Whole answers of OpenAI-shaped servers that hold one text and nothing else: read without the steps between."""

from __future__ import annotations

from typing import Any

import orjson

from sagewire.content_handlers.outcome import openai_usage
from sagewire.types import Choice, FinishReason, Reply, ResponseInfo

__all__ = ["plain_answer"]

_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
# The fields of a message that are more than text.
_MESSAGE = ("reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")
_EXTRA = ("system_fingerprint", "service_tier", "timings")


def plain_answer(data: bytes, info: ResponseInfo) -> Reply | None:
    """Return the reply in a body of `chat.completion`, `None` if anything in it needs a closer look.

    It is what `OpenAiChatHandler.transform_output` makes of the body, at a fraction of the time.

    Args:
        data: The body.
        info: The status, headers and ids of the response.

    Example:
        >>> choice = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        >>> plain_answer(orjson.dumps({"choices": [choice]}), ResponseInfo()).text
        'Hi'
        >>> plain_answer(b'{"error": "out of memory"}', ResponseInfo()) is None
        True
    """
    try:
        payload = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if type(payload) is not dict or payload.get("error") is not None or "message" in payload:
        return None
    choices = payload.get("choices")
    if type(choices) is not list or len(choices) != 1:
        return None
    choice = _choice(choices[0])
    usage = payload.get("usage")
    if choice is None or not _counts_are_plain(usage):
        return None
    extra = {name: payload[name] for name in _EXTRA if payload.get(name) is not None}
    counted = openai_usage(usage) if usage else None
    return Reply((choice,), counted, payload.get("id") or None, payload.get("model") or None, extra, info)


def _choice(choice: Any) -> Choice | None:
    message = choice.get("message") if type(choice) is dict else None
    if type(message) is not dict or choice.get("logprobs") or choice.get("index") not in (0, None):
        return None
    text, word = message.get("content"), choice.get("finish_reason")
    reason = _REASONS.get(word) if type(word) is str else None
    if type(text) is not str or reason is None or any(message.get(name) for name in _MESSAGE):
        return None
    # The names of vLLM and SGLang.
    stop = choice.get("stop_reason") or choice.get("matched_stop")
    return Choice(text, finish_reason=reason, stop=stop if type(stop) is str else None)


def _counts_are_plain(usage: Any) -> bool:
    if not usage:
        return True
    if type(usage) is not dict:
        return False
    details = (usage.get("prompt_tokens_details"), usage.get("completion_tokens_details"))
    return all(one is None or type(one) is dict for one in details)
