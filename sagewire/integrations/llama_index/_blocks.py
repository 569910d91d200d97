"""Thinking and tool calls inside messages, in the blocks of newer LlamaIndex releases or as older ones keep them.

Before 0.14 there is neither block: calls are in a message's `additional_kwargs["tool_calls"]` alone, where newer
releases' own programs look for streamed calls as well, and thinking is in `additional_kwargs["thinking"]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock

from sagewire.errors import UsageError
from sagewire.integrations._chunk_template import ChunkTemplate
from sagewire.types import ToolCall, as_message
from sagewire.types.content.blocks import read_reasoning

__all__ = ["THINKING", "assistant_message", "is_plain", "raw_call", "thinking_in", "tool_calls_in"]

# Where messages without a block for it keep reasoning; the last is OpenRouter's.
THINKING = ("thinking", "reasoning_content", "reasoning", "reasoning_details")
# `isinstance(block, ())` is never true, which is right without such a block.
_ThinkingBlock: Any = getattr(types, "ThinkingBlock", ())
_ToolCallBlock: Any = getattr(types, "ToolCallBlock", ())
# Nearly all messages are text and nothing else, and a streamed answer makes one for each token.
_TEXTS = ChunkTemplate(TextBlock(text=""))
_MESSAGES = ChunkTemplate(ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="")], additional_kwargs={}))


def is_plain(block: Any) -> bool:
    """Whether a block belongs to the message's content, and is neither thinking nor a tool call."""
    return not isinstance(block, _ThinkingBlock) and not isinstance(block, _ToolCallBlock)


def thinking_in(message: ChatMessage) -> str | None:
    """Return the reasoning in a message."""
    found = [block.content or "" for block in message.blocks if isinstance(block, _ThinkingBlock)]
    kept = message.additional_kwargs
    older = (read_reasoning(kept[name]) for name in THINKING if name in kept)
    return "\n".join(found) or next(filter(None, older), None)


def tool_calls_in(message: ChatMessage) -> tuple[ToolCall, ...]:
    """Return the calls in a message's blocks or, without any, those in `additional_kwargs`.

    Raises:
        UsageError: A call is not JSON, or no call.
    """
    calls = tuple(
        ToolCall(id=block.tool_call_id or "", name=block.tool_name, arguments=_arguments(block.tool_kwargs))
        for block in message.blocks
        if isinstance(block, _ToolCallBlock)
    )
    kept = message.additional_kwargs
    older = kept.get("tool_calls") or ()
    if calls or not (older or kept.get("function_call")):
        return calls
    plain = [call.model_dump() if hasattr(call, "model_dump") else call for call in older]
    single = {} if plain else {"function_call": kept["function_call"]}
    return as_message({"role": "assistant", "tool_calls": plain, **single}).tool_calls


def assistant_message(
    text: str, thinking: str, calls: Sequence[ToolCall], thinking_tokens: int | None = None
) -> ChatMessage:
    """Return an assistant's message: its thinking, its text, its calls."""
    if not (thinking or calls):
        return _MESSAGES.cast(blocks=[_TEXTS.cast(text=text)])
    blocks: list[Any] = []
    additional: dict[str, Any] = {}
    if thinking and _ThinkingBlock:
        blocks.append(_ThinkingBlock(content=thinking, num_tokens=thinking_tokens))
    elif thinking:
        additional["thinking"] = thinking
    if text:
        blocks.append(TextBlock(text=text))
    if calls:
        additional["tool_calls"] = [raw_call(call) for call in calls]
    if _ToolCallBlock:
        blocks += [
            _ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.arguments) for call in calls
        ]
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=additional)


def raw_call(call: ToolCall) -> dict[str, Any]:
    """Return a call as OpenAI writes it."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _arguments(value: Mapping[str, Any] | str) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the tool_kwargs of a ToolCallBlock must be JSON: {error}") from None
