"""Readers of OpenAI-shaped dictionaries, the usual form of messages and tools."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast, get_args

from sagewire.errors import UsageError
from sagewire.types.content.blocks import Content, read_content, read_reasoning
from sagewire.types.content.results import read_result
from sagewire.types.conversation import ImagePart, Message, Part, Role, Tool, ToolCall
from sagewire.types.wrong_values import (
    A_MESSAGE,
    A_TOOL,
    check_image,
    check_tool,
    not_messages,
    shown_message,
    shown_tool,
    unknown_role,
    wrong_content,
)

__all__ = [
    "as_message",
    "as_messages",
    "as_tool",
    "as_tool_choice",
    "as_tools",
    "function_id",
    "function_name",
    "is_foreign",
    "is_function",
    "not_a_function",
]

MessageLike = Message | Mapping[str, Any]
ToolLike = Tool | Mapping[str, Any]

# `developer` is OpenAI's newer word for `system`; `function` its older one for `tool`.
_ROLES: dict[str, Role] = {role: role for role in get_args(Role)} | {"developer": "system", "function": "tool"}
_MESSAGE_KEYS = (
    "role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "reasoning", "thinking",
    "function_call", "refusal", "audio",
)  # fmt: skip
_PLAIN_ROLES = frozenset(get_args(Role))
_THINKING = ("reasoning_content", "reasoning", "thinking")
_SAID_OTHERWISE: tuple[str, ...] = ("refusal", "audio")
# Where other programs keep the text of a message.
_TEXT_ELSEWHERE = frozenset({"text", "parts", "message", "body", "value", "output", "answer", "response", "prompt"})
_NOT_IN_NAMES = re.compile(r"[^\w-]+")
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
        if not value.strip():
            raise UsageError(f"the message is empty ({value!r:.40}); give a text")
        return (Message("user", value),)
    if isinstance(value, Message | Mapping):
        return tuple(_turns(value))
    if not isinstance(value, Iterable) or isinstance(value, bytes) or not_messages(value):
        raise UsageError(f"messages must be a string or a list of messages, not {shown_message(value)}")
    items = tuple(value)
    # Messages that are ready need not be read one by one.
    if {*map(type, items)} == {Message}:
        known = cast(tuple[Message, ...], items)
        for message in known:
            if message.role not in _PLAIN_ROLES or type(message.content) is not str:
                return tuple(map(_checked, known))
        return known
    if len(items) == 2 and isinstance(items[0], str) and items[0] in _ROLES:
        raise UsageError(f"messages must be a list of messages, not {shown_message(items)}")
    messages = tuple(turn for item in items for turn in _turns(item))
    if not messages:
        raise UsageError("messages is empty; give at least one, for example [{'role': 'user', 'content': 'Hi'}]")
    return messages


def as_message(value: MessageLike) -> Message:
    """Return a `Message` from an OpenAI-shaped dictionary; a `Message` is returned as it is.

    Raises:
        UsageError: It is not a message, or several: Anthropic's tool results are a message each.
    """
    turns = list(_turns(value))
    if len(turns) != 1:
        raise UsageError(f"this message holds {len(turns)} turns (its tool results are one each); use as_messages")
    return turns[0]


def _turns(value: MessageLike) -> Iterator[Message]:
    """Yield the turns in one message: Anthropic keeps tool results in a user's message, where they are turns here."""
    if isinstance(value, Message):
        yield _checked(value)
        return
    if not isinstance(value, Mapping):
        raise UsageError(f"a message is a Message or {A_MESSAGE}, not {shown_message(value)}")
    role = _ROLES.get(str(value.get("role")))
    if role is None:
        raise unknown_role(value.get("role"), value)
    said, blocks = _content(value.get("content"), role)
    tool_calls = _tool_calls(value)
    thinking = _thinking(value)
    extra = _further_keys(value, said, thinking)
    call_id = value.get("tool_call_id")
    if role == "tool" and call_id is None:
        call_id = _id_elsewhere(value, extra)
    if blocks is not None:
        if role != "assistant" and (blocks.thinking or blocks.tool_calls):
            raise UsageError(f"tool calls and reasoning are an assistant's; this is a message of role {role!r}")
        for result_id, result in blocks.results:
            yield Message("tool", read_result(result), tool_call_id=result_id)
        known = {call.id for call in tool_calls}
        tool_calls += tuple(call for call in blocks.tool_calls if not call.id or call.id not in known)
        thinking = "".join(blocks.thinking) or thinking
        if blocks.results and not (said or tool_calls or thinking):
            return
    yield Message(
        role=role,
        content=said or _other_text(value) or "",
        tool_calls=tool_calls,
        tool_call_id=call_id,
        name=value.get("name"),
        thinking=thinking or None,
        extra=extra,
    )


