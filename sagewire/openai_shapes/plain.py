"""Chat bodies that every OpenAI-shaped server takes as they are: text turns, and numbers for sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.errors import UsageError
from sagewire.types.option_checks import check_option

__all__ = ["plain_chat"]

_ROLES = frozenset({"system", "user", "assistant"})
_MESSAGE = {"role", "content"}
_NUMBERS = frozenset({"temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"})
_COUNTS = frozenset({"max_tokens", "top_k", "seed"})
# What the caller reads by itself, and the book-keeping of OpenAI's platform, which changes no answer.
_LEFT_OUT = frozenset({
    "model", "stream",
    "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user",
})  # fmt: skip


def plain_chat(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields of a chat body to send, `None` if any of them needs a closer look.

    They are what `chat_arguments` and `OpenAiChatHandler` make of the body, at a fraction of the time. Whatever might
    be wrong, be translated, or change how the answer is read (tools, stop strings, images, formats) is not plain.

    Args:
        body: A body of `/v1/chat/completions`.

    Example:
        >>> plain_chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 5})
        {'messages': [{'role': 'user', 'content': 'Hi'}], 'max_tokens': 5}
        >>> plain_chat({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stop": "."}) is None
        True
    """
    messages = body.get("messages")
    if type(messages) is not list or not messages:
        return None
    for message in messages:
        if type(message) is not dict or message.keys() != _MESSAGE:
            return None
        if type(message["content"]) is not str or type(message["role"]) is not str or message["role"] not in _ROLES:
            return None
    fields: dict[str, Any] = {"messages": messages}
    for name, value in body.items():
        if value is None or name == "messages" or name in _LEFT_OUT:
            continue
        if name == "stream_options" and type(value) is dict:
            continue
        name = "max_tokens" if name == "max_completion_tokens" else name
        if name in fields or not _is_plain(name, value):
            return None
        fields[name] = value
    return fields


def _is_plain(name: str, value: Any) -> bool:
    kinds = (int,) if name in _COUNTS else (int, float) if name in _NUMBERS else ()
    if type(value) not in kinds:
        return False
    try:
        check_option(name, value)
    except UsageError:
        return False
    return True
