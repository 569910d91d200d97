"""Reading OpenAI-shaped dictionaries, the form in which most people have their messages and tools."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import orjson

from sagewire.errors import UsageError
from sagewire.types.conversation import ImagePart, Message, Part, Role, TextPart, Tool, ToolCall

__all__ = ["as_message", "as_messages", "as_tool", "as_tool_choice", "as_tools"]

MessageLike = Message | Mapping[str, Any]
ToolLike = Tool | Mapping[str, Any]

# `developer` is OpenAI's newer word for `system`; `function` its older one for `tool`.
_ROLES: dict[str, Role] = {role: role for role in get_args(Role)} | {"developer": "system", "function": "tool"}
_MESSAGE_KEYS = {
    "role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "reasoning", "thinking",
    "function_call", "refusal", "audio", "annotations",
}  # fmt: skip


def as_messages(value: str | MessageLike | Iterable[MessageLike]) -> tuple[Message, ...]:
    """Return messages from a string (one user turn), one message, or many, each a `Message` or a dictionary.

    Raises:
        UsageError: Something in it is no message.

    Example:
        >>> as_messages("Hi") == as_messages([{"role": "user", "content": "Hi"}])
        True
    """
    if isinstance(value, str):
        return (Message("user", value),)
    if isinstance(value, Message | Mapping):
        return (as_message(value),)
    if not isinstance(value, Iterable):
        raise UsageError(f"messages must be a string or a list of messages, not {type(value).__name__}")
    messages = tuple(as_message(item) for item in value)
    if not messages:
        raise UsageError("messages is empty; give at least one, for example [{'role': 'user', 'content': 'Hi'}]")
    return messages


def as_message(value: MessageLike) -> Message:
    """Return a `Message` from an OpenAI-shaped dictionary; a `Message` is returned as it is."""
    if isinstance(value, Message):
        return value
    if not isinstance(value, Mapping):
        raise UsageError(
            f"a message must be a Message or a mapping with 'role' and 'content', not {type(value).__name__}"
        )
    role = _ROLES.get(str(value.get("role")))
    if role is None:
        raise UsageError(f"unknown role {value.get('role')!r}; known: {', '.join(_ROLES)}")
    unknown = [key for key in value if key not in _MESSAGE_KEYS and value[key] is not None]
    if unknown:
        raise UsageError(
            f"unknown keys in a message: {', '.join(map(str, unknown))}; known: {', '.join(sorted(_MESSAGE_KEYS))}"
        )
    unreadable = [key for key in ("function_call", "audio") if value.get(key)]
    if unreadable:
        raise UsageError(f"a message with {unreadable[0]!r} cannot be sent; use 'tool_calls' and text or image content")
    return Message(
        role=role,
        content=_content(value.get("content")),
        tool_calls=_tool_calls(value.get("tool_calls")),
        tool_call_id=value.get("tool_call_id"),
        name=value.get("name"),
        thinking=value.get("reasoning_content") or value.get("reasoning") or value.get("thinking"),
    )


def as_tools(values: Iterable[ToolLike] | None) -> tuple[Tool, ...]:
    """Return tools from `Tool` objects or OpenAI-shaped dictionaries."""
    if values is not None and not isinstance(values, Iterable):
        raise UsageError(f"tools must be a list of tools, not {type(values).__name__}")
    return tuple(as_tool(value) for value in values or ())


def as_tool(value: ToolLike) -> Tool:
    """Return a `Tool` from `{"type": "function", "function": {...}}` or from the inner dictionary alone."""
    if isinstance(value, Tool):
        return value
    function = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not function.get("name"):
        raise UsageError(
            f"a tool needs a name: {{'type': 'function', 'function': {{'name': ...}}}}, got {value!r:.200}"
        )
    return Tool(
        name=function["name"],
        description=function.get("description") or "",
        parameters=function.get("parameters") or {"type": "object", "properties": {}},
        strict=function.get("strict"),
    )


def as_tool_choice(value: str | Mapping[str, Any] | None) -> str | None:
    """Return `auto`, `none`, `required`, a tool's name, or `None` where nothing was said.

    Args:
        value: That word or name, or OpenAI's dictionary, which names a tool.

    Raises:
        UsageError: It is neither.

    Example:
        >>> as_tool_choice({"type": "function", "function": {"name": "get_weather"}})
        'get_weather'
    """
    if value is None or isinstance(value, str):
        return value
    function = value.get("function") if isinstance(value, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not (isinstance(name, str) and name):
        raise UsageError(
            "tool_choice must be 'auto', 'none', 'required', a tool's name, or "
            f"{{'type': 'function', 'function': {{'name': ...}}}}, not {value!r:.200}"
        )
    return name


def _content(value: Any) -> str | tuple[Part, ...]:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        return tuple(_part(part) for part in value)
    raise UsageError(f"message content must be text or a list of parts, not {type(value).__name__}")


def _part(value: Any) -> Part:
    if isinstance(value, str):
        return TextPart(value)
    if isinstance(value, TextPart | ImagePart):
        return value
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind == "text" and isinstance(value.get("text"), str):
        return TextPart(value["text"])
    if kind == "image_url":
        image = value.get("image_url")
        if isinstance(image, str):
            return image_from_url(image)
        if isinstance(image, Mapping) and isinstance(image.get("url"), str):
            return image_from_url(image["url"], image.get("detail"))
    raise UsageError(f"unknown content part {value!r:.200}; known types: 'text', 'image_url'")


def image_from_url(url: str, detail: str | None = None) -> ImagePart:
    """Return an image part; a base64 `data:` URL is taken apart so that every wire can carry it its own way."""
    if not url.startswith("data:"):
        return ImagePart(url=url, detail=detail)
    header, comma, payload = url.partition(",")
    media_type, _, encoding = header[len("data:") :].partition(";")
    if not comma or encoding != "base64":
        raise UsageError("an image's data: URL must be base64, like 'data:image/png;base64,...'")
    try:
        data = base64.b64decode(payload, validate=True)
    except binascii.Error as error:
        raise UsageError(f"an image's data: URL is not valid base64: {error}") from None
    return ImagePart(data=data, media_type=media_type or "image/png", detail=detail)


def _tool_calls(values: Any) -> tuple[ToolCall, ...]:
    if values is not None and not isinstance(values, Iterable):
        raise UsageError(f"tool_calls must be a list, not {type(values).__name__}")
    return tuple(_tool_call(value) for value in values or ())


def _tool_call(value: Any) -> ToolCall:
    if isinstance(value, ToolCall):
        return value
    function = value.get("function", value) if isinstance(value, Mapping) else {}
    if not isinstance(function, Mapping) or not function.get("name"):
        raise UsageError(f"a tool call needs a function name, got {value!r:.200}")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        try:
            arguments = orjson.dumps(arguments if arguments is not None else {}).decode()
        except orjson.JSONEncodeError as error:
            raise UsageError(f"the arguments of a call of {function['name']!r} are no JSON: {error}") from None
    return ToolCall(id=str(value.get("id") or ""), name=function["name"], arguments=arguments)
