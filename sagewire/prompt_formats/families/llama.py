"""The Llama family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Conversation, Turn
from sagewire.prompt_formats.engine.turns import ALTERNATE, Block, FoldedFormat, PromptBuilder, TurnFormat

__all__ = [
    "CODELLAMA_70B",
    "LLAMA2",
    "LLAMA3",
    "LLAMA3_1",
    "LLAMA3_1_NEMOTRON",
    "LLAMA3_2",
    "LLAMA3_2_VISION",
    "LLAMA3_3",
    "LLAMA4",
]

HEADER = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


LLAMA2 = FoldedFormat(
    name="llama2",
    lead=Block("<<SYS>>\n", "\n<</SYS>>\n\n"),
    trim_lead=True,
    roles={
        "system": Block("<<SYS>>\n", "\n<</SYS>>\n\n", trim=True),
        "user": Block("<s>[INST] ", " [/INST]", trim=True),
        "assistant": Block(" ", " </s>", trim=True),
    },
    stops=("</s>",),
    special_tokens=("<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
)
LLAMA3 = TurnFormat(
    name="llama3",
    bos="<|begin_of_text|>",
    other=Block("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>", trim=True),
    generation="<|start_header_id|>assistant<|end_header_id|>\n\n",
    stops=("<|eot_id|>", "<|end_of_text|>"),
    special_tokens=HEADER,
)
CODELLAMA_70B = TurnFormat(
    name="codellama_70b",
    bos="<s>",
    other=Block("Source: {role}\n\n ", " <step> ", trim=True),
    generation="Source: assistant\nDestination: user\n\n ",
    ending="Source: assistant\nDestination: user\n\n ",
    alternate=ALTERNATE,
    stops=("</s>", "<step>"),
    special_tokens=("<s>", "</s>", "<step>"),
    words=("\nSource:", "\nDestination:"),
)


ASK_USER = (
    "Given the following functions, please respond with a JSON for a function call with its proper arguments that "
    "best answers the given prompt.\n\n"
)
ASK_SYSTEM = (
    "You have access to the following functions. To call a function, please respond with JSON for a function call."
)
ANSWER_SHAPE = (
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.'
    "Do not use variables.\n\n"
)
DAY = "%d %b %Y"


@dataclass(frozen=True, kw_only=True, repr=False)
class LlamaTools(TurnFormat):
    """Llama 3.1 and later: tools in the first user turn, or with `tools_in_user_message=False` in the system turn.

    Args:
        head: What opens a turn, `{role}` for the role.
        end: What closes it.
        dated: The system turn says the date.
    """

    head: str
    end: str
    dated: bool = True

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0] if turns[0].role == "system" else None
        turns = turns[1:] if system else turns
        in_user = bool(conversation.option("tools_in_user_message", True))
        page.add(self.bos)
        self.write_system(conversation, page, system, not in_user)
        if conversation.tools and in_user:
            turns = self._write_tools(conversation, page, turns)
        for turn in turns:
            if turn.calls:
                self.write_calls(conversation, page, turn)
            elif turn.role in ("tool", "ipython"):
                value = turn.text if turn.value is None else turn.value
                page.add(self.head.replace("{role}", "ipython"), conversation.json(value), self.end)
            else:
                self.write_turn(conversation, page, turn, False)
        self.write_generation(conversation, page)

    def _write_tools(self, conversation: Conversation, page: PromptBuilder, turns: list[Turn]) -> list[Turn]:
        if not turns:
            raise UsageError("Cannot put tools in the first user message when there's no first user message!")
        if turns[0].role != "user":
            conversation.lost(f"tools in a conversation that begins with the role {turns[0].role!r}")
        page.add(self.head.replace("{role}", "user"), ASK_USER, ANSWER_SHAPE, self.tools_text(conversation))
        page.say(turns[0], turns[0].text.strip())
        page.add(self.end)
        return turns[1:]

    def tools_text(self, conversation: Conversation) -> str:
        """Return the descriptions of the tools."""
        return "".join(conversation.json(tool, indent=4) + "\n\n" for tool in conversation.tools)

    def write_system(
        self, conversation: Conversation, page: PromptBuilder, system: Turn | None, with_tools: bool
    ) -> None:
        """Write the system turn, which is there in any case."""
        date = conversation.guard(conversation.date_string or self.today(conversation))
        page.add(self.head.replace("{role}", "system"), "Environment: ipython\n" if conversation.tools else "")
        page.add(f"Cutting Knowledge Date: December 2023\nToday Date: {date}\n\n" if self.dated else "")
        if conversation.tools and with_tools:
            page.add(ASK_SYSTEM, ANSWER_SHAPE, self.tools_text(conversation))
        page.add("" if system is None else system.text.strip(), self.end)

    def today(self, conversation: Conversation) -> str:
        """Return the date where the caller gave none: 3.1 and 3.3 say the day they were released."""
        return "26 Jul 2024" if conversation.now is None else conversation.now.strftime(DAY)

    def write_calls(self, conversation: Conversation, page: PromptBuilder, turn: Turn) -> None:
        """Write a tool call; the family knows one at a time, and no text beside it."""
        if len(turn.calls) != 1:
            raise UsageError("This model only supports single tool-calls at once!")
        if turn.text.strip():
            conversation.lost("text beside tool calls")
        page.add(self.head.replace("{role}", "assistant"), self.call_text(conversation, turn), self.end)

    def call_text(self, conversation: Conversation, turn: Turn) -> str:
        """Return the calls of a turn."""
        return "".join(
            f'{{"name": "{call.name}", "parameters": {conversation.json(call.arguments)}}}' for call in turn.calls
        )


class Llama32(LlamaTools):
    """Llama 3.2: today's date is asked of the clock."""

    def today(self, conversation: Conversation) -> str:
        """Return today's date."""
        return conversation.time().strftime(DAY)


