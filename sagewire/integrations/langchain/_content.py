"""Content blocks, in the many shapes LangChain messages carry them, as sagewire's parts.

The same image may arrive as OpenAI's `image_url`, as LangChain's standard block, as its older `source_type` block or as
Anthropic's `image` with a `source`; people store conversations and replay them with another model.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.integrations._media import read_media
from sagewire.types import ImagePart, Part, TextPart, ToolCall, as_message
from sagewire.types.openai_shape import decode_base64, note_left_out

__all__ = ["Content", "read_content"]

_WHERE = "a sagewire message"
_CURE = "Send its URL, or its bytes as base64, or its content as text."
# Blocks about things that happened elsewhere: nothing a model needs to see again.
_INVISIBLE = frozenset({"redacted_thinking", "cachePoint", "cache_point"})
_MEDIA = frozenset(
    {"audio", "input_audio", "audio_url", "video", "video_url", "file", "input_file", "document", "media"}
)
_READABLE = (
    "text, text-plain, image, image_url, audio, video, file, reasoning, thinking, refusal, tool_call, tool_use, "
    "tool_result, non_standard"
)
logger = logging.getLogger("sagewire")
# Types of an assistant's blocks that the log has told of.
_LEFT_OUT: set[str] = set()


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
        answered: It is a model's own answer. What a provider's server did for it (a search, running code) is left out
            where no block is known for it: the answer's text tells what came of it.

    Raises:
        UnsupportedFeature: A block holds a medium in a form that no container takes.
        UsageError: LangChain does not know the block.

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
        elif isinstance(block, Mapping):
            _read_block(block, found, answered)
        else:
            raise UsageError(f"a content block must be text or a mapping, not {type(block).__name__}")
    return found


def _read_block(block: Mapping[str, Any], found: Content, answered: bool) -> None:
    kind = block.get("type")
    if kind == "text" or (kind is None and isinstance(block.get("text"), str)):
        note_left_out(block, "text", "annotations", "extras")
        found.parts.append(TextPart(str(block.get("text") or "")))
    elif kind == "text-plain":
        found.parts.append(TextPart(_plain_text(block)))
    elif kind == "refusal":
        found.parts.append(TextPart(str(block.get("refusal") or "")))
    elif kind in ("image", "image_url", "input_image"):
        found.parts.append(_image(block))
    elif kind in ("reasoning", "thinking", "reasoning_content"):
        found.thinking.append(_reasoning(block))
    elif kind in ("tool_call", "tool_use", "function_call", "invalid_tool_call"):
        found.tool_calls.append(_tool_call(block))
    elif kind == "tool_result":
        found.results.append((str(block.get("tool_use_id") or ""), block.get("content")))
    elif kind == "non_standard" and isinstance(block.get("value"), Mapping):
        _read_block(block["value"], found, answered)
    elif kind in _MEDIA:
        found.parts.append(read_media(block))
    elif answered:
        _leave_out(str(kind))
    elif kind not in _INVISIBLE:
        raise UsageError(f"unknown content block {_shown(block)}; readable types: {_READABLE}")


def _plain_text(block: Mapping[str, Any]) -> str:
    if isinstance(block.get("text"), str):
        return str(block["text"])
    encoded = block.get("base64")
    if isinstance(encoded, str):
        return _decoded(encoded).decode("utf-8", "replace")
    raise UnsupportedFeature("a 'text-plain' block without its text", _WHERE, "Load the document first.")


def _image(block: Mapping[str, Any]) -> ImagePart:
    if block.get("type") in ("image_url", "input_image"):
        image = block.get("image_url")
        detail = block.get("detail")
        fields = {"url": image, "detail": detail} if isinstance(image, str) else image
        message = as_message({"role": "user", "content": [{"type": "image_url", "image_url": fields}]})
        return message.content[0]  # type: ignore[return-value]
    source = block.get("source")
    fields = source if isinstance(source, Mapping) else block
    url = fields.get("url")
    # LangChain's standard name, then that of its older blocks and of Anthropic's source.
    encoded = fields.get("base64") or fields.get("data")
    if isinstance(encoded, str) and encoded:
        media_type = fields.get("mime_type") or fields.get("media_type") or "image/png"
        return ImagePart(data=_decoded(encoded), media_type=media_type)
    if isinstance(url, str) and url:
        return _image({"type": "image_url", "image_url": url})
    raise UnsupportedFeature("an image given by a file id", _WHERE, "Give its URL, or its bytes as base64.")


def _reasoning(block: Mapping[str, Any]) -> str:
    for name in ("reasoning", "thinking", "text", "reasoning_content"):
        value = block.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping):
            return _reasoning(value)
    summary = block.get("summary")
    return "".join(_summary_texts(summary)) if isinstance(summary, list) else ""


def _summary_texts(summary: list[Any]) -> Iterator[str]:
    for item in summary:
        yield str(item.get("text") or "") if isinstance(item, Mapping) else str(item)


def _tool_call(block: Mapping[str, Any]) -> ToolCall:
    # `args` is LangChain's word, `input` Anthropic's, `arguments` OpenAI's.
    value: Any = next((block[name] for name in ("args", "input", "arguments") if block.get(name) is not None), {})
    arguments = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # OpenAI's Responses API has an `id` of the block and a `call_id` of the call.
    return ToolCall(str(block.get("call_id") or block.get("id") or ""), str(block.get("name") or ""), arguments)


def _decoded(encoded: str) -> bytes:
    return decode_base64(encoded, "a content block's data")


def _leave_out(kind: str) -> None:
    if kind not in _INVISIBLE and kind not in _LEFT_OUT:
        _LEFT_OUT.add(kind)
        logger.info("blocks of type '%s' in earlier answers are another provider's own and are left out", kind)


def _shown(block: Mapping[str, Any]) -> str:
    return f"{dict(block)!r:.200}"
