"""Tool turns that a framework writes as plain text, such as smolagents, read back into calls and results."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sagewire.emulator.engines.base import text_of
from sagewire.types import Message, ToolCall

__all__ = ["read_written_turns"]

# How smolagents writes them: github.com/huggingface/smolagents, src/smolagents/memory.py.
_CALLS = "Calling tools:\n"
_RESULT = "Observation:\n"
_TASK = "New task:\n"


def read_written_turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the conversation with its written calls and results as tool calls and tool messages."""
    return tuple(_read(messages))


def _read(messages: Sequence[Message]) -> Iterator[Message]:
    called = False
    for message in messages:
        text = text_of(message)
        calls = _calls(text) if message.role == "assistant" else ()
        if calls:
            called = True
            yield replace(message, content="", tool_calls=calls)
        elif called and message.role == "user" and text.startswith(_RESULT):
            yield Message("tool", text.removeprefix(_RESULT), tool_call_id="written")
        elif message.role == "user" and text.startswith(_TASK):
            yield replace(message, content=text.removeprefix(_TASK))
        else:
            yield message


def _calls(text: str) -> tuple[ToolCall, ...]:
    if not text.startswith(_CALLS):
        return ()
    try:
        written: Any = ast.literal_eval(text.removeprefix(_CALLS))
        return tuple(ToolCall("written", call["function"]["name"], "{}") for call in written)
    except (KeyError, SyntaxError, TypeError, ValueError):
        return ()
