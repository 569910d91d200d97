"""Moonshot's Kimi K2."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["KIMI_K2", "KIMI_K2_0905", "KIMI_K2_5", "KIMI_K2_THINKING"]

SECTION, SECTION_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL, CALL_END, ARGUMENTS = "<|tool_call_begin|>", "<|tool_call_end|>", "<|tool_call_argument_begin|>"
HEADS = {
    "system": "<|im_system|>system<|im_middle|>",
    "user": "<|im_user|>user<|im_middle|>",
    "assistant": "<|im_assistant|>assistant<|im_middle|>",
    "tool": "<|im_system|>tool<|im_middle|>",
}


@dataclass(frozen=True, kw_only=True, repr=False)
class KimiK2(TurnFormat):
    """Kimi K2: each role has its own mark, tools are declared in a turn before the system text.

    Args:
        first_system: The system text of a conversation that has none.
        tools_title: What stands before the declared tools.
        own_ids: Calls keep their ids, and speakers their names; else calls are numbered within their message.
        result: What stands between the id of a call and its result.
        open_end: The last turn is left open where no opening follows.
    """

    first_system: str = "You are a helpful assistant"
    tools_title: str = ""
    own_ids: bool = False
    # The two characters backslash and n, as in the published template.
    result: str = "\\n"
    open_end: bool = False

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        if conversation.tools:
            declared = self.tools_title + conversation.json(conversation.tools)
            page.add("<|im_system|>tool_declare<|im_middle|>", declared, "<|im_end|>")
        if turns[0].role != "system":
            page.add(HEADS["system"], self.first_system, "<|im_end|>")
        for place, turn in enumerate(turns):
            page.add(self._head(conversation, turn))
            if turn.role == "tool":
                page.add(f"## Return of {turn.call_id}{self.result}")
            page.say(turn, turn.text)
            if turn.calls:
                page.add(self._calls(conversation, turn.calls))
            if not self.open_end or conversation.generate or place < len(turns) - 1:
                page.add("<|im_end|>")
        self.write_generation(conversation, page)

    def _head(self, conversation: Conversation, turn: Turn) -> str:
        head = HEADS.get(turn.role)
        if head is None:
            conversation.lost_turn(turn)
            return f"<|im_system|>{turn.role}<|im_middle|>" if self.own_ids else ""
        return head.replace(f"{turn.role}<", f"{turn.name}<") if self.own_ids and turn.name else head

    def _calls(self, conversation: Conversation, calls: tuple[Call, ...]) -> str:
        ids = [call.id if self.own_ids else f"functions.{call.name}:{place}" for place, call in enumerate(calls)]
        texts = (
            f"{CALL}{call_id}{ARGUMENTS}{conversation.json(call.arguments)}{CALL_END}"
            for call_id, call in zip(ids, calls, strict=True)
        )
        return SECTION + "".join(texts) + SECTION_END


_K2: dict[str, Any] = {
    "generation": HEADS["assistant"],
    "stops": ("<|im_end|>",),
    "special_tokens": (
        *("<|im_end|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>"),
        *(SECTION, SECTION_END, CALL, CALL_END, ARGUMENTS),
    ),
    "supports_tools": True,
    "output_parser": "kimi_k2",
}
KIMI_K2 = KimiK2(name="kimi_k2", **_K2)
KIMI_K2_0905 = KimiK2(
    name="kimi_k2_0905",
    first_system="You are Kimi, an AI assistant created by Moonshot AI.",
    tools_title="\n  # Tools\n  ",
    own_ids=True,
    result="\n    ",
    open_end=True,
    **_K2,
)


@dataclass(frozen=True, kw_only=True, repr=False)
class KimiThinking(TurnFormat):
    """Kimi K2 Thinking: every answer has a block of thoughts, empty up to the last one without tool calls.

    Args:
        open_answer: The opening of an answer ends inside its block of thoughts.
    """

    open_answer: bool = False

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        thinks = conversation.option("thinking") is not False
        answered = [place for place, turn in enumerate(turns) if turn.role == "assistant" and not turn.calls]
        if conversation.tools:
            tools = json.dumps(conversation.tools, ensure_ascii=False, separators=(",", ":"))
            page.add("<|im_system|>tool_declare<|im_middle|>", conversation.guard(tools), "<|im_end|>")
        if self.default_system is not None and turns[0].role != "system":
            page.add("<|im_system|>system<|im_middle|>", self.default_system, "<|im_end|>")
        for place, turn in enumerate(turns):
            self.check_role(turn)
            kind = turn.role if turn.role in ("user", "assistant") else "system"
            page.add(f"<|im_{kind}|>{turn.name or turn.role}<|im_middle|>")
            if turn.role == "assistant":
                current = thinks and place > max(answered, default=-1)
                page.add(f"<think>{turn.thinking or '' if current else ''}</think>")
            elif turn.role == "tool":
                page.add(f"## Return of {turn.call_id}\n")
            page.say(turn, turn.text)
            page.add(self._calls(conversation, turn.calls) if turn.calls else "", "<|im_end|>")
        self.write_generation(conversation, page)
        if conversation.generate and self.open_answer:
            page.add("<think>" if thinks else "<think></think>")

    def _calls(self, conversation: Conversation, calls: tuple[Call, ...]) -> str:
        texts = (f"{CALL}{call.id}{ARGUMENTS}{conversation.json(call.arguments)}{CALL_END}" for call in calls)
        return SECTION + "".join(texts) + SECTION_END


_KIMI: dict[str, Any] = {
    "generation": KIMI_K2.generation,
    "stops": KIMI_K2.stops,
    "special_tokens": (*KIMI_K2.special_tokens, "<think>", "</think>"),
    "supports_tools": True,
    "output_parser": "kimi_k2",
}
KIMI_K2_THINKING = KimiThinking(
    name="kimi_k2_thinking", default_system="You are Kimi, an AI assistant created by Moonshot AI.", **_KIMI
)
KIMI_K2_5 = KimiThinking(name="kimi_k2_5", open_answer=True, variables=("thinking",), **_KIMI)
