"""MiniMax M2 and its later versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["MINIMAX_M2", "MINIMAX_M2_5", "MINIMAX_M2_7"]

CALLS, CALLS_END = "<minimax:tool_call>", "</minimax:tool_call>"
TOOLS_BEFORE = (
    "\n\n# Tools\nYou may call one or more tools to assist with the user query.\nHere are the tools available in "
    "JSONSchema format:\n\n<tools>\n"
)
TOOLS_AFTER = (
    "</tools>\n\nWhen making tool calls, use XML format to invoke tools and pass parameters:\n\n"
    f'{CALLS}\n<invoke name="tool-name-1">\n<parameter name="param-key-1">param-value-1</parameter>\n'
    f'<parameter name="param-key-2">param-value-2</parameter>\n...\n</invoke>\n{CALLS_END}'
)


@dataclass(frozen=True, kw_only=True)
class MiniMaxM2(TurnFormat):
    """MiniMax M2: thinking is written back only after the user's last question, and each answer begins with it."""

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the thinking inside an assistant's text, and the rest."""
        if not self.has_thinking(text):
            return None, text
        thinking = text.split("</think>")[0].strip("\n").split("<think>")[-1].strip("\n")
        return thinking, text.split("</think>")[-1].strip("\n")

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0].text if turns[0].role == "system" else ""
        turns = turns[1:] if turns[0].role == "system" else turns
        question = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
        page.add("]~!b[]~b]system\n", _ended(conversation, system) or str(self.default_system))
        if conversation.tools:
            tools = (f"<tool>{conversation.json(tool['function'])}</tool>\n" for tool in conversation.tools)
            page.add(TOOLS_BEFORE, *tools, TOOLS_AFTER)
        page.add("[e~[\n")
        called = False
        for place, turn in enumerate(turns):
            before = turns[place - 1].role if place else ""
            after = turns[place + 1].role if place + 1 < len(turns) else ""
            if turn.role == "user":
                page.add("]~b]user\n")
                page.say(turn, _ended(conversation, turn.text))
                page.add("[e~[\n")
            elif turn.role == "assistant":
                self._write_answer(conversation, page, turn, place > question)
                called = bool(turn.calls)
            elif turn.role == "tool":
                if not called:
                    raise UsageError(
                        "Message has tool role, but there was no previous assistant message with a tool call!"
                    )
                page.add("" if before == "tool" else "]~b]tool", "\n<response>", turn.text, "</response>")
                page.add("" if after == "tool" else "[e~[\n")
            else:
                conversation.lost_turn(turn)
        self.write_generation(conversation, page)

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, current: bool) -> None:
        page.add("]~b]ai\n", f"<think>\n{turn.thinking}\n</think>\n\n" if turn.thinking and current else "")
        page.say(turn, _ended(conversation, turn.text))
        if turn.calls:
            page.add(f"\n{CALLS}\n", *(self._call(conversation, call) for call in turn.calls), CALLS_END)
        page.add("[e~[\n")

    def _call(self, conversation: Conversation, call: Call) -> str:
        fields = (
            f'<parameter name="{conversation.guard(name)}">'
            f"{conversation.guard(value) if isinstance(value, str) else conversation.json(value)}</parameter>\n"
            for name, value in call.fields().items()
        )
        return f'<invoke name="{call.name}">\n{"".join(fields)}</invoke>\n'


def _ended(conversation: Conversation, text: str) -> str:
    """Return a text that forms no control string with the bracket which opens the end of a turn."""
    return conversation.guard(text + "[").removesuffix("[")


_M2: dict[str, Any] = {
    "generation": "]~b]ai\n<think>\n",
    "stops": ("[e~[",),
    "special_tokens": ("]~!b[", "]~b]", "[e~[", CALLS, CALLS_END, "<think>", "</think>"),
    "supports_tools": True,
    "keep_think": True,
    "reader_style": "minimax",
}
BUILT = "You are a helpful assistant. Your name is {name} and is built by MiniMax."
MINIMAX_M2 = MiniMaxM2(name="minimax_m2", default_system="You are a helpful assistant.", **_M2)
MINIMAX_M2_5 = MiniMaxM2(name="minimax_m2_5", default_system=BUILT.replace("{name}", "MiniMax-M2.5"), **_M2)
MINIMAX_M2_7 = MiniMaxM2(name="minimax_m2_7", default_system=BUILT.replace("{name}", "MiniMax-M2.7"), **_M2)
