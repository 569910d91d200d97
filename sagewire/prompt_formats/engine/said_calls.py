"""Tool calls as models write them, for families whose templates drop the calls of earlier turns.

Such a template was made for programs that put the model's own text back into the conversation. With calls in a field
of their own it would say that a result came from nowhere, so the text is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn

__all__ = ["CALLS_AS_SAID", "python_call"]

# What stands for characters of a text that is an argument.
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"})


def python_call(conversation: Conversation, call: Call, shown: Callable[[Any], str] | None = None) -> str:
    """Return a call as Python writes it.

    Args:
        conversation: Guards what the arguments hold.
        call: The call.
        shown: Returns the value of an argument, if it differs from Python's way.
    """

    def literal(value: Any) -> str:
        if isinstance(value, str):
            return f"'{conversation.guard(value.translate(_ESCAPES))}'"
        return conversation.json(value) if isinstance(value, dict | list) else str(value)

    fields = (f"{conversation.guard(name)}={(shown or literal)(value)}" for name, value in call.fields().items())
    return f"{call.name}({', '.join(fields)})"


def _granite(conversation: Conversation, turn: Turn) -> str:
    calls = [{"name": call.name, "arguments": call.arguments} for call in turn.calls]
    return "<|tool_call|>" + conversation.json(calls)


def _hermes(conversation: Conversation, turn: Turn) -> str:
    written = []
    for call in turn.calls:
        arguments = conversation.json(call.arguments)
        written.append(f'<tool_call>\n{{"name": "{call.name}", "arguments": {arguments}}}\n</tool_call>')
    return ("\n" if turn.text.strip() else "") + "\n".join(written)


def _lfm2(conversation: Conversation, turn: Turn) -> str:
    calls = ", ".join(python_call(conversation, call) for call in turn.calls)
    return f"<|tool_call_start|>[{calls}]<|tool_call_end|>"


# Name of the output parser, which tells how the family writes calls -> writer.
CALLS_AS_SAID: Mapping[str, Callable[[Conversation, Turn], str]] = {
    "granite": _granite,
    "hermes": _hermes,
    "lfm2": _lfm2,
}
