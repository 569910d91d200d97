"""Conversations and tools as OpenAI's chat API writes them, which vLLM, LMI, TGI, SGLang and others took over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from sagewire.types import MediaPart, Message, Part, TextPart, Tool, ToolCall, sendable_arguments

__all__ = [
    "openai_message",
    "openai_messages",
    "openai_tool_choice",
    "openai_tools",
]


def openai_messages(messages: Sequence[Message], *, thinking_field: str | None = None) -> list[dict[str, Any]]:
    """Return the messages as JSON objects.

    Args:
        messages: The conversation.
        thinking_field: Where an assistant's earlier reasoning goes (`reasoning_content`; `reasoning` for newer vLLM);
            `None` leaves it out, as the chat templates of most reasoning models ask.
    """
    return [openai_message(message, thinking_field=thinking_field) for message in messages]


def openai_message(message: Message, *, thinking_field: str | None = None) -> dict[str, Any]:
    """Return one message as a JSON object.

    Example:
        >>> openai_message(Message("user", "Hi"))
        {'role': 'user', 'content': 'Hi'}
    """
    content = message.content
    fields: dict[str, Any] = (
        {**_sendable(message.extra), "role": message.role} if message.extra else {"role": message.role}
    )
    # TGI reads a message with any content as one without tool calls (untagged enum), so empty content must be null.
    fields["content"] = (content if isinstance(content, str) else _parts(content)) or (
        None if message.tool_calls else ""
    )
    if message.name is not None:
        fields["name"] = message.name
    if message.tool_calls:
        fields["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    if thinking_field and message.thinking:
        fields[thinking_field] = message.thinking
    return fields


def openai_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Return tool definitions as JSON objects; `strict` only if it is set."""
    return [{"type": "function", "function": _function(tool)} for tool in tools]


def openai_tool_choice(choice: str) -> Any:
    """Return `tool_choice` as JSON: the words of OpenAI's API as they are, anything else as a tool's name.

    Example:
        >>> openai_tool_choice("look")
        {'type': 'function', 'function': {'name': 'look'}}
    """
    return choice if choice in ("auto", "none", "required") else {"type": "function", "function": {"name": choice}}


def _parts(parts: Iterable[Part]) -> list[dict[str, Any]]:
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, MediaPart):
        return {"type": part.kind, part.kind: part.value}
    image: dict[str, Any] = {"url": part.as_url()}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _sendable(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the further fields of a message that are JSON; objects of other programs are of no use to a server."""
    found: dict[str, Any] = {}
    for name, value in extra.items():
        try:
            orjson.dumps(value)
        except TypeError:
            continue
        found[name] = value
    return found


def _tool_call(call: ToolCall) -> dict[str, Any]:
    # Servers parse this text for the chat template, and refuse the conversation if they cannot.
    function = {"name": call.name, "arguments": sendable_arguments(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _function(tool: Tool) -> Mapping[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function
