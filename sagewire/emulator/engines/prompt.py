"""Reading a prompt back into the conversation it was written from.

Real models know their own chat template; the engines here answer every family's. Text without any known marker is one
user message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sagewire.emulator.engines.base import Turn
from sagewire.types import Message, Role, Tool, ToolCall

__all__ = ["conversation", "unfold"]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "instruction": "user",
    "assistant": "assistant",
    "model": "assistant",
    "gpt": "assistant",
    "ai": "assistant",
    "response": "assistant",
    "answer": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "ipython": "tool",
    "function": "tool",
    "input": "user",
}
_NAMES = "|".join(_ROLES)
# Each pattern marks where a turn begins and names its role; the text up to the next mark is the turn.
_MARKS = [
    re.compile(rf"<\|im_start\|>({_NAMES})\b[^\n]*\n?", re.IGNORECASE),
    re.compile(rf"<\|start_header_id\|>({_NAMES})<\|end_header_id\|>\s*", re.IGNORECASE),
    re.compile(rf"<\|header_start\|>({_NAMES})<\|header_end\|>\s*", re.IGNORECASE),
    re.compile(rf"<start_of_turn>({_NAMES})\s*", re.IGNORECASE),
    re.compile(rf"<\|start_of_role\|>({_NAMES})<\|end_of_role\|>", re.IGNORECASE),
    re.compile(rf"<\|start\|>({_NAMES})(?:<\|channel\|>\w+)?<\|message\|>", re.IGNORECASE),
    re.compile(rf"<\|({_NAMES})\|>\s*", re.IGNORECASE),
    re.compile(rf"<｜({_NAMES})｜>", re.IGNORECASE),
    re.compile(rf"^###\s*({_NAMES})\b[^\n]*?:[ \t]*\n?", re.IGNORECASE | re.MULTILINE),
    re.compile(r"\b(USER|ASSISTANT):[ \t]*"),
    re.compile(r"^(system|user|human|assistant|ai)[ \t]*:[ \t]*", re.IGNORECASE | re.MULTILINE),
]
_CONTROL = re.compile(r"<\|[^|<>\n]{1,40}\|>|<｜[^｜\n]{1,40}｜>|</?s>|<(?:bos|eos|end_of_turn|end_of_utterance)>")
_LLAMA2 = re.compile(r"\[INST\](.*?)(?:\[/INST\]|\Z)(.*?)(?=\[INST\]|\Z)", re.DOTALL)
_LLAMA2_SYSTEM = re.compile(r"<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_TOOLS = re.compile(r"<tools>(.*?)</tools>|\[AVAILABLE_TOOLS\](.*?)\[/AVAILABLE_TOOLS\]", re.DOTALL)
_LISTED_BARE = re.compile(r"(?i)respond with a JSON for a function call|list of functions in JSON format")
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_RESULT = re.compile(r"<tool_response>(.*?)</tool_response>", re.DOTALL)


def conversation(prompt: str) -> tuple[Message, ...]:
    """Return the turns a prompt was written from; the open assistant turn at its end is left out.

    Example:
        >>> [m.role for m in conversation("<s>[INST] <<SYS>>Be brief.<</SYS>> Hi [/INST]")]
        ['system', 'user']
    """
    if "[INST]" in prompt:
        return tuple(_llama2(prompt))
    for mark in _MARKS:
        found = list(mark.finditer(prompt))
        if any(_ROLES[match[1].lower()] == "user" for match in found):
            return tuple(_turns(prompt, found))
    return (Message("user", _clean(prompt)),)


def _turns(prompt: str, found: Sequence[re.Match[str]]) -> Iterator[Message]:
    ends = [*(match.start() for match in found[1:]), len(prompt)]
    lead = _clean(prompt[: found[0].start()])
    if lead:
        yield Message("system", lead)
    for match, end in zip(found, ends, strict=True):
        text = _clean(prompt[match.end() : end])
        if text:
            yield from _with_tools(_ROLES[match[1].lower()], text)


def _llama2(prompt: str) -> Iterator[Message]:
    for number, match in enumerate(_LLAMA2.finditer(prompt)):
        user, answer = match[1], _clean(match[2])
        system = _LLAMA2_SYSTEM.search(user)
        if number == 0 and system is not None:
            yield Message("system", system[1].strip())
        yield Message("user", _clean(_LLAMA2_SYSTEM.sub("", user)))
        if answer:
            yield Message("assistant", answer)


def _with_tools(role: Role, text: str) -> Iterator[Message]:
    """Hermes and Qwen write tool results into user turns and tool calls into assistant turns."""
    if role in ("user", "tool") and (results := _RESULT.findall(text)):
        for result in results:
            yield Message("tool", result.strip())
        rest = _RESULT.sub("", text).strip()
        if rest:
            yield Message("user", rest)
    elif role == "assistant" and (calls := _CALL.findall(text)):
        made = tuple(call for source in calls if (call := _call(source)) is not None)
        yield Message("assistant", _CALL.sub("", text).strip(), tool_calls=made)
    else:
        yield Message(role, text)


def _call(source: str) -> ToolCall | None:
    try:
        data = json.loads(source)
        return ToolCall("", str(data["name"]), json.dumps(data.get("arguments", {}), ensure_ascii=False))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _clean(text: str) -> str:
    return _CONTROL.sub("", text).strip()


def unfold(turn: Turn) -> Turn:
    """Return the turn with its prompt read back into messages, and with the tools its system message lists."""
    if turn.prompt is None:
        return turn
    messages = conversation(turn.prompt)
    # Mistral and some Llama templates list the tools outside the system message.
    listed = list(_listed(turn.prompt))
    return replace(turn, messages=messages, tools=turn.tools or tuple(listed))


def _listed(prompt: str) -> Iterator[Tool]:
    # The instructions around a tool list mention empty <tools></tools> tags, too: those hold no JSON.
    blocks = ["".join(groups) for groups in _TOOLS.findall(prompt)]
    if not blocks and _LISTED_BARE.search(prompt):
        blocks = [prompt]
    for block in blocks:
        yield from _tools_of(block)


def _tools_of(block: str) -> Iterator[Tool]:
    decoder, position = json.JSONDecoder(), block.find("{")
    while position >= 0:
        try:
            data, end = decoder.raw_decode(block, position)
        except ValueError:
            position = block.find("{", position + 1)
            continue
        position = block.find("{", end)
        function = data.get("function", data)
        if isinstance(function, dict) and isinstance(function.get("name"), str) and "parameters" in function:
            parameters = function["parameters"] or {"type": "object", "properties": {}}
            yield Tool(function["name"], str(function.get("description") or ""), parameters)
