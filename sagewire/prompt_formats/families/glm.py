"""The GLM families of Z.ai."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import Block, PromptBuilder, TurnFormat

__all__ = ["GLM4", "GLM4_0414", "GLM4_5", "GLM4_7", "GLM5_1", "GLM5_2", "GLM5_3"]

# An empty message is left out altogether, and so is a role the template does not know.
GLM4 = TurnFormat(
    name="glm4",
    bos="[gMASK]<sop>",
    roles={
        "system": Block("<|system|>\n", "", skip_empty=True),
        "user": Block("<|user|>\n", "", skip_empty=True),
        "assistant": Block("<|assistant|>\n", "", skip_empty=True),
    },
    generation="<|assistant|>",
    stops=("<|endoftext|>", "<|user|>", "<|observation|>"),
    special_tokens=("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    output_parser="glm",
)


TOOLS_BEFORE = (
    "<|system|>\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with "
    "function signatures within <tools></tools> XML tags:\n<tools>\n"
)
TOOLS_AFTER = (
    "</tools>\n\nFor each function call, output the function name and arguments within the following XML format:\n"
    "<tool_call>{function-name}{n}<arg_key>{arg-key-1}</arg_key>{n}<arg_value>{arg-value-1}</arg_value>{n}"
    "<arg_key>{arg-key-2}</arg_key>{n}<arg_value>{arg-value-2}</arg_value>{n}...{n}</tool_call>"
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Glm45(TurnFormat):
    """GLM-4.5 and 4.6: everything on lines of its own.

    Args:
        line: What stands between a mark and its text.
    """

    line: str = "\n"

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the thinking inside an assistant's text, and the rest."""
        if not self.has_thinking(text):
            return None, text
        return text.split("</think>")[0].split("<think>")[-1], text.split("</think>")[-1]

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns, line = self.order_results(conversation.turns), self.line
        question = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
        page.add("[gMASK]<sop>")
        self.write_head(conversation, page)
        for place, turn in enumerate(turns):
            if turn.role in ("user", "system"):
                page.add(f"<|{turn.role}|>{line}")
                page.say(turn, turn.text)
                page.add(self.after_question(conversation, turn) if turn.role == "user" else "")
            elif turn.role == "assistant":
                page.add("<|assistant|>", self.thinking(conversation, place, question))
                page.add(line if turn.text.strip() else "")
                page.say(turn, turn.text.strip())
                page.add(*(self._call(conversation, call) for call in turn.calls))
            elif turn.role == "tool":
                page.add("<|observation|>" if not place or turns[place - 1].role != "tool" else "")
                page.add(f"{line}<tool_response>{line}", turn.text, f"{line}</tool_response>")
            else:
                conversation.lost_turn(turn)
        if conversation.generate:
            page.add("<|assistant|>", self.opening(thinks=bool(conversation.option("enable_thinking", True))))

    def order_results(self, turns: list[Turn]) -> list[Turn]:
        """Return the turns with the results of tools in the family's order: that of the conversation."""
        return turns

    def write_head(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write what stands before the first turn: the tools."""
        if conversation.tools:
            page.add(TOOLS_BEFORE, *(self.tool_text(conversation, tool) for tool in conversation.tools))
            page.add(TOOLS_AFTER.replace("{n}", self.line))

    def tool_text(self, conversation: Conversation, tool: dict[str, Any]) -> str:
        """Return a tool on its own line."""
        return conversation.json(tool) + "\n"

    def after_question(self, conversation: Conversation, turn: Turn) -> str:
        """Return the word that switches thinking off."""
        return "" if conversation.option("enable_thinking", True) or turn.text.endswith("/nothink") else "/nothink"

    def thinking(self, conversation: Conversation, place: int, question: int) -> str:
        """Return the block of thoughts of an assistant's turn; earlier ones are empty."""
        thinking = (conversation.turns[place].thinking or "").strip() if place > question else ""
        return f"\n<think>{thinking}</think>"

    def opening(self, thinks: bool) -> str:
        """Return what an answer begins with."""
        return "" if thinks else "\n<think></think>"

    def _call(self, conversation: Conversation, call: Call) -> str:
        line = self.line
        fields = (
            f"<arg_key>{conversation.guard(name)}</arg_key>{line}<arg_value>"
            f"{conversation.guard(value) if isinstance(value, str) else conversation.json(value)}</arg_value>{line}"
            for name, value in call.fields().items()
        )
        return f"{line}<tool_call>{call.name}{line}{''.join(fields)}</tool_call>"


class Glm47(Glm45):
    """GLM-4.7 and 5: nothing between marks and texts, and answers begin inside a block of thoughts."""

    def after_question(self, conversation: Conversation, turn: Turn) -> str:
        """Return nothing: the opening of the answer switches thinking off."""
        return ""

    def thinking(self, conversation: Conversation, place: int, question: int) -> str:
        """Return the block of thoughts of an assistant's turn, or the end of an empty one."""
        thinking = (conversation.turns[place].thinking or "").strip()
        kept = place > question or not conversation.option("clear_thinking", True)
        return f"<think>{thinking}</think>" if kept and thinking else "</think>"

    def opening(self, thinks: bool) -> str:
        """Return what an answer begins with."""
        return "<think>" if thinks else "</think>"


class Glm51(Glm47):
    """GLM-5.1: tools without the shell around them, and blocks of thoughts that may be empty."""

    empty = "</think>"
    # Whether earlier thoughts are left out unless `clear_thinking` says so.
    clears = True

    def tool_text(self, conversation: Conversation, tool: dict[str, Any]) -> str:
        """Return a tool on its own line, but nothing for one that is loaded later."""
        function = tool["function"]
        if function.get("defer_loading"):
            return ""
        shown = {key: value for key, value in function.items() if key not in ("defer_loading", "strict")}
        return conversation.json(shown) + "\n"

    def thinking(self, conversation: Conversation, place: int, question: int) -> str:
        """Return the block of thoughts of an assistant's turn, or what stands for none."""
        thinking = conversation.turns[place].thinking
        if thinking is None and self.thinks_anyway(conversation, place, question):
            thinking = ""
        kept = place > question or not conversation.option("clear_thinking", self.clears)
        return self.empty if thinking is None or not kept else f"<think>{thinking}</think>"

    def thinks_anyway(self, conversation: Conversation, place: int, question: int) -> bool:
        """Return whether a turn without thoughts stands among turns with thoughts."""
        if place > question:
            return bool(conversation.option("enable_thinking", True))
        turns = conversation.turns
        asked = [number for number, turn in enumerate(turns) if turn.role == "user"]
        start = max((number for number in asked if number < place), default=-1)
        end = min(number for number in asked if number > place)
        return any(turn.thinking is not None for turn in turns[start + 1 : end] if start >= 0)


class Glm52(Glm51):
    """GLM-5.2: the first words say how much to think."""

    empty = "<think></think>"

    def write_head(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write what stands before the first turn: how much to think, and the tools."""
        if conversation.option("enable_thinking", True):
            effort = "High" if conversation.option("reasoning_effort") == "high" else "Max"
            page.add(f"<|system|>Reasoning Effort: {effort}")
        super().write_head(conversation, page)

    def thinks_anyway(self, conversation: Conversation, place: int, question: int) -> bool:
        """Return False: every turn without thoughts looks the same."""
        return False

    def opening(self, thinks: bool) -> str:
        """Return what an answer begins with."""
        return "<think>" if thinks else "<think></think>"


class Glm53(Glm52):
    """GLM-5.3: always thinks, keeps earlier thoughts, and writes results in the order of their calls."""

    clears = False

    def write_head(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write what stands before the first turn: how much to think, and the tools."""
        effort = conversation.option("reasoning_effort")
        page.add(f"<|system|>Reasoning Effort: {effort.capitalize() if effort in ('low', 'high') else 'Max'}")
        Glm45.write_head(self, conversation, page)

    def opening(self, thinks: bool) -> str:
        """Return what an answer begins with."""
        return "<think>"

    def order_results(self, turns: list[Turn]) -> list[Turn]:
        """Return the turns, the results after each answer in the order of its calls if all ids tell it."""
        ordered: list[Turn] = []
        calls: list[str] = []
        for role, group in groupby(turns, key=lambda turn: turn.role):
            found = list(group)
            ids = [turn.call_id for turn in found]
            if role == "tool" and len({*calls, ""}) > len(calls) and len({*ids}) == len(ids) and {*ids} <= {*calls}:
                found = [found[ids.index(call)] for call in calls if call in ids]
            ordered += found
            calls = [call.id for call in found[-1].calls]
        return ordered


class Glm40414(TurnFormat):
    """GLM-4-0414: all system texts first; the published template has no place for tool calls and results."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        systems, others = conversation.systems_first()
        page.add("[gMASK]<sop>")
        for turn in (*systems, *others):
            self.write_turn(conversation, page, turn, False)
        self.write_generation(conversation, page)


_TOKENS = (*GLM4.special_tokens, "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_ARGUMENTS = ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")
_GLM: dict[str, Any] = {
    "stops": GLM4.stops,
    "special_tokens": (*_TOKENS, *_ARGUMENTS, "<think>", "</think>"),
    "supports_tools": True,
    "keep_think": True,
    "output_parser": "glm",
}
GLM4_5 = Glm45(name="glm4_5", variables=("enable_thinking",), **_GLM)
GLM4_7 = Glm47(name="glm4_7", line="", variables=("enable_thinking", "clear_thinking"), **_GLM)
GLM5_1 = Glm51(name="glm5_1", line="", variables=("enable_thinking", "clear_thinking"), **_GLM)
GLM5_2 = Glm52(name="glm5_2", line="", variables=("enable_thinking", "clear_thinking", "reasoning_effort"), **_GLM)
GLM5_3 = Glm53(name="glm5_3", line="", variables=("clear_thinking", "reasoning_effort"), **_GLM)
GLM4_0414 = Glm40414(
    name="glm4_0414",
    roles={role: Block(f"<|{role}|>\n", "") for role in ("system", "user", "assistant")},
    generation="<|assistant|>",
    stops=GLM4.stops,
    special_tokens=GLM4.special_tokens,
)
