"""Readers of OpenAI-shaped dictionaries, the usual form of messages and tools."""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, cast, get_args
from urllib.parse import unquote, unquote_to_bytes

from sagewire.errors import UsageError
from sagewire.types.conversation import ImagePart, MediaPart, Message, Part, Role, TextPart, Tool, ToolCall

__all__ = ["as_message", "as_messages", "as_tool", "as_tool_choice", "as_tools", "note_left_out"]

MessageLike = Message | Mapping[str, Any]
ToolLike = Tool | Mapping[str, Any]

# `developer` is OpenAI's newer word for `system`; `function` its older one for `tool`.
_ROLES: dict[str, Role] = {role: role for role in get_args(Role)} | {"developer": "system", "function": "tool"}
_MESSAGE_KEYS = (
    "role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "reasoning", "thinking",
    "function_call", "refusal", "audio",
)  # fmt: skip
# Parts that go to the server as they are.
_MEDIA = ("input_audio", "audio_url", "video_url", "file")
# Keys of parts that say nothing to a server.
_BOOKKEEPING = {"type", "id", "index"}
# Keys of parts whose omission has been logged.
_LEFT_OUT: set[str] = set()
_log = logging.getLogger("sagewire")
# From this similarity on, one word counts as a misspelling of the other.
_MISSPELT = 0.88


def as_messages(value: str | MessageLike | Iterable[MessageLike]) -> tuple[Message, ...]:
    """Return messages from a string (one user turn), one message, or many, each a `Message` or a dictionary.

    Raises:
        UsageError: Something in it is not a message.

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
    items = tuple(value)
    # Whoever has messages already need not have them looked at one by one.
    if {*map(type, items)} == {Message}:
        return cast(tuple[Message, ...], items)
    messages = tuple(map(as_message, items))
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
    tool_calls, tool_call_id = _tool_calls(value.get("tool_calls")), value.get("tool_call_id")
    function = value.get("function_call")
    if function and not tool_calls:
        # OpenAI's older field for one call, whose result has the function's name instead of an id.
        tool_calls = (_tool_call({"id": _function_id(function.get("name")), "function": function}),)
    if value.get("role") == "function" and tool_call_id is None:
        tool_call_id = _function_id(value.get("name"))
    return Message(
        role=role,
        content=_content(value.get("content"), role) or _content(_other_text(value), role),
        tool_calls=tool_calls,
        tool_call_id=tool_call_id,
        name=value.get("name"),
        thinking=value.get("reasoning_content") or value.get("reasoning") or value.get("thinking"),
        extra=_further_keys(value),
    )


def _further_keys(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of other programs; a misspelt key of a message is an error."""
    further = {key: value for key, value in message.items() if key not in _MESSAGE_KEYS and value is not None}
    for key in further:
        plain = str(key).lower().replace("_", "")
        meant = next((known for known in _MESSAGE_KEYS if _alike(plain, known.replace("_", ""))), None)
        if meant is not None:
            raise UsageError(f"unknown key {key!r} in a message; did you mean {meant!r}?")
    return further


def _alike(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one, other).ratio() >= _MISSPELT


def _other_text(message: Mapping[str, Any]) -> str | None:
    """Return an assistant's text outside `content`: a refusal, or the transcript of a spoken answer."""
    if message.get("refusal"):
        return str(message["refusal"])
    audio = message.get("audio")
    if not audio:
        return None
    if isinstance(audio, Mapping) and audio.get("transcript"):
        return str(audio["transcript"])
    raise UsageError("a message with 'audio' and no transcript cannot be sent; put the transcript into 'content'")


def _function_id(name: Any) -> str:
    return f"call_{name}"


def as_tools(values: Iterable[ToolLike] | None) -> tuple[Tool, ...]:
    """Return tools from `Tool` objects or OpenAI-shaped dictionaries."""
    if values is None:
        return ()
    if not isinstance(values, Iterable):
        raise UsageError(f"tools must be a list of tools, not {type(values).__name__}")
    return tuple(as_tool(value) for value in values)


def as_tool(value: ToolLike) -> Tool:
    """Return a `Tool` from `{"type": "function", "function": {...}}` or from the inner dictionary alone.

    Tools as MCP (`inputSchema`) and Anthropic (`input_schema`) describe them are read, too.

    Raises:
        UsageError: It has no name, or runs at a provider (`web_search`, ...).
    """
    if isinstance(value, Tool):
        return value
    if not isinstance(value, Mapping) and hasattr(value, "inputSchema"):
        # `mcp.types.Tool`
        return Tool(value.name, value.description or "", value.inputSchema)
    function = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not function.get("name"):
        raise UsageError(
            f"a tool needs a name: {{'type': 'function', 'function': {{'name': ...}}}}, got {value!r:.200}"
        )
    parameters = next((schema for key in _SCHEMA_KEYS if (schema := function.get(key))), None)
    if value.get("type") not in (None, "function") and (parameters is None or value["type"] != "custom"):
        raise UsageError(
            f"the tool {function['name']!r} of type {value['type']!r} runs at a provider; a model on your own server "
            "has function tools only: describe it as {'type': 'function', 'function': {...}}"
        )
    if parameters is not None and not isinstance(parameters, Mapping):
        raise UsageError(f"the parameters of tool {function['name']!r} must be a JSON schema, not {parameters!r:.100}")
    return Tool(
        name=function["name"],
        description=function.get("description") or "",
        parameters=parameters or {"type": "object", "properties": {}},
        strict=function.get("strict"),
    )


