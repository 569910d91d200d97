"""LangChain's messages as sagewire's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, FunctionMessage, RemoveMessage, ToolMessage

from sagewire.errors import UsageError
from sagewire.types import Message, Role, ToolCall, as_message
from sagewire.types.content.blocks import Content, read_content, read_reasoning
from sagewire.types.content.left_out import say_left_out
from sagewire.types.content.results import read_result
from sagewire.types.openai_shape import function_id

__all__ = ["REASONING", "to_messages"]

# The key for a reply's reasoning, for readers that do not use content blocks; the name is vLLM's and DeepSeek's.
REASONING = "reasoning_content"

# Where other providers' classes keep it; the last is OpenRouter's.
_THINKING = (REASONING, "reasoning", "thinking", "reasoning_details")
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
    if isinstance(message, ToolMessage):
        yield Message("tool", read_result(message.content), tool_call_id=message.tool_call_id, name=message.name)
        return
    if isinstance(message, FunctionMessage):
        # OpenAI's older form, in which a call and its result belong together by their name.
        result = read_result(message.content)
        yield Message("tool", result, tool_call_id=function_id(message.name), name=message.name)
        return
    role = _role(message)
    content = read_content(message.content, answered=role == "assistant")
    if (content.tool_calls or content.thinking) and role != "assistant":
        raise UsageError(f"tool calls and reasoning are an assistant's; this is a message of type {message.type!r}")
    for call_id, result in content.results:
        yield Message("tool", read_result(result), tool_call_id=call_id)
    if content.results and not content.parts and role != "assistant":
        return
    if role == "assistant":
        yield _assistant(message, content)
        return
    name = message.name or _text(message.additional_kwargs.get("name"))
    _say_left_out(message, "name", "__openai_role__")
    yield Message(role, content.body, name=name)


def _role(message: BaseMessage) -> Role:
    if isinstance(message, ChatMessage):
        return _ROLES.get(message.role) or as_message({"role": message.role, "content": ""}).role
    if isinstance(message, AIMessage):
        return "assistant"
    kind = message.type.removesuffix("MessageChunk").lower()
    if kind not in _ROLES:
        raise UsageError(f"a message of type {message.type!r} cannot be sent; known: {', '.join(_ROLES)}, tool")
    return _ROLES[kind]


def _assistant(message: BaseMessage, content: Content) -> Message:
    kept = message.additional_kwargs
    kept_thinking = (read_reasoning(kept[name]) for name in _THINKING if name in kept)
    thinking = "".join(content.thinking) or next(filter(None, kept_thinking), None)
    calls = tuple(_tool_calls(message, content))
    if not calls:
        older = {name: kept[name] for name in ("tool_calls", "function_call") if kept.get(name)}
        calls = as_message({"role": "assistant", **older}).tool_calls
    said: Any = content.answer
    if not said:
        # A refusal, or the transcript of a spoken answer.
        other = {name: kept[name] for name in ("refusal", "audio") if kept.get(name)}
        said = as_message({"role": "assistant", **other}).content
    _say_left_out(message, "name", "tool_calls", "function_call", "refusal", "audio", *_THINKING)
    name = message.name or _text(kept.get("name"))
    return Message("assistant", said, tool_calls=calls, name=name, thinking=thinking)


def _tool_calls(message: BaseMessage, content: Content) -> Iterator[ToolCall]:
    """Yield the message's tool calls, each once: a call may stand in `tool_calls` and in the content too."""
    seen: set[str] = set()
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            seen.add(call["id"] or "")
            yield ToolCall(call["id"] or "", call["name"], json.dumps(call["args"], ensure_ascii=False, default=str))
        for broken in message.invalid_tool_calls:
            seen.add(broken["id"] or "")
            yield ToolCall(broken["id"] or "", broken["name"] or "", broken["args"] or "")
    if not seen:
        yield from content.tool_calls
        return
    yield from (call for call in content.tool_calls if call.id and call.id not in seen)


def _say_left_out(message: BaseMessage, *carried: str) -> None:
    names = [name for name, value in message.additional_kwargs.items() if value and name not in carried]
    if names:
        say_left_out("additional_kwargs of messages", names)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
