"""MiniMax M2 and its later versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["MINIMAX_M2", "MINIMAX_M2_5", "MINIMAX_M2_7", "MINIMAX_M3"]

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


@dataclass(frozen=True, kw_only=True, repr=False)
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
        turns = self.write_head(conversation, page, conversation.turns)
        question = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
        called = False
        for place, turn in enumerate(turns):
            before = turns[place - 1].role if place else ""
            after = turns[place + 1].role if place + 1 < len(turns) else ""
            if turn.role == "user":
                page.add("]~b]user\n")
                page.say(turn, _ended(conversation, turn.text))
                page.add("[e~[\n")
            elif turn.role == "assistant":
                self.write_answer(conversation, page, turn, place > question)
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

    def write_head(self, conversation: Conversation, page: PromptBuilder, turns: list[Turn]) -> list[Turn]:
        """Write the system turn with the tools in it, and return the other ones."""
        system = turns[0].text if turns[0].role == "system" else ""
        page.add("]~!b[]~b]system\n", _ended(conversation, system) or str(self.default_system))
        if conversation.tools:
            page.add(TOOLS_BEFORE, *tool_lines(conversation), TOOLS_AFTER)
        page.add("[e~[\n")
        return turns[1:] if turns[0].role == "system" else turns

    def write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, current: bool) -> None:
        """Write an assistant's turn."""
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


NS = "]<]minimax[>["
M3_SYSTEM = (
    "Your model version is MiniMax-M3, developed by MiniMax. Knowledge cutoff: January 2026. Founded in early 2022, "
    "MiniMax is a global AI foundation model company committed to advancing the frontiers of AI towards AGI."
)
M3_THINKING = (
    "\n\n<thinking_instructions>\nYou have a thinking capability that allows you to reason step by step before "
    "responding. When thinking is enabled, wrap your reasoning in <mm:think></mm:think> tags before your response. "
    "When thinking is disabled, begin your response directly after the </mm:think> prefix. When thinking is adaptive, "
    "decide on your own whether to think for the current turn.\n"
)
M3_MODES = {
    "enabled": (
        "Current thinking mode: enabled. You MUST think step by step before every response, including after receiving "
        "function/tool results.\n"
    ),
    "disabled": "Current thinking mode: disabled. Do not output any thinking process.\n",
    "adaptive": (
        "Current thinking mode: adaptive. You are encouraged to think for complex decision-making, multi-step "
        "reasoning, or when analyzing function/tool results.\n"
    ),
}
M3_OPENINGS = {"enabled": "<mm:think>", "disabled": "</mm:think>", "adaptive": ""}
M3_TOOLS_AFTER = (
    f"</tools>\n\nTo call tools, wrap all invocations in a single {NS}<tool_call>{NS}</tool_call> block. Parameter "
    "values containing nested objects or arrays are recursively expanded into XML elements. Example:\n\n"
    f"{NS}<tool_call>\n"
    f'{NS}<invoke name="tool-name-1">{NS}<param-1>value-1{NS}</param-1>{NS}<param-2>{NS}<item>{NS}<key-a>val-a'
    f"{NS}</key-a>{NS}<key-b>val-b{NS}</key-b>{NS}</item>{NS}</param-2>{NS}</invoke>\n"
    f'{NS}<invoke name="tool-name-2">{NS}<param-1>value-1{NS}</param-1>{NS}</invoke>\n{NS}</tool_call>'
)


