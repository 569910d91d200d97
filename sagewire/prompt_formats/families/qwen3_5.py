"""Qwen 3.5 and later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.chatml import ASSISTANT, IM
from sagewire.prompt_formats.families.qwen import CALL_TAGS, STOPS, THINK_TAGS

__all__ = ["QWEN3_5", "QWEN3_5_SMALL", "QWEN3_6", "QWEN3_8", "QWEN3_8_MAX", "TOOLS_AFTER", "TOOLS_BEFORE"]

EFFORTS = {
    "xhigh": (
        "Reasoning effort is set to xhigh. Please think carefully through the task, validate key assumptions, consider "
        "plausible alternatives, and prioritize correctness, consistency, and clarity in the final answer."
    ),
    "medium": "",
    "low": (
        "Reasoning effort is set to low. Keep your thinking brief and focused, moving directly to the conclusion "
        "without unnecessary elaboration."
    ),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Qwen35(TurnFormat):
    """Qwen 3.5 and later: tools before the system text, calls as XML, each parameter on lines of its own.

    Args:
        think: Answers begin inside a block of thoughts unless `enable_thinking` says otherwise.
        keep_past: Thinking before the user's last question is written back unless `preserve_thinking` says otherwise.
        json_scalars: Numbers, booleans and null in arguments are written as JSON; else as Python writes them.
        split_thinking: Thinking inside an assistant's text is taken out of it.
        efforts: The system turn says how much to think, as `reasoning_effort` chooses.
        must_think: Thinking cannot be switched off.
    """

    think: bool = True
    keep_past: bool = False
    json_scalars: bool = True
    split_thinking: bool = True
    efforts: bool = False
    must_think: bool = False

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the thinking inside an assistant's text, and the rest."""
        text = text.strip()
        # Where the prompt opens the thinking, what a server sent back holds only the closing tag.
        opened = self.think or self.opens_with("<think>", text)
        if not self.split_thinking or not opened or "</think>" not in text:
            return None, text
        thinking = text.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
        return thinking, text.split("</think>")[-1].lstrip("\n")

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        if self.must_think and conversation.option("enable_thinking") is False:
            raise UsageError("Disabling thinking is not supported.")
        turns = conversation.turns
        question = _last_question(turns)
        if question < 0:
            raise UsageError("No user query found in messages.")
        self._write_system(conversation, page, turns[0].text.strip() if turns[0].role == "system" else None)
        for place, turn in enumerate(turns):
            before = turns[place - 1].role if place else ""
            after = turns[place + 1].role if place + 1 < len(turns) else ""
            if turn.role == "system":
                if place:
                    raise UsageError("System message must be at the beginning.")
            elif turn.role == "user":
                page.add("<|im_start|>user\n")
                page.say(turn, turn.text.strip())
                page.add("<|im_end|>\n")
            elif turn.role == "assistant":
                self._write_answer(conversation, page, turn, place > question)
            elif turn.role == "tool":
                page.add("<|im_start|>user" if before and before != "tool" else "")
                page.add("\n<tool_response>\n", turn.text.strip(), "\n</tool_response>")
                page.add("" if after == "tool" else "<|im_end|>\n")
            else:
                raise UsageError("Unexpected message role.")
        self.write_generation(conversation, page)

    def write_generation(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the opening of the answer with an open or an empty block of thoughts."""
        super().write_generation(conversation, page)
        if conversation.generate:
            thinks = conversation.option("enable_thinking", self.think)
            page.add("<think>\n" if thinks is True else "<think>\n\n</think>\n\n")

    def _write_system(self, conversation: Conversation, page: PromptBuilder, system: str | None) -> None:
        effort = self._effort(conversation)
        lead = effort + "\n\n" if effort else ""
        if conversation.tools:
            tools = "".join("\n" + conversation.json(tool) for tool in conversation.tools)
            page.add("<|im_start|>system\n", lead, TOOLS_BEFORE, tools, TOOLS_AFTER)
            page.add("\n\n" + system if system else "", "<|im_end|>\n")
        elif system or (system is not None and not self.efforts):
            page.add("<|im_start|>system\n", lead, system, "<|im_end|>\n")
        elif effort:
            page.add("<|im_start|>system\n", effort, "<|im_end|>\n")

    def _effort(self, conversation: Conversation) -> str:
        if not self.efforts or conversation.option("enable_thinking", True) is not True:
            return ""
        effort = conversation.option("reasoning_effort", "xhigh")
        if effort not in EFFORTS:
            raise UsageError(f"reasoning_effort is 'xhigh' (the default), 'medium' or 'low', not {effort!r:.60}.")
        return EFFORTS[effort]

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, current: bool) -> None:
        page.add("<|im_start|>assistant\n")
        if current or conversation.option("preserve_thinking", self.keep_past) is True:
            page.add(f"<think>\n{(turn.thinking or '').strip()}\n</think>\n\n")
        page.say(turn, turn.text)
        for number, call in enumerate(turn.calls):
            page.add("\n" if number else "\n\n" if turn.text.strip() else "")
            page.add(f"<tool_call>\n<function={conversation.tag(call.name)}\n", self._parameters(conversation, call))
            page.add("</function>\n</tool_call>")
        page.add("<|im_end|>\n")

    def _parameters(self, conversation: Conversation, call: Call) -> str:
        return "".join(
            f"<parameter={conversation.tag(name)}\n{self._value(conversation, value)}\n</parameter>\n"
            for name, value in call.fields().items()
        )

    def _value(self, conversation: Conversation, value: Any) -> str:
        if isinstance(value, str):
            return conversation.guard(value)
        if self.json_scalars or isinstance(value, dict | list):
            return conversation.json(value)
        return str(value)


TOOLS_BEFORE = "# Tools\n\nYou have access to the following functions:\n\n<tools>"
TOOLS_AFTER = (
    "\n</tools>\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:\n\n"
    "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
    "<parameter=example_parameter_2>\nThis is the value for the second parameter\nthat can span\nmultiple lines\n"
    "</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified "
    "format: an inner <function=...></function> block must be nested within <tool_call></tool_call> XML tags\n"
    "- Required parameters MUST be specified\n- You may provide optional reasoning for your function call in natural "
    "language BEFORE the function call, but NOT after\n- If there is no function call available, answer the question "
    "like normal with your current knowledge and do not tell the user about function calls\n</IMPORTANT>"
)

_TOKENS = (*IM, *CALL_TAGS, *THINK_TAGS)
_QWEN: dict[str, Any] = {"generation": ASSISTANT, "stops": STOPS, "special_tokens": _TOKENS, "supports_tools": True}
_XML: dict[str, Any] = {**_QWEN, "keep_think": True, "output_parser": "qwen3_coder"}

QWEN3_5 = Qwen35(name="qwen3_5", variables=("enable_thinking",), json_scalars=False, **_XML)
QWEN3_5_SMALL = Qwen35(name="qwen3_5_small", variables=("enable_thinking",), think=False, json_scalars=False, **_XML)
QWEN3_6 = Qwen35(name="qwen3_6", variables=("enable_thinking", "preserve_thinking"), **_XML)
QWEN3_8 = Qwen35(
    name="qwen3_8",
    variables=("enable_thinking", "preserve_thinking", "reasoning_effort"),
    keep_past=True,
    split_thinking=False,
    efforts=True,
    **_XML,
)
QWEN3_8_MAX = Qwen35(
    name="qwen3_8_max",
    variables=("enable_thinking", "preserve_thinking", "reasoning_effort"),
    keep_past=True,
    split_thinking=False,
    efforts=True,
    must_think=True,
    **_XML,
)


def _last_question(turns: Sequence[Turn]) -> int:
    """Return the place of the user's last turn that is not a tool's result in disguise; -1 without one."""
    for place in range(len(turns) - 1, -1, -1):
        text = turns[place].text.strip()
        if turns[place].role == "user" and not (
            text.startswith("<tool_response>") and text.endswith("</tool_response>")
        ):
            return place
    return -1
