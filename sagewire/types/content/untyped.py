"""Blocks without a `type`, which are named by their one key: those of Bedrock's Converse API, and vLLM's short form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["typed"]

# Bedrock's name -> the type of the block in which langchain-aws keeps the same thing.
_CONVERSE = {"cachePoint": "cache_point", "guardContent": "guard_content", "citationsContent": "citations_content"}
_NAMED_BY_THEMSELVES = frozenset(
    {"image", "document", "video", "audio", "image_url", "input_audio", "audio_url", "video_url", "file", "json"}
)


def typed(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a block with its `type`; one that has a type, or whose type cannot be told, as it is.

    Example:
        >>> typed({"toolUse": {"toolUseId": "a", "name": "f", "input": {}}})
        {'type': 'tool_use', 'id': 'a', 'name': 'f', 'input': {}}
    """
    if block.get("type") is not None:
        return block
    if isinstance(block.get("text"), str):
        return {**block, "type": "text"}
    rest = [name for name, value in block.items() if name != "type" and value is not None]
    if len(rest) != 1:
        return block
    name = str(rest[0])
    value = block[name]
    if name in _NAMED_BY_THEMSELVES:
        return {"type": name, name: value}
    if not isinstance(value, Mapping):
        return block
    if name == "toolUse":
        return {
            "type": "tool_use",
            "id": value.get("toolUseId"),
            "name": value.get("name"),
            "input": value.get("input"),
        }
    if name == "toolResult":
        content = value.get("content")
        blocks = [typed(item) if isinstance(item, Mapping) else item for item in content] if content else ""
        return {"type": "tool_result", "tool_use_id": value.get("toolUseId"), "content": blocks}
    if name == "reasoningContent":
        return {"type": "reasoning_content", "reasoning_content": value.get("reasoningText") or {}}
    if name in _CONVERSE:
        return {**value, "type": _CONVERSE[name]}
    return block