class MiniMaxM3(MiniMaxM2):
    """MiniMax M3: a system text is the developer's, and thinking is written back in every answer.

    `thinking_mode` is `adaptive` (the default), `enabled` or `disabled`; a first message of the role `root` takes the
    place of the model's own system text.
    """

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the thinking inside an assistant's text, and the rest."""
        opened = text.lstrip().startswith("<mm:think>")
        if "</mm:think>" not in text or not (opened or self.policy == "allow"):
            return None, text
        thinking = text.split("</mm:think>")[0].strip("\n").split("<mm:think>")[-1].strip("\n")
        return thinking, text.split("</mm:think>")[-1].strip("\n")

    def write_head(self, conversation: Conversation, page: PromptBuilder, turns: list[Turn]) -> list[Turn]:
        """Write the system's and the developer's turn, and return the other ones."""
        mode = conversation.option("thinking_mode", "adaptive")
        if mode not in M3_MODES:
            raise UsageError(f"thinking_mode is 'adaptive', 'enabled' or 'disabled', not {mode!r:.60}.")
        root = turns[0].text if turns[0].role == "root" else ""
        turns = turns[1:] if turns[0].role == "root" else turns
        developer = turns[0].text if turns and turns[0].role == "system" else ""
        turns = turns[1:] if turns and turns[0].role == "system" else turns
        page.add("]~!b[]~b]system\n", root or M3_SYSTEM, M3_THINKING, M3_MODES[mode], "</thinking_instructions>[e~[\n")
        page.add("]~b]developer\n", _ended(conversation, developer) or str(self.default_system))
        if conversation.tools:
            page.add(TOOLS_BEFORE, *tool_lines(conversation), M3_TOOLS_AFTER)
        page.add("[e~[\n")
        return turns

    def write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, current: bool) -> None:
        """Write an assistant's turn."""
        page.add("]~b]ai\n", f"<mm:think>{turn.thinking}</mm:think>" if turn.thinking else "</mm:think>")
        page.say(turn, _ended(conversation, turn.text))
        if turn.calls:
            page.add(f"{NS}<tool_call>\n", *(self._invocation(conversation, call) for call in turn.calls))
            page.add(f"{NS}</tool_call>")
        page.add("[e~[\n")

    def write_generation(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the opening of the answer."""
        if conversation.generate:
            page.add("]~b]ai\n", M3_OPENINGS[conversation.option("thinking_mode", "adaptive")])

    def _invocation(self, conversation: Conversation, call: Call) -> str:
        return f'{NS}<invoke name="{call.name}">{self._value(conversation, call.fields())}{NS}</invoke>\n'

    def _value(self, conversation: Conversation, value: Any) -> str:
        if isinstance(value, dict):
            return "".join(
                f"{NS}{conversation.guard(f'<{name}>')}{self._value(conversation, item)}"
                f"{NS}{conversation.guard(f'</{name}>')}"
                for name, item in value.items()
                if item is not None
            )
        if isinstance(value, list):
            return "".join(f"{NS}<item>{self._value(conversation, item)}{NS}</item>" for item in value)
        if value is None or isinstance(value, bool):
            return "" if value is None else str(value).lower()
        return _ended(conversation, str(value))


def tool_lines(conversation: Conversation) -> list[str]:
    """Return the descriptions of the tools."""
    return [f"<tool>{conversation.json(tool['function'])}</tool>\n" for tool in conversation.tools]


def _ended(conversation: Conversation, text: str) -> str:
    """Return a text that forms no control string with the bracket that opens the next one."""
    for bracket in "[]":
        text = conversation.before(bracket, text)
    return text


_M2: dict[str, Any] = {
    "generation": "]~b]ai\n<think>\n",
    "stops": ("[e~[",),
    "special_tokens": ("]~!b[", "]~b]", "[e~[", CALLS, CALLS_END, "<think>", "</think>"),
    "supports_tools": True,
    "keep_think": True,
    "output_parser": "minimax",
}
BUILT = "You are a helpful assistant. Your name is {name} and is built by MiniMax."
MINIMAX_M2 = MiniMaxM2(name="minimax_m2", default_system="You are a helpful assistant.", **_M2)
MINIMAX_M2_5 = MiniMaxM2(name="minimax_m2_5", default_system=BUILT.replace("{name}", "MiniMax-M2.5"), **_M2)
MINIMAX_M2_7 = MiniMaxM2(name="minimax_m2_7", default_system=BUILT.replace("{name}", "MiniMax-M2.7"), **_M2)
MINIMAX_M3 = MiniMaxM3(
    name="minimax_m3",
    default_system="You are a helpful assistant.",
    variables=("thinking_mode",),
    **{
        **_M2,
        "special_tokens": ("]~!b[", "]~b]", "[e~[", NS, "<mm:think>", "</mm:think>"),
        "keep_think": False,
        "output_parser": "minimax_m3",
    },
)
