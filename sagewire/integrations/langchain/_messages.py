"""LangChain's messages as sagewire's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, FunctionMessage, RemoveMessage, ToolMessage

from sagewire.errors import UsageError
from sagewire.integrations.langchain._content import Content, read_content
from sagewire.types import Message, Role, ToolCall, as_message

__all__ = ["REASONING", "to_messages"]

# The key for a reply's reasoning, for readers that do not use content blocks; the name is vLLM's and DeepSeek's.
REASONING = "reasoning_content"

_ROLES: dict[str, Role] = {"human": "user", "system": "system", "ai": "assistant"}


def to_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """Return a conversation in sagewire's values; one message may become several (Anthropic's tool results).

    Raises:
        UsageError: The list is empty, or something in it is not a message.
        UnsupportedFeature: A content block no container of sagewire takes.
    """
    found = [turn for message in messages for turn in _turns(message)]
    if not found:
        raise UsageError("the list of messages is empty; give at least one")
    return found


def _turns(message: BaseMessage) -> Iterator[Message]:
    if isinstance(message, RemoveMessage):
        raise UsageError("a RemoveMessage is an instruction to a graph's state and cannot be sent to a model")
    content = read_content(_content_of(message), answered=isinstance(message, AIMessage))
    if (content.tool_calls or content.thinking) and not isinstance(message, AIMessage):
        raise UsageError(f"tool calls and reasoning are an assistant's; this is a message of type {message.type!r}")
    for call_id, result in content.results:
        yield Message("tool", read_content(result).body, tool_call_id=call_id)
    if content.results and not content.parts:
        return
    if isinstance(message, AIMessage):
        yield _assistant(message, content)
    elif isinstance(message, ToolMessage):
        yield Message("tool", content.body, tool_call_id=message.tool_call_id, name=message.name)
    elif isinstance(message, FunctionMessage):
        yield Message("tool", content.body, name=message.name)
    elif isinstance(message, ChatMessage):
        role = _ROLES.get(message.role) or as_message({"role": message.role}).role
        yield Message(role, content.body, name=message.name)
    else:
        kind = message.type.removesuffix("MessageChunk").lower()
        if kind not in _ROLES:
            raise UsageError(f"a message of type {message.type!r} cannot be sent; known: {', '.join(_ROLES)}, tool")
        yield Message(_ROLES[kind], content.body, name=message.name)


def _content_of(message: BaseMessage) -> Any:
    """Return a message's content; what a tool returned as a dictionary or numbers is written as JSON."""
    content = message.content
    if not isinstance(message, ToolMessage) or isinstance(content, str):
        return content
    is_blocks = isinstance(content, list) and all(
        isinstance(block, str) or (isinstance(block, dict) and "type" in block) for block in content
    )
    return content if is_blocks else json.dumps(content, ensure_ascii=False, default=str)


def _assistant(message: AIMessage, content: Content) -> Message:
    thinking = "".join(content.thinking) or message.additional_kwargs.get(REASONING) or None
    return Message(
        "assistant",
        content.answer,
        tool_calls=tuple(_tool_calls(message, content)),
        name=message.name,
        thinking=thinking,
    )


def _tool_calls(message: AIMessage, content: Content) -> Iterator[ToolCall]:
    """Yield the message's tool calls, each once: a call may stand in `tool_calls` and in the content too."""
    seen: set[str] = set()
    for call in message.tool_calls:
        seen.add(call["id"] or "")
        yield ToolCall(call["id"] or "", call["name"], json.dumps(call["args"], ensure_ascii=False))
    for broken in message.invalid_tool_calls:
        seen.add(broken["id"] or "")
        yield ToolCall(broken["id"] or "", broken["name"] or "", broken["args"] or "")
    if not (message.tool_calls or message.invalid_tool_calls):
        yield from content.tool_calls
        return
    yield from (call for call in content.tool_calls if call.id and call.id not in seen)
