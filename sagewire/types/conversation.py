"""Messages, their parts, and the tools a model may call."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Never, TypeAlias

from sagewire._names import explains_arguments, usage_error, wrong_arguments
from sagewire._short_repr import ShortRepr

_MISSING: Any = object()
_TEXTS = ("text", "message", "msg", "body", "parts", "blocks")
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True, repr=False)
class TextPart(ShortRepr):
    """A run of text inside a message.

    Args:
        text: The text.
    """

    text: str


@explains_arguments(
    **dict.fromkeys(("path", "file", "filename"), "use data=pathlib.Path('image.png').read_bytes()"),
    **dict.fromkeys(("image", "bytes", "base64"), "use data= with the bytes of the file, or url="),
    image_url="use url=",
    mime_type="use media_type=",
)
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


@explains_arguments(
    **dict.fromkeys(
        ("schema", "args_schema", "input_schema", "inputSchema", "arguments"), "use parameters=, a JSON schema"
    ),
    **dict.fromkeys(("func", "function", "fn"), "leave it out: a Tool describes a function, and your program calls it"),
)
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


@dataclass(frozen=True, slots=True, repr=False, init=False)
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

    # As the dataclass's own, but for names that it does not take; each turn of a conversation comes through here.
    def __init__(
        self,
        role: Role,
        content: str | tuple[Part, ...] = "",
        tool_calls: tuple[ToolCall, ...] = (),
        tool_call_id: str | None = None,
        name: str | None = None,
        thinking: str | None = None,
        extra: Mapping[str, Any] | None = None,
        **unknown: Never,
    ) -> None:
        if unknown or role is _MISSING:
            given = {"role": role} if role is not _MISSING else {}
            raise usage_error(_wrong_message({**given, **unknown}))
        put = object.__setattr__
        put(self, "role", role)
        put(self, "content", content)
        put(self, "tool_calls", tool_calls)
        put(self, "tool_call_id", tool_call_id)
        put(self, "name", name)
        put(self, "thinking", thinking)
        put(self, "extra", {} if extra is None else extra)

    @property
    def text(self) -> str:
        """The text of all text parts, joined without separator."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


# Type checkers see that a role is needed; without one, the error says how a message is written.
Message.__init__.__defaults__ = (_MISSING, *(Message.__init__.__defaults__ or ()))


def _wrong_message(given: Mapping[str, object]) -> str:
    if "role" not in given:
        return "Message() needs a role and a content: Message('user', 'Hi')"
    meant = {**dict.fromkeys(_TEXTS, "use content="), "tool_result": "use Message('tool', text, tool_call_id=...)"}
    return wrong_arguments("Message", Message.__init__, (), given, meant, 1)
