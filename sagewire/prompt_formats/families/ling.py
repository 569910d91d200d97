"""InclusionAI's Ling 3, as xinference writes it.

The models' own file is another one, so no id stands for this format.
"""

from __future__ import annotations

from collections.abc import Sequence

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["LING_3"]

END = "<|role_end|>"
NAMES = {"system": "SYSTEM", "user": "HUMAN", "assistant": "ASSISTANT", "tool": "OBSERVATION"}
# A system text with one of these says itself whether to think.
SWITCHES = ("detailed thinking on", "detailed thinking off")
TOOLS_BEFORE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function "
    "signatures within <tools></tools> XML tags:\n<tools>"
)
TOOLS_AFTER = (
    "\n</tools>\n\nIf none of the functions can be used, point it out. If the given question lacks the parameters "
    "required by the function, also point it out.\nIf you need to use a function, for each function call, output the "
    "function name and arguments within the following XML format:\n<tool_call>{function-name}\n"
    "<arg_key>{arg-key-1}</arg_key>\n<arg_value>{arg-value-1}</arg_value>\n<arg_key>{arg-key-2}</arg_key>\n"
    "<arg_value>{arg-value-2}</arg_value>\n...\n</tool_call>\n"
)


class Ling3(TurnFormat):
    """Ling 3: a first system turn in any case, which says whether to think; every answer has a block of thoughts."""

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the thinking inside an assistant's text, and the rest."""
        if not self.has_thinking(text):
            return None, text
        thinking = text.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
        return thinking, text.split("</think>")[-1].lstrip("\n")

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        thinks = conversation.option("enable_thinking", conversation.option("thinking_option", "on") != "off")
        system = turns[0] if turns[0].role == "system" else None
        self._write_head(conversation, page, system, bool(thinks))
        for place, turn in enumerate(turns[0 if system is None else 1 :], start=0 if system is None else 1):
            if turn.role not in NAMES:
                conversation.lost_turn(turn)
            elif turn.role == "tool":
                self._write_result(page, turns, place)
            else:
                page.add(f"<role>{NAMES[turn.role]}</role>")
                if turn.role == "assistant":
                    self._write_answer(conversation, page, turn)
                else:
                    page.say(turn, turn.text)
                page.add(END)
        if conversation.generate:
            page.add("<role>ASSISTANT</role>\n", "<think>" if thinks else "<think></think>")

    def _write_head(self, conversation: Conversation, page: PromptBuilder, system: Turn | None, thinks: bool) -> None:
        text = "" if system is None else system.text
        switched = any(switch in text for switch in SWITCHES)
        page.add("<role>SYSTEM</role>", text, "\n" if system and (conversation.tools or not switched) else "")
        if conversation.tools:
            page.add(TOOLS_BEFORE, *("\n" + conversation.json(tool) for tool in conversation.tools), TOOLS_AFTER)
        page.add("" if switched else f"detailed thinking {'on' if thinks else 'off'}", END)

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn) -> None:
        thinking = turn.thinking
        page.add("\n<think>", (thinking or "").strip("\n"), "</think>")
        page.say(turn, turn.text.lstrip("\n") if thinking else turn.text)
        for number, call in enumerate(turn.calls):
            page.add("\n" if number or turn.text else "", self._call(conversation, call))

    def _call(self, conversation: Conversation, call: Call) -> str:
        fields = (
            f"<arg_key>{conversation.guard(name)}</arg_key>\n<arg_value>"
            f"{conversation.guard(value) if isinstance(value, str) else conversation.json(value)}</arg_value>"
            for name, value in call.fields().items()
        )
        return f"<tool_call>{call.name}\n{''.join(fields)}\n</tool_call>"

    def _write_result(self, page: PromptBuilder, turns: Sequence[Turn], place: int) -> None:
        first = not place or turns[place - 1].role != "tool"
        last = place + 1 == len(turns) or turns[place + 1].role != "tool"
        page.add("<role>OBSERVATION</role>" if first else "")
        page.add("\n<tool_response>\n", turns[place].text, "\n</tool_response>", END if last else "")


LING_3 = Ling3(
    name="ling_3",
    stops=(END, "<|endoftext|>"),
    special_tokens=(
        *("<role>", "</role>", END, "<|startoftext|>", "<think>", "</think>", "<tool_call>", "</tool_call>"),
        *("<tool_response>", "</tool_response>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    ),
    variables=("enable_thinking", "thinking_option"),
    supports_tools=True,
    keep_think=True,
    output_parser="glm",
)
