"""Tool calls in prompts: how a forced call is asked for, and how a model of the prompt's family writes one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from sagewire.emulator.engines.base import Call, Turn, text_of

__all__ = ["forced", "write_calls"]

_MUST = re.compile(
    r"(?i)[^.\n]*\b(?:must|have to|required to|always)\b[^.\n]{0,60}\b(?:call|use)\b[^.\n]*(?:tool|function)[^.\n]*"
)


def forced(turn: Turn) -> Turn:
    """Return the turn with the tool choice its instructions express in words, as prompts have no field for it."""
    if not turn.tools or turn.tool_choice != "auto":
        return turn
    for message in turn.messages:
        if message.role != "system":
            continue
        for sentence in _MUST.findall(text_of(message)):
            named = [tool.name for tool in turn.tools if re.search(rf"\b{re.escape(tool.name)}\b", sentence)]
            return replace(turn, tool_choice=named[0] if len(named) == 1 else "required")
    return turn


def write_calls(calls: Sequence[Call], prompt: str) -> str:
    """Return the calls as text, in the way of the family whose marks the prompt has; Hermes's way without any."""
    if "[AVAILABLE_TOOLS]" in prompt:
        return "[TOOL_CALLS] " + json.dumps([_object(call) for call in calls], ensure_ascii=False)
    if "<function=" in prompt:
        return "\n".join(map(_qwen_coder, calls))
    if "<|start_header_id|>" in prompt and "<tools>" not in prompt:
        return "; ".join(json.dumps(_object(call, "parameters"), ensure_ascii=False) for call in calls)
    return "\n".join(f"<tool_call>\n{json.dumps(_object(call), ensure_ascii=False)}\n</tool_call>" for call in calls)


def _object(call: Call, key: str = "arguments") -> dict[str, object]:
    return {"name": call.name, key: json.loads(call.arguments)}


def _qwen_coder(call: Call) -> str:
    lines = []
    for name, value in json.loads(call.arguments).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"<parameter={name}>\n{text}\n</parameter>")
    return "\n".join(["<tool_call>", f"<function={call.name}>", *lines, "</function>", "</tool_call>"])