def _checked(message: Message) -> Message:
    """Return a message with its parts read if they are written as dictionaries."""
    if message.role not in _PLAIN_ROLES:
        raise unknown_role(message.role, message)
    content: Any = message.content
    if isinstance(content, str):
        return message
    if content is None:
        return replace(message, content="")
    if not isinstance(content, Iterable) or isinstance(content, Mapping | bytes):
        raise wrong_content(content)
    given = list(content)
    if message.role == "tool" and any(isinstance(part, Mapping) for part in given):
        return replace(message, content=read_result(given))
    parts: list[Any] = []
    for part in given:
        # A part of somebody else's own is the handler's to take or to refuse.
        parts += _parts_of(part, message.role) if isinstance(part, str | Mapping) else [part]
        if isinstance(part, ImagePart):
            check_image(part)
    return replace(message, content=tuple(parts))


def _parts_of(part: str | Mapping[str, Any], role: Role) -> list[Part]:
    found = read_content([part], answered=role == "assistant")
    if found.tool_calls or found.thinking or found.results:
        raise UsageError(
            "a Message has calls in tool_calls=, reasoning in thinking=, and a tool's result in a message of its own; "
            "or give the whole message as a mapping, which may have them as blocks of its content"
        )
    return found.parts


def _thinking(message: Mapping[str, Any]) -> str:
    return next((text for key in _THINKING if (text := read_reasoning(message.get(key)))), "")


def _id_elsewhere(message: Mapping[str, Any], extra: dict[str, Any]) -> str | None:
    """Return the id of the call that a tool's message answers, under its other names."""
    if message.get("role") == "function":
        return function_id(message.get("name"))
    # Anthropic's name, then that of OpenAI's Responses API.
    found = extra.pop("tool_use_id", None) or extra.pop("call_id", None)
    return None if found is None else str(found)


def _further_keys(message: Mapping[str, Any], said: Any, thinking: str) -> dict[str, Any]:
    """Return the fields of other programs; a misspelt key of a message is an error."""
    further = {key: value for key, value in message.items() if key not in _MESSAGE_KEYS and value is not None}
    for key in further:
        plain = str(key).lower().replace("_", "")
        meant = next((known for known in _MESSAGE_KEYS if _alike(plain, known.replace("_", ""))), None)
        if meant is None and key in _TEXT_ELSEWHERE and "content" not in message and not message.get("tool_calls"):
            meant = "content"
        if meant is not None:
            raise UsageError(f"unknown key {key!r} in a message; did you mean {meant!r}?")
    if "content" not in message and message.get("role") in ("user", "system", "developer"):
        raise UsageError(f"a message needs a role and a content: {A_MESSAGE}, got {message!r:.100}")
    # Fields beside the text are passed on as they are, and so is reasoning that is not a text.
    beside = _SAID_OTHERWISE if said else ()
    beside += () if thinking else _THINKING
    return further | {key: message[key] for key in beside if message.get(key)}


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


def function_id(name: Any) -> str:
    """Return the id of a call in OpenAI's older form, in which a call and its result have the function's name only."""
    return f"call_{name}"


def function_name(name: str) -> str:
    """Return a name that servers take for a function or a schema: letters, digits, underscores and hyphens.

    Example:
        >>> function_name("Box[int]")
        'Box_int'
    """
    return _NOT_IN_NAMES.sub("_", name).strip("_") or "answer"


def as_tools(values: Iterable[ToolLike] | None) -> tuple[Tool, ...]:
    """Return tools from `Tool` objects or OpenAI-shaped dictionaries."""
    if values is None:
        return ()
    if isinstance(values, Tool | Mapping | str | type) or not isinstance(values, Iterable):
        raise UsageError(f"tools must be a list of tools, not {shown_tool(values)}")
    return tuple(as_tool(value) for value in values)


def as_tool(value: ToolLike) -> Tool:
    """Return a `Tool` from `{"type": "function", "function": {...}}` or from the inner dictionary alone.

    Tools as MCP (`inputSchema`) and Anthropic (`input_schema`) describe them are read, too.

    Raises:
        UsageError: It has no name, takes free text (OpenAI's `custom`), or runs at a provider (`web_search`, ...).
    """
    if isinstance(value, Tool):
        check_tool(value)
        return value
    if not isinstance(value, Mapping | type) and hasattr(value, "inputSchema"):
        # `mcp.types.Tool`
        return Tool(value.name, value.description or "", value.inputSchema)
    function = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping):
        raise UsageError(f"a tool is a Tool or {A_TOOL}, not {shown_tool(value)}")
    if not is_function(value):
        raise UsageError(not_a_function(value))
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise UsageError(f"a tool needs a name: {A_TOOL}, got {value!r:.200}")
    parameters = next((schema for key in _SCHEMA_KEYS if (schema := function.get(key))), None)
    if parameters is None:
        for key in _SCHEMA_OF_OTHERS & function.keys():
            raise UsageError(f"unknown key {key!r} in the tool {function['name']!r}; did you mean 'parameters'?")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise UsageError(f"the parameters of tool {function['name']!r} must be a JSON schema, not {parameters!r:.100}")
    return Tool(
        name=function["name"],
        description=function.get("description") or "",
        parameters=parameters or {"type": "object", "properties": {}},
        strict=function.get("strict"),
    )


