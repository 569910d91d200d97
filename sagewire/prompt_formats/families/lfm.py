"""Liquid's LFM2 and LFM2.5."""

from __future__ import annotations

from typing import Any

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.said_calls import python_call
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.chatml import ASSISTANT, IM, TURN
from sagewire.prompt_formats.families.qwen import THINK_TAGS

__all__ = ["LFM2", "LFM2_5", "LFM2_5_INSTRUCT", "LFM2_V2"]

LIST, LIST_END = "<|tool_list_start|>", "<|tool_list_end|>"
CALL, CALL_END = "<|tool_call_start|>", "<|tool_call_end|>"
RESULT, RESULT_END = "<|tool_response_start|>", "<|tool_response_end|>"


class Lfm2(TurnFormat):
    """LFM2: tools in the system turn. The published template has no place for tool calls."""

    list_open, list_close = f"List of tools: {LIST}[", f"]{LIST_END}"
    result_open, result_close = RESULT, RESULT_END

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0].text if turns[0].role == "system" else ""
        turns = turns[1:] if turns[0].role == "system" else turns
        if conversation.tools:
            tools = ", ".join(conversation.json(tool) for tool in conversation.tools)
            system += ("\n" if system else "") + self.list_open + tools + self.list_close
        page.add(self.bos, f"<|im_start|>system\n{system}<|im_end|>\n" if system else "")
        question = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
        for place, turn in enumerate(turns):
            if turn.role == "assistant":
                self.write_answer(conversation, page, turn, place > question)
            elif turn.role == "tool":
                page.add("<|im_start|>tool\n", self.result_open, turn.text, self.result_close, "<|im_end|>\n")
            else:
                self.write_turn(conversation, page, turn, False)
        self.write_generation(conversation, page)

    def write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, current: bool) -> None:
        """Write an assistant's turn."""
        self.write_turn(conversation, page, turn, False)


class Lfm2Calls(Lfm2):
    """LFM2 of 1.2B by its later template: calls as a list of Python calls."""

    def write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, current: bool) -> None:
        """Write an assistant's turn."""
        page.add(ASSISTANT)
        page.say(turn, turn.text)
        self.write_calls(conversation, page, turn)
        page.add("<|im_end|>\n")

    def write_calls(self, conversation: Conversation, page: PromptBuilder, turn: Turn) -> None:
        """Write the calls of a turn."""
        if turn.calls:
            page.add(f"{CALL}[{', '.join(self._call(conversation, call) for call in turn.calls)}]{CALL_END}")

    def _call(self, conversation: Conversation, call: Call) -> str:
        return python_call(conversation, call)


class Lfm25(Lfm2Calls):
    """LFM2.5: calls as a list of Python calls; thinking is written back only after the user's last question."""

    list_open, list_close = "List of tools: [", "]"
    result_open = result_close = ""

    def write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, current: bool) -> None:
        """Write an assistant's turn."""
        kept = current or bool(conversation.option("preserve_thinking"))
        page.add(ASSISTANT)
        if turn.thinking is not None and kept:
            page.add(f"<think>{turn.thinking}</think>")
        text = turn.text
        if not kept and "</think>" in text:
            text = text.split("</think>")[-1].strip()
        page.say(turn, text)
        self.write_calls(conversation, page, turn)
        page.add("<|im_end|>\n")

    def _call(self, conversation: Conversation, call: Call) -> str:
        def shown(value: Any) -> str:
            # Texts are not escaped.
            if isinstance(value, str):
                return f"'{conversation.guard(value)}'"
            return conversation.json(value) if isinstance(value, dict) else conversation.guard(str(value))

        return python_call(conversation, call, shown)


class Lfm25Instruct(Lfm2):
    """LFM2.5 Instruct: as LFM2, without marks around tools and results; the last answer keeps its thoughts."""

    list_open, list_close = "List of tools: [", "]"
    result_open = result_close = ""

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the answer as it is: which thoughts stay depends on the answers behind it."""
        return None, text

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        if not conversation.option("keep_past_thinking"):
            answers = [turn for turn in conversation.turns if turn.role == "assistant"]
            for turn in answers[:-1]:
                if "</think>" in turn.text:
                    turn.text = turn.text.split("</think>")[-1].strip()
        super().write(conversation, page)


_LFM: dict[str, Any] = {
    "bos": "<|startoftext|>",
    "other": TURN,
    "generation": ASSISTANT,
    "stops": ("<|im_end|>",),
    "special_tokens": ("<|startoftext|>", *IM, LIST, LIST_END, CALL, CALL_END, RESULT, RESULT_END, *THINK_TAGS),
    "supports_tools": True,
    "output_parser": "lfm2",
}
LFM2 = Lfm2(name="lfm2", **_LFM)
LFM2_V2 = Lfm2Calls(name="lfm2_v2", **_LFM)
LFM2_5 = Lfm25(name="lfm2_5", keep_think=True, variables=("preserve_thinking",), **_LFM)
LFM2_5_INSTRUCT = Lfm25Instruct(name="lfm2_5_instruct", keep_think=True, variables=("keep_past_thinking",), **_LFM)
