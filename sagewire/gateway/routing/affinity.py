"""The ties of a conversation to a replica: its turns share their beginning, and so a cached prefix."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

__all__ = ["conversation_id", "prefix_id"]


def prefix_id(body: Mapping[str, Any], caller: str = "") -> str | None:
    """Return an id that all turns of a conversation share, `None` if it cannot be told.

    `prompt_cache_key`, OpenAI's field for this very purpose, wins. Else it is everything up to the first user message:
    that never changes while a conversation grows.

    Args:
        body: A request of any of OpenAI's generating routes.
        caller: Whose request it is; two callers with the same words are two conversations.

    Example:
        >>> hi = {"role": "user", "content": "Hi"}
        >>> more = [hi, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}]
        >>> prefix_id({"messages": [hi]}) == prefix_id({"messages": more})
        True
    """
    beginning: Any = body.get("prompt_cache_key")
    if not beginning:
        beginning = _beginning(body.get("messages") or body.get("input") or body.get("prompt"))
    if not beginning:
        return None
    try:
        text = orjson.dumps([caller, body.get("model"), beginning])
    except orjson.JSONEncodeError:
        return None
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def conversation_id(body: Mapping[str, Any], caller: str, named: str = "") -> str | None:
    """Return the id of the conversation that a request names, `None` if it does not name one.

    Unlike `prefix_id` nothing is guessed: what is opened for a conversation must not be opened for every single
    question.

    Args:
        body: A request; `prompt_cache_key` and `user` name the conversation, in this order.
        caller: Whose request it is; two callers with the same name for it have two conversations.
        named: The `x-session-id` header, which comes first.
    """
    name = named or body.get("prompt_cache_key") or body.get("user")
    if not isinstance(name, str) or not name:
        return None
    text = orjson.dumps([caller, body.get("model"), name])
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _beginning(conversation: Any) -> Any:
    if not isinstance(conversation, list):
        # A bare prompt: its first part, which is what a replica may have cached.
        return conversation[:1000] if isinstance(conversation, str) else None
    for number, message in enumerate(conversation):
        if isinstance(message, dict) and message.get("role") == "user":
            return conversation[: number + 1]
    return conversation