def is_function(tool: Mapping[str, Any]) -> bool:
    """Return whether a tool is a function by its type; Anthropic's are of type `custom` and have a schema."""
    kind = tool.get("type")
    return kind in (None, "function") or (kind == "custom" and any(tool.get(key) for key in _SCHEMA_KEYS))


def is_foreign(tool: Mapping[str, Any]) -> bool:
    """Return whether a tool is of a kind that models on one's own server lack, rather than a function written wrong."""
    kind = tool.get("type")
    # JSON schemas have a type, too.
    written_wrong = not isinstance(kind, str) or kind in ("", "object") or "function" in tool
    return not written_wrong and not is_function(tool)


def not_a_function(tool: Mapping[str, Any]) -> str:
    """Return why a tool is not a function that a model can call, and what to write instead."""
    kind, inner = tool.get("type"), tool.get("custom")
    name = (inner if isinstance(inner, Mapping) else tool).get("name")
    called = f"the tool {name!r}" if isinstance(name, str) and name else "a tool"
    if not is_foreign(tool):
        return f"{called} has the type {kind!r:.60}; write {A_TOOL}"
    if kind == "custom":
        return (
            f"{called} is of type 'custom', which takes free text and exists in OpenAI's own models only: describe it "
            "as a function with one text, {'type': 'function', 'function': {'name': ..., 'parameters': {'type': "
            "'object', 'properties': {'input': {'type': 'string'}}, 'required': ['input']}}}"
        )
    return (
        f"{called} of type {kind!r:.60} runs at a provider such as OpenAI; a model on your own server has function "
        "tools only: leave it out, or describe it as {'type': 'function', 'function': {...}}"
    )


_SCHEMA_KEYS = ("parameters", "inputSchema", "input_schema")
_SCHEMA_OF_OTHERS = {"params", "args", "arguments", "schema", "args_schema", "properties", "paramaters", "parameter"}


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
            + ("; write tool_choice=tool.name" if isinstance(value, Tool) else "")
        )
    return name


def _content(value: Any, role: Role) -> tuple[str | tuple[Part, ...], Content | None]:
    """Return what a message says, and what else was found in its blocks."""
    if value is None or isinstance(value, str):
        return value or "", None
    if role == "tool":
        return read_result(value), None
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        found = read_content(value, answered=role == "assistant")
        return tuple(found.parts), found
    raise wrong_content(value)


def _tool_calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    values, function = message.get("tool_calls"), message.get("function_call")
    if values is not None and (not isinstance(values, Iterable) or isinstance(values, str | Mapping)):
        raise UsageError(f"tool_calls must be a list, not {type(values).__name__}")
    if function and not values:
        if not isinstance(function, Mapping):
            raise UsageError(f"function_call must be a mapping with a name, not {function!r:.200}")
        # OpenAI's older field for one call, whose result has the function's name instead of an id.
        values = ({"id": function_id(function.get("name")), "function": function},)
    return tuple(_tool_call(value) for value in values or ())


def _tool_call(value: Any) -> ToolCall:
    if isinstance(value, ToolCall):
        return value
    function = value.get("function", value) if isinstance(value, Mapping) else {}
    if isinstance(value, Mapping) and isinstance(value.get("custom"), Mapping):
        # OpenAI's tools of free text: the text is the one argument.
        function = {"name": value["custom"].get("name"), "arguments": {"input": value["custom"].get("input")}}
    if not isinstance(function, Mapping) or not function.get("name"):
        raise UsageError(f"a tool call needs a function name, got {value!r:.200}")
    # `args` is LangChain's and Google's word, `input` Anthropic's and Bedrock's.
    arguments = next((function[key] for key in ("arguments", "args", "input") if function.get(key) is not None), None)
    if not isinstance(arguments, str):
        try:
            arguments = json.dumps({} if arguments is None else arguments, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"the arguments of a call of {function['name']!r} are not JSON: {error}") from None
    return ToolCall(
        id=str(value.get("id") or value.get("call_id") or value.get("toolUseId") or ""),
        name=function["name"],
        arguments=arguments,
    )
