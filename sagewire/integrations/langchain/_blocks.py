"""Sagewire's replies as LangChain's standard content blocks.

LangChain looks a translator up by a message's `model_provider`. None of its own fits: OpenAI's drops the reasoning kept
in `additional_kwargs`, and the fallback makes a piece of a tool call beside text a finished call without arguments.
"""

from __future__ import annotations

from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import content as blocks
from langchain_core.messages.block_translators import register_translator

from sagewire.integrations.langchain._messages import REASONING
from sagewire.integrations.langchain._replies import PROVIDER

__all__ = ["register"]


def register() -> None:
    """Tell LangChain how to read sagewire's messages."""
    register_translator(PROVIDER, _of_message, _of_chunk)


def _of_message(message: AIMessage) -> list[blocks.ContentBlock]:
    return [*_reasoning_and_text(message), *_tool_calls(message)]


def _of_chunk(chunk: AIMessageChunk) -> list[blocks.ContentBlock]:
    found = _reasoning_and_text(chunk)
    if chunk.chunk_position == "last":
        return [*found, *_tool_calls(chunk), *_invalid_tool_calls(chunk)]
    # Blocks of one stream are added up by their index. LangChain numbers those that have none by change of type, so
    # text would share index 0 with the first tool call and be merged with it; names beginning with `lc_` are kept
    # apart (`langchain_core/utils/_merge.py`).
    for block in found:
        block["index"] = "lc_reasoning" if block["type"] == "reasoning" else "lc_text"
    for piece in chunk.tool_call_chunks:
        block = {"type": "tool_call_chunk", "id": piece["id"], "name": piece["name"], "args": piece["args"]}
        found.append(cast("blocks.ContentBlock", block | {"index": f"lc_tool_{piece['index']}"}))
    return found


def _reasoning_and_text(message: AIMessage) -> list[blocks.ContentBlock]:
    found: list[Any] = []
    content = message.content
    if isinstance(content, str):
        found += [{"type": "text", "text": content}] if content else []
    else:
        found += [_standard(block) for block in content]
    reasoning = message.additional_kwargs.get(REASONING)
    if reasoning and not any(block["type"] == "reasoning" for block in found):
        found.insert(0, {"type": "reasoning", "reasoning": reasoning})
    return found


def _standard(block: Any) -> dict[str, Any]:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block.get("type")
    return dict(block) if kind in blocks.KNOWN_BLOCK_TYPES else {"type": "non_standard", "value": dict(block)}


def _tool_calls(message: AIMessage) -> list[blocks.ContentBlock]:
    in_content = _ids_in_content(message)
    return [
        {"type": "tool_call", "id": call["id"], "name": call["name"], "args": call["args"]}
        for call in message.tool_calls
        if call["id"] is None or call["id"] not in in_content
    ]


def _invalid_tool_calls(message: AIMessage) -> list[blocks.ContentBlock]:
    in_content = _ids_in_content(message)
    return [
        cast("blocks.ContentBlock", {**call, "type": "invalid_tool_call"})
        for call in message.invalid_tool_calls
        if call["id"] is None or call["id"] not in in_content
    ]


def _ids_in_content(message: AIMessage) -> set[Any]:
    return {
        block.get("id")
        for block in message.content
        if isinstance(block, dict) and "tool_call" in str(block.get("type"))
    }