class Llama4(LlamaTools):
    """Llama 4: a system turn only if there is a system text, several calls at once, and text before them."""

    def write_system(
        self, conversation: Conversation, page: PromptBuilder, system: Turn | None, with_tools: bool
    ) -> None:
        """Write the system turn; without a system text the tools cannot stand in it."""
        if system is None:
            if conversation.tools and with_tools:
                conversation.lost("tools in the system message without a system message")
            return
        page.add(self.head.replace("{role}", "system"), "Environment: ipython\n" if conversation.tools else "")
        if conversation.tools and with_tools:
            page.add(ASK_SYSTEM, ANSWER_SHAPE, self.tools_text(conversation))
        page.add(system.text.strip(), self.end)

    def write_calls(self, conversation: Conversation, page: PromptBuilder, turn: Turn) -> None:
        """Write the tool calls behind the text."""
        page.add(self.head.replace("{role}", "assistant"), "<|python_start|>")
        page.say(turn, turn.text)
        page.add("<|python_end|>", self.call_text(conversation, turn), self.end)


_LLAMA3: dict[str, Any] = {
    "bos": "<|begin_of_text|>",
    "head": "<|start_header_id|>{role}<|end_header_id|>\n\n",
    "end": "<|eot_id|>",
    "other": LLAMA3.other,
    "generation": LLAMA3.generation,
    "stops": ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
    "special_tokens": (*HEADER, "<|eom_id|>", "<|python_tag|>"),
    "variables": ("tools_in_user_message",),
    "supports_tools": True,
    "output_parser": "llama3_json",
}

LLAMA3_1 = LlamaTools(name="llama3_1", **_LLAMA3)
LLAMA3_1_NEMOTRON = LlamaTools(name="llama3_1_nemotron", dated=False, **_LLAMA3)
LLAMA3_2 = Llama32(name="llama3_2", **{**_LLAMA3, "output_parser": "pythonic"})
# The text of the models that see: blanks around it are kept.
LLAMA3_2_VISION = Llama32(
    name="llama3_2_vision",
    **{**_LLAMA3, "other": Block(_LLAMA3["other"].before, _LLAMA3["other"].after), "output_parser": "pythonic"},
)
LLAMA3_3 = LlamaTools(name="llama3_3", **_LLAMA3)
LLAMA4 = Llama4(
    name="llama4",
    bos="<|begin_of_text|>",
    head="<|header_start|>{role}<|header_end|>\n\n",
    end="<|eot|>",
    other=Block("<|header_start|>{role}<|header_end|>\n\n", "<|eot|>"),
    generation="<|header_start|>assistant<|header_end|>\n\n",
    stops=("<|eot|>", "<|eom|>", "<|end_of_text|>"),
    special_tokens=(
        *("<|begin_of_text|>", "<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>", "<|eom|>"),
        *("<|python_start|>", "<|python_end|>"),
    ),
    variables=("tools_in_user_message",),
    supports_tools=True,
    output_parser="pythonic",
)
