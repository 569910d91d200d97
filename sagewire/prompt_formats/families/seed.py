"""ByteDance's Seed-OSS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.tools import fields_of
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["SEED_OSS"]

BOS, EOS = "<seed:bos>", "<seed:eos>"
CALL, CALL_END = "<seed:tool_call>", "</seed:tool_call>"
THINK, THINK_END = "<seed:think>", "</seed:think>"
BUDGET, BUDGET_END = "<seed:cot_budget_reflect>", "</seed:cot_budget_reflect>"
# Up to which budget the model reflects after how many tokens.
INTERVALS = {0: 0, 512: 128, 1024: 256, 2048: 512, 4096: 512, 8192: 1024, 16384: 1024}
TYPES = {"string": "str", "number": "int", "integer": "int", "boolean": "bool", "array": "list"}
DEFAULT = "You are Doubao, a helpful AI assistant. You may call one or more functions to assist with the user query."
TOOLS_AFTER = (
    f"\n工具调用请遵循如下格式:\n{CALL}\n<function=example_function_name>\n<parameter=example_parameter_1>value_1"
    "</parameter>\n<parameter=example_parameter_2>This is the value for the second parameter\nthat can span\n"
    f"multiple lines</parameter>\n</function>\n{CALL_END}\n"
)
NO_BUDGET = (
    "You are an intelligent assistant that can answer questions in one step without the need for reasoning and "
    "thinking, that is, your thinking budget is 0. Next, please skip the thinking process and directly start answering "
    "the user's questions."
)
WITH_BUDGET = (
    "You are an intelligent assistant with reflective ability. In the process of thinking and reasoning, you need to "
    "strictly follow the thinking budget, which is {budget}. That is, you need to complete your thinking within "
    "{budget} tokens and start answering the user's questions. You will reflect on your thinking process every "
    "{interval} tokens, stating how many tokens have been used and how many are left."
)


class SeedOss(TurnFormat):
    """Seed-OSS: tools as Python signatures, calls as XML, and a budget of thoughts under `thinking_budget`."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0].text if turns[0].role == "system" else DEFAULT if conversation.tools else None
        turns = turns[1:] if turns[0].role == "system" else turns
        budget = conversation.option("thinking_budget", -1)
        if not isinstance(budget, int):
            raise UsageError(f"thinking_budget is a number of tokens, not {budget!r:.60}.")
        if system is not None:
            page.add(f"{BOS}system\n", system, self._tools(conversation), EOS)
        if budget >= 0 or budget < -1:
            page.add(f"{BOS}system\n{_budget_text(budget)}\n{EOS}")
        for turn in turns:
            if turn.role == "assistant":
                self._write_answer(conversation, page, turn)
                continue
            self.check_role(turn)
            page.add(f"{BOS}{turn.role}\n")
            page.say(turn, turn.text)
            page.add(EOS)
        if conversation.generate:
            page.add(f"{BOS}assistant\n")
            if budget == 0:
                reflection = "The current thinking budget is 0, so I will directly start answering the question."
                page.add(f"{THINK}\n{BUDGET}{reflection}{BUDGET_END}\n{THINK_END}")

    def _tools(self, conversation: Conversation) -> str:
        if not conversation.tools:
            return ""
        for tool in conversation.tools:
            if tool["function"].get("returns"):
                conversation.lost(f"the 'returns' of the tool {tool['function']['name']!r}")
        return conversation.guard("".join(_signature(tool["function"]) for tool in conversation.tools)) + TOOLS_AFTER

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turn: Turn) -> None:
        thinking, text = (turn.thinking or "").strip(), turn.text.strip()
        page.add(f"{BOS}assistant", f"\n{THINK}{thinking}{THINK_END}" if thinking else "", "\n" if text else "")
        page.say(turn, text)
        if turn.calls:
            page.add("\n" if text else "", *(self._call(conversation, call) for call in turn.calls))
        page.add(EOS if text or turn.calls else "")

    def _call(self, conversation: Conversation, call: Call) -> str:
        fields = "".join(
            f"<parameter={conversation.tag(name)}{conversation.guard(str(value))}</parameter>\n"
            for name, value in call.fields().items()
        )
        return f"\n{CALL}\n<function={conversation.tag(call.name)}\n{fields}</function>\n{CALL_END}"


def _budget_text(budget: int) -> str:
    if budget == 0:
        return NO_BUDGET
    interval = next((interval for most, interval in INTERVALS.items() if budget <= most), INTERVALS[16384])
    return WITH_BUDGET.replace("{budget}", str(budget)).replace("{interval}", str(interval))


def _signature(function: Mapping[str, Any]) -> str:
    """Return a tool as the head of a Python function with its documentation."""
    fields, required = fields_of(function)
    types = {name: TYPES.get(str(spec.get("type")), "Any") for name, spec in fields.items()}
    arguments = ",".join(f"{name}: {kind}" for name, kind in types.items())
    lines = "".join(
        f"\n    - {name} ({types[name]}) [{'必填' if name in required else '选填'}]: {spec.get('description') or ''}"
        for name, spec in fields.items()
    )
    about = str(function.get("description") or "").strip()
    listed = f"\n    Args:{lines}" if fields else "\n"
    return f'\n\nFunction:\ndef {function["name"]}({arguments}):\n    """\n    {about}\n{listed}\n\n    """'


SEED_OSS = SeedOss(
    name="seed_oss",
    stops=(EOS,),
    special_tokens=(BOS, EOS, "<seed:pad>", CALL, CALL_END, THINK, THINK_END, BUDGET, BUDGET_END),
    variables=("thinking_budget",),
    supports_tools=True,
    output_parser="seed_oss",
)
