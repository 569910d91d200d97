"""Messages and tools as chat templates expect them: plain JSON values, foreign text guarded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.types import ImagePart, Message, TextPart, Tool, ToolCall

__all__ = ["MessageWriter", "plain", "tool_dicts"]

Guard = Callable[[str], str]

# How templates look into a message's content. Those that only walk over its parts would walk over a text's letters.
CONTENT = r"(?<!\w)\w{1,60}(?:\.content|\[['\"]content['\"]\])"
WALKS_PARTS = re.compile(rf"\bfor\s{{1,9}}\w{{1,60}}\s{{1,9}}in\s{{1,9}}{CONTENT}")
KNOWS_PARTS = re.compile(rf"(?:{CONTENT}|\bcontent) is (?:not )?(?:string|iterable|sequence|mapping)\b|{CONTENT}\[0\]")
THINKING = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
# Longer than any token: what of a part's end may be the beginning of one.
TAIL = 100


class _Arguments(dict[str, Any]):
    """A call's arguments: an object for templates that look into it, its JSON text for those that write it as it is."""

    def __init__(self, value: Mapping[str, Any], text: str) -> None:
        super().__init__(value)
        self._text = text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__

    def __add__(self, other: Any) -> Any:
        return self._text + other

    def __radd__(self, other: Any) -> Any:
        return other + self._text


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
        guard: What foreign text goes through.
    """

    def __init__(self, template: str, guard: Guard) -> None:
        self._guard = guard
        self._wraps = WALKS_PARTS.search(template) is not None and KNOWS_PARTS.search(template) is None
        self._parts = self._wraps or KNOWS_PARTS.search(template) is not None
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
                written[key] = self._content(value)
            elif key == "tool_calls" and isinstance(value, Sequence):
                written[key] = [self._call(call) for call in value]
            else:
                written[str(key)] = plain(value, self._guard, f"a message's {key!r}")
        if message["role"] == "assistant":
            self._place_thinking(message, written)
        return written

    def _content(self, content: Any) -> Any:
        if content is None:
            return None
        if isinstance(content, str):
            text = self._guard(content)
            return [{"type": "text", "text": text}] if self._wraps else text
        if isinstance(content, Mapping):
            return plain(content, self._guard, "a message's content")
        if not isinstance(content, Sequence):
            raise UsageError(f"'content' is text, a list of parts or None, not {type(content).__name__}.")
        texts = self._guarded_parts([_part_text(part) for part in content])
        return [{"type": "text", "text": text} for text in texts] if self._parts else "".join(texts)

    def _guarded_parts(self, texts: list[str]) -> list[str]:
        """Guard parts one by one and where they meet: a template may write them without anything between."""
        guarded: list[str] = []
        tail = ""
        for text in texts:
            part = self._guard(text)
            if tail and self._guard(tail + part[:TAIL]) != tail + part[:TAIL]:
                part = f" {part}"
            guarded.append(part)
            tail = (tail + part)[-TAIL:]
        return guarded

    def _call(self, call: Any) -> Any:
        if isinstance(call, ToolCall):
            call = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        written = plain(call, self._guard, "a tool call")
        function = written.get("function", written) if isinstance(written, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise UsageError(f"A tool call is a dict with 'function': {{'name', 'arguments'}}, not {call!r:.200}.")
        text = function.get("arguments")
        if isinstance(text, str):
            try:
                value = json.loads(text, strict=False) if text.strip() else {}
            except (ValueError, RecursionError):
                return written
            if isinstance(value, dict):
                # A token may have been written with escapes, and so have passed the guard.
                value = plain(value, self._guard, "a tool call")
                function["arguments"] = _Arguments(value, text if text.strip() else "{}")
        return written

    def _place_thinking(self, message: Mapping[str, Any], written: dict[str, Any]) -> None:
        """Put reasoning where the template looks for it, which `<think>` that has been guarded is not."""
        content = message.get("content")
        thinking = next(
            (written[key] for key in ("reasoning_content", "thinking", "reasoning") if written.get(key)), None
        )
        found = THINKING.match(content) if isinstance(content, str) and not self._wraps else None
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


def _part_text(part: Any) -> str:
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    if isinstance(part, str):
        return part
    if isinstance(part, ImagePart) or (isinstance(part, Mapping) and "image" in str(part.get("type"))):
        cure = "Prompts are text; use a handler that speaks messages."
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