_SCHEMA_KEYS = ("parameters", "inputSchema", "input_schema")


def as_tool_choice(value: str | Mapping[str, Any] | None) -> str | None:
    """Return `auto`, `none`, `required`, a tool's name, or `None` if nothing is set.

    Args:
        value: That word or name, or OpenAI's dictionary, which names a tool.

    Raises:
        UsageError: It is something else.

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


def _content(value: Any, role: Role) -> str | tuple[Part, ...]:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if role == "tool" and not _holds_parts(value):
        # A function's result, as many programs keep it.
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        return tuple(_part(part) for part in value)
    raise UsageError(f"message content must be text or a list of parts, not {type(value).__name__}")


def _holds_parts(value: Any) -> bool:
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        return False
    items = list(value)
    return bool(items) and all(
        isinstance(item, TextPart | ImagePart | MediaPart) or (isinstance(item, Mapping) and item.get("type") in _PARTS)
        for item in items
    )


def _part(value: Any) -> Part:
    if isinstance(value, str):
        return TextPart(value)
    if isinstance(value, TextPart | ImagePart | MediaPart):
        return value
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind in ("text", "refusal", "image_url"):
        note_left_out(value, kind)
    if kind in ("text", "refusal") and isinstance(value.get(kind), str):
        return TextPart(value[kind])
    if kind == "image_url":
        image = value.get("image_url")
        if isinstance(image, str):
            return image_from_url(image)
        if isinstance(image, Mapping) and isinstance(image.get("url"), str):
            return image_from_url(image["url"], image.get("detail"))
    if kind == "image" and (found := _other_image(value)) is not None:
        return found
    if kind in _MEDIA and isinstance(value.get(kind), Mapping | str):
        media = value[kind]
        return MediaPart(kind, {"url": media} if isinstance(media, str) else dict(media))
    raise UsageError(f"unknown content part {value!r:.200}; known types: {', '.join(map(repr, _PARTS))}")


def note_left_out(part: Mapping[str, Any], *carried: str) -> None:
    """Log, once for each name, the fields of a part that are not sent on: `cache_control` and the like."""
    if len(part) <= len(carried) + 1:
        return
    new = {str(name) for name, value in part.items() if value is not None} - _BOOKKEEPING - {*carried} - _LEFT_OUT
    if new:
        _LEFT_OUT.update(new)
        _log.info("fields of message parts that are not sent on are left out: %s", sorted(new))


_PARTS = ("text", "refusal", "image_url", "image", *_MEDIA)


def _other_image(value: Mapping[str, Any]) -> ImagePart | None:
    """Return an image as Anthropic (`source`) and MCP (`data`, `mimeType`) write it."""
    source = value.get("source")
    fields = source if isinstance(source, Mapping) else value
    if isinstance(fields.get("data"), str):
        media_type = fields.get("media_type") or fields.get("mimeType") or "image/png"
        return ImagePart(data=decode_base64(fields["data"], "an image's data"), media_type=media_type)
    return image_from_url(fields["url"]) if isinstance(fields.get("url"), str) else None


def image_from_url(url: str, detail: str | None = None) -> ImagePart:
    """Return an image part; a `data:` URL is taken apart so that every wire can carry it its own way."""
    if url[:5].lower() != "data:":
        return ImagePart(url=url, detail=detail)
    header, comma, payload = url[5:].partition(",")
    media_type, *parameters = header.split(";")
    if not comma:
        raise UsageError("an image's data: URL needs a comma before its data, like 'data:image/png;base64,...'")
    # RFC 2397: parameters (`;charset=utf-8`, `;name=a.png`) may stand before the word `base64`.
    if parameters[-1:] and parameters[-1].strip().lower() == "base64":
        data = decode_base64(unquote(payload), "an image's data: URL")
    else:
        data = unquote_to_bytes(payload)
    return ImagePart(data=data, media_type=media_type.strip() or "image/png", detail=detail)


def decode_base64(text: str, what: str) -> bytes:
    """Return the bytes of base64 text, with or without line breaks and padding.

    Args:
        text: The text.
        what: The name of the text, for the error's message.

    Raises:
        UsageError: It is not base64.
    """
    plain = "".join(text.split()).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"{what} is not valid base64: {error}") from None


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
            arguments = json.dumps({} if arguments is None else arguments, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"the arguments of a call of {function['name']!r} are not JSON: {error}") from None
    return ToolCall(id=str(value.get("id") or ""), name=function["name"], arguments=arguments)
