"""LlamaIndex chat messages as sagewire messages: every block is converted, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
)

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.integrations.llama_index._blocks import THINKING, is_plain, thinking_in, tool_calls_in
from sagewire.types import ImagePart, Message, Part, Role, TextPart, as_message
from sagewire.types.content.left_out import say_left_out
from sagewire.types.content.media import image_from_url, media_part, read_media, with_heading
from sagewire.types.openai_shape import function_id

__all__ = ["as_sagewire_messages"]

# LlamaIndex keeps the role names of several vendors.
_ROLES: Mapping[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}

# The names that are read in a message's `additional_kwargs`.
_CARRIED = frozenset({"name", "tool_call_id", "tool_calls", "function_call", "refusal", "audio", *THINKING})


def as_sagewire_messages(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """Return the conversation in sagewire's own values; the messages given are not changed.

    Raises:
        UsageError: The list is empty, or a block stands in a message that cannot have it.
        UnsupportedFeature: A block has no counterpart.

    Example:
        >>> as_sagewire_messages([ChatMessage(role="user", content="Hi")])[0].content
        'Hi'
    """
    if not messages:
        raise UsageError("messages is empty; give at least one, for example [ChatMessage(content='Hi')]")
    return tuple(_message(message) for message in messages)


def _message(message: ChatMessage) -> Message:
    role = _ROLES[MessageRole(message.role)]
    given = message.additional_kwargs
    thinking, calls = thinking_in(message), tool_calls_in(message)
    content = _content(message.blocks)
    if role == "assistant" and not content:
        # A refusal, or the transcript of a spoken answer.
        other = {name: given[name] for name in ("refusal", "audio") if given.get(name)}
        content = as_message({"role": role, **other}).content
    unsent = [name for name, value in given.items() if value and name not in _CARRIED]
    if unsent:
        say_left_out("additional_kwargs of messages", unsent)
    if role != "assistant" and (thinking or calls):
        what = "thinking" if thinking else "tool calls"
        raise UsageError(f"a message of role '{role}' holds {what}, which only an assistant's can")
    return Message(
        role=role,
        content=content,
        tool_calls=calls,
        tool_call_id=_call_id(message) if role == "tool" else None,
        name=given.get("name"),
        thinking=thinking,
    )


def _call_id(message: ChatMessage) -> str | None:
    given = message.additional_kwargs
    if given.get("tool_call_id") is None and message.role == MessageRole.FUNCTION and given.get("name"):
        return function_id(given["name"])
    found: str | None = given.get("tool_call_id")
    return found


def _content(blocks: Sequence[Any]) -> str | tuple[Part, ...]:
    if len(blocks) == 1 and type(blocks[0]) is TextBlock:
        return blocks[0].text
    parts = [_part(block) for block in _flat(blocks) if is_plain(block)]
    if all(isinstance(part, TextPart) for part in parts):
        # As in `ChatMessage.content`: text blocks are separate lines.
        return "\n".join(part.text for part in parts if isinstance(part, TextPart))
    return tuple(parts)


def _flat(blocks: Sequence[Any]) -> Iterator[Any]:
    """Yield the blocks with content: the cited text instead of a citation, and no hints for caches."""
    for block in blocks:
        kind = getattr(block, "block_type", None)
        if kind == "citable":
            heading = with_heading("", {"title": block.title, "context": block.source})
            if heading:
                yield TextBlock(text=heading.rstrip("\n"))
            yield from _flat(block.content)
        elif kind == "citation":
            yield from _flat([block.cited_content])
        elif kind != "cache":
            yield block


def _part(block: Any) -> Part:
    if isinstance(block, TextBlock):
        return TextPart(block.text)
    if isinstance(block, ImageBlock):
        return _image(block)
    kind = getattr(block, "block_type", type(block).__name__)
    if kind in ("audio", "video", "document"):
        return _media(kind, block)
    raise UnsupportedFeature(f"a block of type '{kind}'", "a chat endpoint", "Put its content into a TextBlock.")


def _media(kind: str, block: Any) -> Part:
    say_left_out(
        f"fields of blocks of type '{kind}'", [name for name in ("detail", "fps") if getattr(block, name, None)]
    )
    url = getattr(block, "url", None)
    name = getattr(block, "title", None) or ""
    if url:
        # Not fetched: the container does that.
        return read_media({"type": kind, "url": str(url)})
    resolve = {"audio": "resolve_audio", "video": "resolve_video", "document": "resolve_document"}[kind]
    try:
        data = getattr(block, resolve)().read()
    except (OSError, ValueError) as error:
        raise UsageError(f"the {kind} of a block cannot be read: {error}") from None
    mime = next((found for field in _MEDIA_TYPES if isinstance(found := getattr(block, field, None), str)), None)
    if mime is None and getattr(block, "format", None):
        mime = f"audio/{block.format}"
    return media_part("file" if kind == "document" else kind, data, mime, name)


_MEDIA_TYPES = ("video_mimetype", "document_mimetype")


def _image(block: ImageBlock) -> Part:
    if block.url:
        # Not fetched: the container does that, and LlamaIndex would look for a `data:` URL on the network.
        return image_from_url(str(block.url), block.detail)
    try:
        data = block.resolve_image(as_base64=False).read()
    except (OSError, ValueError) as error:
        raise UsageError(f"the image of an ImageBlock cannot be read: {error}") from None
    if not isinstance(data, bytes):
        raise UsageError("the image of an ImageBlock must be binary; open the file with mode 'rb'")
    return ImagePart(data=data, media_type=block.image_mimetype or _media_type(data), detail=block.detail)


def _media_type(data: bytes) -> str:
    import filetype  # type: ignore[import-untyped]  # a dependency of llama-index-core

    guess = filetype.guess(data)
    return str(guess.mime) if guess else "image/png"
