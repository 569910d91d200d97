"""Messages and tools as chat templates expect them: plain JSON values, foreign text guarded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats.chat_template.arguments import Arguments
from sagewire.prompt_formats.chat_template.probe import ContentShape
from sagewire.prompt_formats.engine.guard import guard_parts
from sagewire.types import ImagePart, Message, TextPart, Tool, ToolCall, sendable_arguments

__all__ = ["MessageWriter", "plain", "tool_dicts"]

Guard = Callable[[str], str]

THINKING = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


def plain(value: Any, guard: Guard, where: str) -> Any:
    """Return a copy that consists of JSON values only, its texts guarded; raise `UsageError` for anything else."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return guard(str(value))
    if isinstance(value, Mapping):
        return {guard(str(key)): plain(item, guard, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, guard, where) for item in value]
    raise UsageError(f"{where} holds a {type(value).__name__}; chat templates take JSON values only.")


class MessageWriter:
    """Turns messages into what one template expects.

    Args:
        template: The template's source, which tells what it knows about.
        shape: How the template takes the content of a role's messages.
        guard: The guard that foreign text goes through.
    """

    def __init__(self, template: str, shape: Callable[[str], ContentShape], guard: Guard) -> None:
        self._shape = shape
        self._guard = guard
        self._splits_thinking = "</think>" in template and "reasoning_content" not in template
        self._takes_thinking = "reasoning_content" in template

    def message(self, message: Message | Mapping[str, Any]) -> dict[str, Any]:
        """Return one message as a dict.

        Raises:
            UsageError: It is not a message.
            UnsupportedFeature: It carries an image.
        """
        if isinstance(message, Message):
            message = _as_dict(message)
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise UsageError("A message is a sagewire Message or a dict with 'role'.")
        written: dict[str, Any] = {}
        for key, value in message.items():
            if key == "content":
                written[key] = self._content(value, message["role"])
            elif key == "tool_calls" and isinstance(value, Sequence):
                written[key] = [self._call(call) for call in value]
            else:
                written[str(key)] = plain(value, self._guard, f"a message's {key!r}")
        if message["role"] == "assistant":
            written.setdefault("content", "")
            self._place_thinking(message, written)
        return written

    def _content(self, content: Any, role: str) -> Any:
        # Templates write null as "None", or fail on it.
        content = "" if content is None else content
        if isinstance(content, Mapping):
            return plain(content, self._guard, "a message's content")
        if not isinstance(content, str | Sequence):
            raise UsageError(f"'content' is text, a list of parts or None, not {type(content).__name__}.")
        if isinstance(content, str):
            text = self._guard(content)
            return [_text_part(text)] if content and self._shape(role) is ContentShape.PARTS else text
        texts = [_part_text(part) for part in content]
        if self._shape(role) is ContentShape.TEXT:
            return self._guard("".join(texts))
        return list(map(_text_part, guard_parts(texts, self._guard)))

    def _call(self, call: Any) -> Any:
        if isinstance(call, ToolCall):
            call = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        written = plain(call, self._guard, "a tool call")
        function = written.get("function", written) if isinstance(written, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise UsageError(f"A tool call is a dict with 'function': {{'name', 'arguments'}}, not {call!r:.200}.")
        given = call.get("function", call).get("arguments")
        if not isinstance(given, dict):
            text = sendable_arguments(given if isinstance(given, str) else json.dumps(given))
            # A token may have been written with escapes, and so have passed the guard.
            value = plain(json.loads(text), self._guard, "a tool call")
            function["arguments"] = Arguments(value, self._guard(text))
        return written

    def _place_thinking(self, message: Mapping[str, Any], written: dict[str, Any]) -> None:
        """Put reasoning where the template looks for it, which `<think>` that has been guarded is not."""
        content = message.get("content")
        thinking = next(
            (written[key] for key in ("reasoning_content", "thinking", "reasoning") if written.get(key)), None
        )
        found = (
            THINKING.match(content) if isinstance(written.get("content"), str) and isinstance(content, str) else None
        )
        if thinking is None and found is not None and isinstance(content, str):
            thinking, rest = self._guard(found[1].strip("\n")), self._guard(content[found.end() :])
            if self._splits_thinking:
                written["content"] = f"<think>\n{thinking}\n</think>\n\n{rest}"
                return
            if not self._takes_thinking:
                return
            written["content"] = rest
        if thinking is not None:
            written.setdefault("thinking", thinking)
            written["reasoning_content"] = thinking


def _as_dict(message: Message) -> dict[str, Any]:
    content: Any = message.content if isinstance(message.content, str) else list(message.content)
    # Only what is there: templates ask whether a key exists.
    optional = {
        "tool_calls": list(message.tool_calls),
        "tool_call_id": message.tool_call_id,
        "name": message.name,
        "reasoning_content": message.thinking,
    }
    return {"role": message.role, "content": content, **{key: value for key, value in optional.items() if value}}


def _text_part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _part_text(part: Any) -> str:
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    if isinstance(part, str):
        return part
    if isinstance(part, ImagePart) or (isinstance(part, Mapping) and "image" in str(part.get("type"))):
        cure = "Prompts are text; use a handler that takes messages."
        raise UnsupportedFeature("images", "a chat template", cure)
    raise UsageError(f"A content part is text, not {part!r:.100}.")


def tool_dicts(tools: Sequence[Tool | Mapping[str, Any]], guard: Guard) -> list[Any]:
    """Return tools in OpenAI's shape; dicts keep the order of their keys."""
    found = []
    for tool in tools:
        if isinstance(tool, Tool):
            function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
            tool = {"type": "function", "function": function}
        elif not isinstance(tool, Mapping) or not isinstance(tool.get("function", tool), Mapping):
            raise UsageError(f"A tool is a sagewire Tool or a dict with 'function', not {tool!r:.200}.")
        elif "function" not in tool:
            tool = {"type": "function", "function": tool}
        found.append(plain(tool, guard, "a tool"))
    return found
