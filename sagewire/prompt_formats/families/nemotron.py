"""NVIDIA's Nemotron 3 and 3.5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.tools import dump, fields_of
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.chatml import ASSISTANT, IM, TURN
from sagewire.prompt_formats.families.qwen import CALL_TAGS, THINK_TAGS
from sagewire.prompt_formats.families.qwen3_5 import TOOLS_AFTER, TOOLS_BEFORE

__all__ = ["NEMOTRON_3_5_LIGHTNING", "NEMOTRON_3_NANO", "NEMOTRON_3_SUPER", "NEMOTRON_3_ULTRA"]

EMPTY = "<think></think>"


@dataclass(frozen=True, kw_only=True, repr=False)
class Nemotron3(TurnFormat):
    """Nemotron 3: tools and calls as XML, and a block of thoughts in every answer.

    Args:
        close_thinking: What closes the thoughts of an answer.
        effort: The variable that asks for less thinking.
        effort_hint: What it writes behind the last question.
        trim_past: Blanks around the text of earlier answers with tool calls are removed.
    """

    close_thinking: str = "\n</think>\n"
    effort: str = ""
    effort_hint: str = ""
    trim_past: bool = True

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0].text if turns[0].role == "system" else ""
        turns = turns[1:] if turns[0].role == "system" else turns
        question = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
        page.add("<|im_start|>system\n", system, self._tools(conversation, system), "<|im_end|>\n")
        for place, turn in enumerate(turns):
            if turn.role == "assistant":
                past = conversation.option("truncate_history_thinking", True) and place < question
                self._write_answer(conversation, page, turn, bool(past))
            elif turn.role == "tool":
                self._write_result(page, turns, place)
            else:
                self.write_turn(conversation, page, turn, place == question)
        if conversation.generate:
            page.add(ASSISTANT, "<think>\n" if conversation.option("enable_thinking", True) else EMPTY)

    def write_turn(self, conversation: Conversation, page: PromptBuilder, turn: Turn, last: bool) -> None:
        """Write a turn that is only text; the last question may ask for less thinking."""
        if last and self.effort and conversation.option(self.effort):
            turn.text += f"\n\n{{reasoning effort: {self.effort_hint}}}"
        super().write_turn(conversation, page, turn, last)

    def _tools(self, conversation: Conversation, system: str) -> str:
        if not conversation.tools:
            return ""
        tools = "".join(_xml_tool(tool["function"]) for tool in conversation.tools)
        return ("\n\n" if system else "") + TOOLS_BEFORE + conversation.guard(tools) + "\n</tools>" + AFTER

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, past: bool) -> None:
        page.add(ASSISTANT)
        lead, text = "", turn.text
        if (turn.thinking or "").strip():
            lead = f"<think>\n{turn.thinking}{self.close_thinking}"
        elif "<think>" not in text and "</think>" not in text:
            lead = EMPTY
        if past and (lead or ("<think>" in text and "</think>" in text)):
            behind = lead.rpartition("</think>")[2] if lead else text.rpartition("</think>")[2]
            lead, text = EMPTY, behind + text if lead else behind
            text = text.strip() if turn.calls and self.trim_past else text if turn.calls else text.rstrip()
        else:
            text = text.rstrip() if lead else text.strip()
            lead = lead if text else lead.rstrip()
        page.add(lead)
        page.say(turn, text)
        if turn.calls:
            page.add("\n", *(self._call(conversation, call) for call in turn.calls))
        page.add("<|im_end|>\n")

    def _write_result(self, page: PromptBuilder, turns: list[Turn], place: int) -> None:
        page.add("<|im_start|>user\n" if place and turns[place - 1].role != "tool" else "")
        page.add("<tool_response>\n", turns[place].text, "\n</tool_response>\n")
        if place == len(turns) - 1 or turns[place + 1].role != "tool":
            page.add("<|im_end|>\n")

    def _call(self, conversation: Conversation, call: Call) -> str:
        fields = "".join(
            f"<parameter={conversation.tag(name)}\n{conversation.guard(_shown(value))}\n</parameter>\n"
            for name, value in call.fields().items()
        )
        return f"<tool_call>\n<function={conversation.tag(call.name)}\n{fields}</function>\n</tool_call>\n"


def _shown(value: Any) -> str:
    """Return a value as the template writes it: objects and lists as JSON, the rest as Python does."""
    return dump(value) if isinstance(value, dict | list) else str(value)


def _xml_tool(function: Mapping[str, Any]) -> str:
    parameters = function.get("parameters") or {}
    text = f"\n<function>\n<name>{function['name']}</name>"
    if "description" in function:
        text += f"\n<description>{str(function['description']).strip()}</description>"
    text += "\n<parameters>"
    for name, spec in fields_of(function)[0].items():
        text += f"\n<parameter>\n<name>{name}</name>"
        known: dict[str, Callable[[Any], str]] = {
            "type": str,
            "description": lambda value: str(value).strip(),
            "enum": dump,
        }
        for key, show in known.items():
            text += f"\n<{key}>{show(spec[key])}</{key}>" if key in spec else ""
        text += _extra(spec, ("name", *known)) + "\n</parameter>"
    text += _extra(parameters, ("type", "properties", "required"))
    if "required" in parameters:
        text += f"\n<required>{dump(parameters['required'])}</required>"
    return text + f"\n</parameters>{_extra(function, ('type', 'name', 'description', 'parameters'))}\n</function>"


def _extra(fields: Mapping[str, Any], handled: tuple[str, ...]) -> str:
    return "".join(f"\n<{key}>{_shown(value)}</{key}>" for key, value in fields.items() if key not in handled)


AFTER = TOOLS_AFTER.removeprefix("\n</tools>")
_NEMOTRON: dict[str, Any] = {
    "other": TURN,
    "generation": ASSISTANT,
    "stops": ("<|im_end|>",),
    "special_tokens": (*IM, *CALL_TAGS, *THINK_TAGS),
    "keep_think": True,
    "supports_tools": True,
    "output_parser": "qwen3_coder",
}
_VARIABLES = ("enable_thinking", "truncate_history_thinking")
NEMOTRON_3_NANO = Nemotron3(name="nemotron_3_nano", variables=_VARIABLES, **_NEMOTRON)
NEMOTRON_3_SUPER = Nemotron3(
    name="nemotron_3_super",
    variables=(*_VARIABLES, "low_effort"),
    effort="low_effort",
    effort_hint="low",
    **_NEMOTRON,
)
NEMOTRON_3_ULTRA = Nemotron3(
    name="nemotron_3_ultra",
    variables=(*_VARIABLES, "medium_effort"),
    close_thinking="</think>",
    effort="medium_effort",
    effort_hint="efficient",
    trim_past=False,
    **_NEMOTRON,
)
NEMOTRON_3_5_LIGHTNING = Nemotron3(
    name="nemotron_3_5_lightning", variables=_VARIABLES, close_thinking="</think>", trim_past=False, **_NEMOTRON
)
