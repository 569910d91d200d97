"""DeepSeek V3.1, V3.2-Exp and V3.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.deepseek import (
    ASSISTANT,
    BOS,
    CALL,
    CALL_END,
    CALLS,
    CALLS_END,
    EOS,
    OUTPUT,
    OUTPUT_END,
    SEP,
    THINK_TAGS,
    TOKENS,
    USER,
    system_text,
)

__all__ = ["DEEPSEEK_V3_1", "DEEPSEEK_V3_1_TOOLS", "DEEPSEEK_V3_2", "DEEPSEEK_V3_2_EXP", "DSML", "dsml_call"]

TOOLS_BEFORE = "\n\n## Tools\nYou have access to the following tools:\n"
TOOLS_AFTER = (
    f"\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n{CALLS}{CALL}tool_call_name{SEP}"
    f"tool_call_arguments{CALL_END}{{{{additional_tool_calls}}}}{CALLS_END}\n\nWhere:\n\n- `tool_call_name` must be an "
    "exact match to one of the available tools\n- `tool_call_arguments` must be valid JSON that strictly follows the "
    "tool's Parameters Schema\n- For multiple tool calls, chain them directly without separators or spaces\n"
)


@dataclass(frozen=True, kw_only=True, repr=False)
class DeepSeekV31(TurnFormat):
    """DeepSeek V3.1: an answer to a user begins behind a block of thoughts, or under `thinking=True` inside one.

    The model's own template is silent about tools; they are described as its model card asks.

    Args:
        thoughtless: What an answer without thoughts begins with.
        always_open: The answer is opened behind an answer, too.
    """

    thoughtless: str = "</think>"
    always_open: bool = False

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the answer behind the thinking; the thinking is not written back."""
        return None, text.split("</think>", 1)[-1]

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        page.add(BOS, system_text(conversation, joined=True), self._tools(conversation))
        asked = after_tool = False
        for turn in conversation.turns:
            if turn.role == "user":
                page.add(USER)
                page.say(turn, turn.text)
                asked, after_tool = True, False
            elif turn.role == "assistant":
                page.add(ASSISTANT + self.thoughtless if asked else "")
                page.say(turn, turn.text)
                page.add(self._calls(turn.calls), EOS)
                asked = after_tool = False
            elif turn.role == "tool":
                page.add(OUTPUT, turn.text, OUTPUT_END)
                asked, after_tool = False, True
            elif turn.role != "system":
                conversation.lost_turn(turn)
        if conversation.generate and not after_tool and (asked or self.always_open):
            page.add(ASSISTANT, "<think>" if conversation.option("thinking") else self.thoughtless)

    def _tools(self, conversation: Conversation) -> str:
        if not conversation.tools:
            return ""
        texts = [
            f"\n### {function['name']}\nDescription: {function.get('description', '')}\n\n"
            f"Parameters: {conversation.json(function.get('parameters', {}))}\n"
            for function in (tool["function"] for tool in conversation.tools)
        ]
        return TOOLS_BEFORE + conversation.guard("".join(texts)) + TOOLS_AFTER

    def _calls(self, calls: tuple[Call, ...]) -> str:
        if not calls:
            return ""
        return CALLS + "".join(f"{CALL}{call.name}{SEP}{call.raw}{CALL_END}" for call in calls) + CALLS_END


# What opens each tag of the encoding.
DSML = "｜DSML｜"
V32_BEFORE = (
    "\n\n## Tools\n\nYou have access to a set of tools you can use to answer the user's question.\nYou can invoke "
    f'functions by writing a "<{DSML}function_calls>" block like the following as part of your reply to the user:\n'
    f'<{DSML}function_calls>\n<{DSML}invoke name="$FUNCTION_NAME">\n<{DSML}parameter name="$PARAMETER_NAME" '
    f'string="true|false">$PARAMETER_VALUE</{DSML}parameter>\n...\n</{DSML}invoke>\n<{DSML}invoke '
    f'name="$FUNCTION_NAME2">\n...\n</{DSML}invoke>\n</{DSML}function_calls>\n\nString and scalar parameters should be '
    "specified as is without any escaping or quotes, while lists and objects should use JSON format. The "
    '"string" attribute should be set to "true" for string type parameters and "false" for other types (numbers, '
    "booleans, arrays, objects).\n\nIf the thinking_mode is enabled, then after function results you should strongly "
    f"consider outputting a thinking block. Here is an example:\n\n<{DSML}function_calls>\n...\n</{DSML}function_calls>"
    "\n\n<function_results>\n...\n</function_results>\n\n<think>...thinking about results</think>\n\n"
    "Here are the functions available in JSONSchema format:\n<functions>\n"
)


