"""The arguments of tool calls as models write them: one rule for every wire, prompt format and framework."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["parse_arguments", "sendable_arguments"]

# Spellings of "no arguments", by models and by servers.
_NOTHING: tuple[Any, ...] = (None, "", "null", [])


def parse_arguments(text: str) -> dict[str, Any]:
    r"""Return the arguments of a tool call as a dictionary.

    Nothing, `null`, `"null"`, `""` and `[]` mean no arguments. Raw line breaks inside strings are read, and so is an
    object that was written as JSON text within JSON. Integers keep all their digits.

    Args:
        text: `ToolCall.arguments`.

    Raises:
        ValueError: They are not a JSON object, or were cut off.

    Example:
        >>> parse_arguments('{"city": "Bergen"}'), parse_arguments("null")
        ({'city': 'Bergen'}, {})
    """
    if not text.strip():
        return {}
    try:
        value = json.loads(text, strict=False)
        if isinstance(value, str) and value not in _NOTHING:
            value = json.loads(value, strict=False)
    except RecursionError:
        raise ValueError("they are nested too deeply") from None
    if value in _NOTHING:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"they are not a JSON object but {type(value).__name__}")
    return value


def sendable_arguments(text: str) -> str:
    r"""Return the arguments of an earlier tool call as a JSON object that every server can read.

    Servers hand them to the model's chat template as an object and refuse a conversation with anything else. Text that
    cannot be parsed stays visible to the model, as the value of `invalid_json`.

    Args:
        text: `ToolCall.arguments`.

    Example:
        >>> sendable_arguments('{"path": "a.t'), sendable_arguments("")
        ('{"invalid_json": "{\\"path\\": \\"a.t"}', '{}')
    """
    try:
        value = parse_arguments(text)
    except ValueError:
        return json.dumps({"invalid_json": text}, ensure_ascii=False)
    try:
        if isinstance(json.loads(text), dict):
            return text
    except ValueError:
        pass
    return json.dumps(value, ensure_ascii=False)
