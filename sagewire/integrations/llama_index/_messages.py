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
from sagewire.integrations._media import media_part, read_media
from sagewire.integrations.llama_index._blocks import is_plain, thinking_in, tool_calls_in
from sagewire.types import ImagePart, Message, Part, Role, TextPart, as_message

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
    if role != "assistant" and (thinking or calls):
        what = "thinking" if thinking else "tool calls"
        raise UsageError(f"a message of role '{role}' holds {what}, which only an assistant's can")
    return Message(
        role=role,
        content=_content(message.blocks),
        tool_calls=calls,
        tool_call_id=given.get("tool_call_id") if role == "tool" else None,
        name=given.get("name"),
        thinking=thinking,
    )


def _content(blocks: Sequence[Any]) -> str | tuple[Part, ...]:
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
        image = {"type": "image_url", "image_url": {"url": str(block.url), "detail": block.detail}}
        return as_message({"role": "user", "content": [image]}).content[0]  # type: ignore[return-value]
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