class DeepSeekV32(TurnFormat):
    """DeepSeek V3.2, which has an encoder in place of a template: calls in DSML, and answers that are always opened."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns, thinks = conversation.turns, bool(conversation.option("thinking"))
        question = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
        page.add(BOS)
        if turns[0].role != "system":
            page.add(self._tools(conversation))
        due = answered = 0
        for place, turn in enumerate(turns):
            opening = "<think>" if thinks and place >= question else "</think>"
            if turn.role == "system":
                page.add(turn.text, "" if place else self._tools(conversation))
            elif turn.role == "user":
                page.add(USER)
                page.say(turn, turn.text)
                page.add(ASSISTANT, opening)
            elif turn.role == "assistant":
                self._write_answer(conversation, page, turn, thinks and place > question)
                due, answered = len(turn.calls), 0
            elif turn.role == "tool":
                answered += 1
                if answered > due:
                    raise UsageError("No tool calls but found tool output")
                page.add("\n\n<function_results>" if answered == 1 else "", f"\n<result>{turn.text}</result>")
                page.add("\n</function_results>\n\n" + opening if answered == due else "")
            else:
                conversation.lost_turn(turn)

    def _tools(self, conversation: Conversation) -> str:
        if not conversation.tools:
            return ""
        tools = "\n".join(conversation.json(tool["function"]) for tool in conversation.tools)
        return f"{V32_BEFORE}{tools}\n</functions>\n"

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn, thinks: bool) -> None:
        if thinks:
            if not turn.thinking and not turn.calls:
                raise UsageError("With thinking, an answer to the last question needs its thinking or tool calls.")
            page.add("" if turn.final else f"{turn.thinking or ''}</think>")
        page.say(turn, turn.text)
        if turn.calls:
            calls = "\n".join(dsml_call(conversation, call) for call in turn.calls)
            page.add(f"\n\n<{DSML}function_calls>\n{calls}\n</{DSML}function_calls>")
        page.add(EOS)


def dsml_call(conversation: Conversation, call: Call) -> str:
    """Return a tool call in DSML, an argument a line."""
    fields = "\n".join(
        f'<{DSML}parameter name="{conversation.guard(name)}" string="{str(isinstance(value, str)).lower()}">'
        f"{conversation.guard(value) if isinstance(value, str) else conversation.json(value)}</{DSML}parameter>"
        for name, value in call.fields().items()
    )
    return f'<{DSML}invoke name="{call.name}">\n{fields}\n</{DSML}invoke>'


_DEEPSEEK: dict[str, Any] = {
    "stops": (EOS,),
    "special_tokens": (*TOKENS, *THINK_TAGS),
    "variables": ("thinking",),
    "keep_think": True,
    "supports_tools": True,
}
DEEPSEEK_V3_1 = DeepSeekV31(
    name="deepseek_v3_1",
    thoughtless="<think></think>",
    output_parser="deepseek_v31",
    **{**_DEEPSEEK, "supports_tools": False},
)
DEEPSEEK_V3_1_TOOLS = DeepSeekV31(name="deepseek_v3_1_tools", output_parser="deepseek_v31", **_DEEPSEEK)
DEEPSEEK_V3_2_EXP = DeepSeekV31(
    name="deepseek_v3_2_exp",
    always_open=True,
    output_parser="deepseek_v31",
    **{**_DEEPSEEK, "supports_tools": False},
)
DEEPSEEK_V3_2 = DeepSeekV32(
    name="deepseek_v3_2",
    output_parser="deepseek_v32",
    **{**_DEEPSEEK, "special_tokens": (*TOKENS, *THINK_TAGS, f"<{DSML}", f"</{DSML}")},
)
