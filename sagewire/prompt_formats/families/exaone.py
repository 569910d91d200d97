"""LG's EXAONE families."""

from __future__ import annotations

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Conversation, Turn
from sagewire.prompt_formats.engine.turns import Block, PromptBuilder, TurnFormat

__all__ = ["EXAONE3_5", "EXAONE4", "EXAONE_DEEP"]

END = "[|endofturn|]\n"
NO_THOUGHT = "<think>\n\n</think>\n\n"
TOOLS_BEFORE = (
    "# Available Tools\nYou can use none, one, or multiple of the following tools by calling them as functions to help "
    "with the user’s query.\nHere are the tools available to you in JSON format within <tool> and </tool> tags:\n"
)
TOOLS_AFTER = (
    "\nFor each function call you want to make, return a JSON object with function name and arguments within "
    '<tool_call> and </tool_call> tags, like:\n<tool_call>{"name": function_1_name, "arguments": {argument_1_name: '
    "argument_1_value, argument_2_name: argument_2_value}}</tool_call>\n"
    '<tool_call>{"name": function_2_name, "arguments": {...}}</tool_call>\n...\n'
    "Note that if no argument name is specified for a tool, you can just print the argument value directly, without "
    "the argument name or JSON formatting."
)

EXAONE3_5 = TurnFormat(
    name="exaone3_5",
    roles={"user": Block("[|user|]", "\n")},
    other=Block("[|{role}|]", END),
    default_system="",
    generation="[|assistant|]",
    stops=("[|endofturn|]",),
    special_tokens=("[BOS]", "[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"),
)


class ExaoneDeep(TurnFormat):
    """EXAONE Deep: answers begin inside a block of thoughts, of which the history keeps none."""

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the answer behind the thinking; the thinking is not written back."""
        return None, text.split("</thought>")[-1].lstrip("\n") if "</thought>" in text else text


EXAONE_DEEP = ExaoneDeep(
    name="exaone_deep",
    roles={"user": Block("[|user|]", "")},
    other=Block("[|{role}|]", "[|endofturn|]"),
    separator="\n",
    default_system="",
    generation="[|assistant|]<thought>\n",
    stops=EXAONE3_5.stops,
    special_tokens=(*EXAONE3_5.special_tokens, "<thought>", "</thought>"),
    output_parser="exaone_deep",
)


class Exaone4(TurnFormat):
    """EXAONE 4: every answer opens with an empty block of thoughts; `enable_thinking=True` leaves the last one open."""

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the answer behind the thinking; the thinking is not written back."""
        thinks = "</think>" in text and self.opens_with("<think>", text)
        return None, text.split("</think>")[-1].strip() if thinks else text

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        if conversation.tools:
            system = turns[0].text if turns[0].role == "system" else None
            page.add("[|system|]\n", "" if system is None else system.strip() + "\n\n", TOOLS_BEFORE)
            page.add(*(f"<tool>{conversation.json(tool)}</tool>\n" for tool in conversation.tools), TOOLS_AFTER, END)
            turns = turns if system is None else turns[1:]
        for place, turn in enumerate(turns):
            if turn.role == "tool":
                self._write_result(conversation, page, turns, place)
                continue
            if turn.role not in ("system", "user", "assistant"):
                raise UsageError(f"Unknown role: {turn.role}")
            said = turn.text or turn.calls
            page.add(f"[|{turn.role}|]\n", NO_THOUGHT if turn.role == "assistant" and said else "")
            page.say(turn, turn.text)
            if turn.calls:
                page.add("\n" if turn.text else "")
                page.add(
                    "\n".join(
                        f'<tool_call>{{"name": "{call.name}", "arguments": {conversation.json(call.arguments)}}}'
                        "</tool_call>"
                        for call in turn.calls
                    )
                )
            page.add(END)
        if conversation.generate:
            page.add("[|assistant|]\n", "<think>\n" if conversation.option("enable_thinking") else NO_THOUGHT)

    def _write_result(self, conversation: Conversation, page: PromptBuilder, turns: list[Turn], place: int) -> None:
        turn = turns[place]
        page.add("\n" if place and turns[place - 1].role == "tool" else "[|tool|]\n")
        value = turn.text if turn.value is None else turn.value
        page.add("<tool_result>", conversation.json({"result": value}), "</tool_result>")
        if place == len(turns) - 1 or turns[place + 1].role != "tool":
            page.add(END)


EXAONE4 = Exaone4(
    name="exaone4",
    stops=("[|endofturn|]",),
    special_tokens=("[BOS]", "[|system|]", "[|user|]", "[|assistant|]", "[|tool|]", "[|endofturn|]"),
    variables=("enable_thinking",),
    keep_think=True,
    supports_tools=True,
    output_parser="hermes",
)
