"""Content blocks as parts, reasoning, tool calls and tool results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.types.content.left_out import note_left_out, say_left_out
from sagewire.types.content.media import decode_base64, read_image, read_media, with_heading
from sagewire.types.content.untyped import typed
from sagewire.types.conversation import ImagePart, MediaPart, Part, TextPart, ToolCall

__all__ = ["Content", "as_json", "read_content", "read_reasoning"]

_TEXTS = frozenset({"text", "input_text", "output_text", "refusal", "guard_content"})
_IMAGES = frozenset({"image", "image_url", "input_image"})
_MEDIA = frozenset(
    {"audio", "input_audio", "audio_url", "video", "video_url", "file", "input_file", "document", "media"}
)
_REASONING = frozenset({"reasoning", "thinking", "reasoning_content"})
_CALLS = frozenset(
    {"tool_call", "tool_use", "function_call", "invalid_tool_call", "tool_call_chunk", "custom_tool_call"}
)
_RESULTS = frozenset({"tool_result", "function_call_output", "custom_tool_call_output"})
# Blocks about things that happened elsewhere: nothing a model needs to see again.
_INVISIBLE = frozenset({"redacted_thinking", "cachePoint", "cache_point"})
_DOCUMENTS = frozenset({"text-plain", "search_result", "citations_content", "json"})
_KNOWN = _TEXTS | _IMAGES | _MEDIA | _REASONING | _CALLS | _RESULTS | _INVISIBLE | _DOCUMENTS | {"non_standard"}


@dataclass(slots=True)
class Content:
    """What was found in a message's content.

    Args:
        parts: Text, images and other media, in order.
        thinking: Reasoning, pieces in order.
        tool_calls: Tool calls written as content blocks.
        results: Tool results written as content blocks: the call's id and its content.
    """

    parts: list[Part] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    results: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def body(self) -> str | tuple[Part, ...]:
        """The parts, as plain text if there is only one. Several are put together by the server, its own way."""
        if not self.parts:
            return ""
        first = self.parts[0]
        return first.text if len(self.parts) == 1 and isinstance(first, TextPart) else tuple(self.parts)

    @property
    def answer(self) -> str | tuple[Part, ...]:
        """The parts of a model's own answer: pieces of text are one text, which was cut as it was written."""
        if all(isinstance(part, TextPart) for part in self.parts):
            return "".join(part.text for part in self.parts if isinstance(part, TextPart))
        return tuple(self.parts)


def read_content(content: Any, *, answered: bool = False) -> Content:
    """Read a message's content: a string, or a list of strings and blocks.

    Args:
        content: The content.
        answered: It is a model's own answer. The steps of a provider's server (a search, running code) are left out
            where no block is known for it: the answer's text tells what came of it.

    Raises:
        UnsupportedFeature: A block holds a medium in a form that no container takes.
        UsageError: The block is unknown.

    Example:
        >>> read_content(["Look: ", {"type": "image", "url": "https://example.org/cat.png"}]).parts[1].url
        'https://example.org/cat.png'
    """
    found = Content()
    if isinstance(content, str):
        if content:
            found.parts.append(TextPart(content))
        return found
    for block in content or ():
        if isinstance(block, str):
            found.parts.append(TextPart(block))
        elif isinstance(block, TextPart | ImagePart | MediaPart):
            found.parts.append(block)
        elif isinstance(block, Mapping):
            _read_block(typed(block), found, answered)
        else:
            raise UsageError(f"a content part must be text or a mapping, not {type(block).__name__}")
    return found


