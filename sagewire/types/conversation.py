"""Messages, their parts, and the tools a model may call."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sagewire._short_repr import ShortRepr

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True, repr=False)
class TextPart(ShortRepr):
    """A run of text inside a message.

    Args:
        text: The text.
    """

    text: str


@dataclass(frozen=True, slots=True, repr=False)
class ImagePart(ShortRepr):
    """An image inside a message: a URL, or bytes with their media type.

    Args:
        url: The image's address (`https://...` or a `data:` URL). Empty when `data` is given.
        data: The encoded image file itself.
        media_type: The media type of `data`, for example `image/png`.
        detail: OpenAI's hint `low`, `high` or `auto`; only request formats that have it carry it.
    """

    url: str = ""
    data: bytes = b""
    media_type: str = "image/png"
    detail: str | None = None

    def as_url(self) -> str:
        """Return `url`, or the bytes as a `data:` URL."""
        if self.url:
            return self.url
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class MediaPart:
    """Audio, video or a file inside a message, for servers with OpenAI's request format.

    Args:
        kind: `input_audio`, `audio_url`, `video_url` or `file`.
        value: The value under that name in OpenAI's and vLLM's content parts, for example
            `{"data": "<base64>", "format": "wav"}` or `{"url": "https://..."}`.
    """

    kind: str
    value: Mapping[str, Any] = field(repr=False, hash=False)


Part: TypeAlias = TextPart | ImagePart | MediaPart


@dataclass(frozen=True, slots=True, repr=False)
class ToolCall(ShortRepr):
    """A function the model asks for.

    Args:
        id: The id that the result refers to; made up if the model gave none.
        name: The function's name.
        arguments: JSON text as the model wrote it, which may be anything; it is never evaluated.

    Example:
        >>> ToolCall("call_1", "get_weather", '{"city": "Bergen"}').name
        'get_weather'
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, repr=False)
class Tool(ShortRepr):
    """A function the model may ask for.

    Args:
        name: Its name.
        description: Its purpose, for the model to read.
        parameters: The JSON schema of its arguments.
        strict: Whether arguments have to match the schema exactly, if the container can enforce it.

    Example:
        >>> schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        >>> Tool("get_weather", "Get the weather of a city.", schema).name
        'get_weather'
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Message(ShortRepr):
    """One turn of a conversation.

    Args:
        role: The speaker: `system`, `user`, `assistant` or `tool`.
        content: Text, or a tuple of text, image and media parts.
        tool_calls: The calls that an assistant asked for in this turn.
        tool_call_id: For `role="tool"`: the call this is the result of.
        name: The speaker's or the tool's name, if the request format or the prompt format has a field for it.
        thinking: The assistant's reasoning in this turn; sent back only if the format has a field for it.
        extra: Further fields of OpenAI-shaped messages (`cache_control`, ...), passed on by OpenAI-shaped wires.
    """

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    thinking: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @property
    def text(self) -> str:
        """The text of all text parts, joined without separator."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))