def read_reasoning(value: Any) -> str:
    """Return the text of reasoning: a text, or the blocks and objects in which providers keep it; "" without any."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        for name in ("reasoning", "thinking", "text", "reasoning_content", "content", "summary"):
            found = read_reasoning(value.get(name))
            if found:
                return found
        return ""
    return "".join(map(read_reasoning, value)) if isinstance(value, list | tuple) else ""


def as_json(value: Any) -> str:
    """Return data as JSON text; what JSON lacks, as Python prints it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _read_block(block: Mapping[str, Any], found: Content, answered: bool) -> None:
    kind = block.get("type")
    if kind in _INVISIBLE:
        return
    if kind in _TEXTS:
        found.parts.append(TextPart(_text(block)))
    elif kind in _DOCUMENTS:
        found.parts.append(TextPart(_document(block)))
    elif kind in _IMAGES:
        found.parts.append(read_image(block))
    elif kind in _REASONING:
        found.thinking.append(read_reasoning(block))
    elif kind == "tool_call_chunk" and not block.get("name") and found.tool_calls:
        last = found.tool_calls[-1]
        found.tool_calls[-1] = replace(last, arguments=last.arguments + str(block.get("args") or ""))
    elif kind in _CALLS:
        found.tool_calls.append(_tool_call(block))
    elif kind in _RESULTS:
        call_id = block.get("tool_use_id") or block.get("tool_call_id") or block.get("call_id") or ""
        note_left_out(block, "tool_use_id", "tool_call_id", "call_id", "content", "output")
        found.results.append((str(call_id), block.get("content", block.get("output"))))
    elif kind == "non_standard" and isinstance(block.get("value"), Mapping):
        _read_block(typed(block["value"]), found, answered)
    elif kind in _MEDIA:
        found.parts.append(read_media(block))
    elif answered:
        say_left_out("blocks of other providers in earlier answers", [str(kind)])
    else:
        readable = ", ".join(sorted(_KNOWN - _INVISIBLE))
        raise UsageError(f"unknown content part {_shown(block)}; known types: {readable}")


def _text(block: Mapping[str, Any]) -> str:
    name = "refusal" if block["type"] == "refusal" else "text"
    text = block.get(name, False)
    if isinstance(text, Mapping):
        # Bedrock's guarded text
        text = text.get("text")
    if text is not None and not isinstance(text, str):
        raise UsageError(f"a content part of type {block['type']!r} needs its text in {name!r}, got {_shown(block)}")
    note_left_out(block, name, "annotations", "extras", "citations")
    return text or ""


def _document(block: Mapping[str, Any]) -> str:
    kind = block["type"]
    if kind == "json":
        return as_json(block.get("json"))
    if kind == "text-plain":
        text = block.get("text")
        if text is None and isinstance(block.get("base64"), str):
            text = decode_base64(block["base64"], "a content part's data").decode("utf-8", "replace")
        if not isinstance(text, str):
            raise UnsupportedFeature("a 'text-plain' block without its text", "a message", "Load the document first.")
        return with_heading(text, block)
    value = block.get("citations_content") if kind == "citations_content" else None
    inner = (value if isinstance(value, Mapping) else block).get("content")
    pieces = [inner] if isinstance(inner, str) else inner if isinstance(inner, list) else []
    text = "".join(_texts(pieces))
    source = block.get("source")
    return with_heading(text, {**block, "context": source if isinstance(source, str) else None})


def _texts(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        yield str(item.get("text") or "") if isinstance(item, Mapping) else str(item)


def _tool_call(block: Mapping[str, Any]) -> ToolCall:
    # `args` is LangChain's word, `input` Anthropic's, `arguments` OpenAI's. A block that was streamed has its
    # arguments in `partial_json`, and an empty `input`.
    names = ("partial_json", "args", "input", "arguments")
    value: Any = next((block[name] for name in names if block.get(name) not in (None, "")), {})
    if block.get("type") == "custom_tool_call" and isinstance(value, str):
        value = {"input": value}
    # OpenAI's Responses API has an `id` of the block and a `call_id` of the call.
    call_id = str(block.get("call_id") or block.get("id") or "")
    arguments = value if isinstance(value, str) else as_json(value)
    return ToolCall(call_id, str(block.get("name") or ""), arguments)


def _shown(block: Mapping[str, Any]) -> str:
    return f"{dict(block)!r:.200}"
