"""The Hermes families of Nous Research: ChatML without tools, their own prompt with tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.prompt_formats.engine.conversation import Conversation, Turn
from sagewire.prompt_formats.engine.tools import fields_of
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.chatml import ASSISTANT, IM, TURN

__all__ = ["HERMES_2_PRO", "HERMES_3", "HERMES_3_70B"]

TOOLS_BEFORE = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. "
    "You may call one or more functions to assist with the user query. Don't make assumptions about what values to "
    "plug into functions. Here are the available tools: <tools> "
)
TOOLS_AFTER = (
    " </tools>Use the following pydantic model json schema for each tool call you will make: "
    '{"properties": {"name": {"title": "Name", "type": "string"}, "arguments": {"title": "Arguments", "type": '
    '"object"}}, "required": ["name", "arguments"], "title": "FunctionCall", "type": "object"}}\n'
    "For each function call return a json object with function name and arguments within <tool_call></tool_call> "
    'XML tags as follows:\n<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
)
PYTHON_TYPES = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"}


class Hermes(TurnFormat):
    """Plain ChatML where no tools are offered; text beside tool calls has no place, so strict refuses it."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        if conversation.tools:
            page.add(self.bos, "<|im_start|>system\n", TOOLS_BEFORE)
            page.add(
                "\n".join(conversation.guard(_signature(tool["function"], conversation)) for tool in conversation.tools)
            )
            page.add(TOOLS_AFTER, "<|im_end|>\n")
        elif self.says_calls and any(turn.calls for turn in turns):
            page.add(self.bos)
            turns = self.with_default_system(turns, conversation)
        else:
            super().write(conversation, page)
            return
        for place, turn in enumerate(turns):
            if turn.calls:
                if turn.text.strip():
                    conversation.lost("text beside tool calls")
                page.add("<|im_start|>assistant")
                for call in turn.calls:
                    arguments = conversation.json(call.arguments)
                    page.add(f'\n<tool_call>\n{{"name": "{call.name}", "arguments": {arguments}}}\n</tool_call>')
                page.add("<|im_end|>\n")
            elif turn.role == "tool":
                self._write_result(turns, page, place)
            elif turn.role in ("system", "user", "assistant"):
                self.write_turn(conversation, page, turn, False)
            else:
                conversation.lost_turn(turn)
        self.write_generation(conversation, page)

    def _write_result(self, turns: Sequence[Turn], page: PromptBuilder, place: int) -> None:
        last = place == len(turns) - 1
        if place and turns[place - 1].role != "tool":
            page.add("<|im_start|>tool\n")
        page.add("<tool_response>\n", turns[place].text, "\n</tool_response>" if last else "\n</tool_response>\n")
        if last or turns[place + 1].role != "tool":
            page.add("<|im_end|>")


def _signature(function: dict[str, Any], conversation: Conversation) -> str:
    """Return a tool as Hermes was shown it: a Python signature in the description, and one brace too few."""
    fields, _ = fields_of(function)
    returns = function.get("return") if isinstance(function.get("return"), Mapping) else None
    signature = ", ".join(f"{name}: {_python_type(spec)}" for name, spec in fields.items())
    text = f"{function['name']}({signature})"
    if returns is not None:
        text += f" -> {_python_type(returns)}"
    text += f" - {function.get('description') or ''}\n\n"
    if fields:
        text += "    Args:\n"
    for name, spec in fields.items():
        text += f"        {name}({_python_type(spec)}): {str(spec.get('description') or '').strip()}"
    if returns is not None and "description" in returns:
        text += f"\n    Returns:\n        {returns['description']}"
    schema = conversation.json(function["parameters"]) if fields else "{}"
    name = function["name"]
    return f'{{"type": "function", "function": {{"name": "{name}", "description": "{text}", "parameters": {schema}}}'


def _python_type(spec: Mapping[str, Any]) -> str:
    kind = spec.get("type")
    if isinstance(kind, str) and kind in PYTHON_TYPES:
        return PYTHON_TYPES[kind]
    if kind == "array":
        items = spec.get("items")
        return f"list[{_python_type(items if isinstance(items, Mapping) else {})}]"
    if kind == "object":
        values = spec.get("additionalProperties")
        return "dict" if values is None else f"dict[str, {_python_type(values if isinstance(values, Mapping) else {})}]"
    if isinstance(kind, list):
        return f"Union[{','.join(_python_type({'type': one}) for one in kind)}]"
    return "Any"


_HERMES: dict[str, Any] = {
    "bos": "<|begin_of_text|>",
    "other": TURN,
    "generation": ASSISTANT,
    "stops": ("<|im_end|>",),
    "special_tokens": (*IM, "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
    "supports_tools": True,
    "output_parser": "hermes",
}

HERMES_2_PRO = Hermes(name="hermes_2_pro", **_HERMES)
HERMES_3 = Hermes(name="hermes_3", **_HERMES)
HERMES_3_70B = Hermes(name="hermes_3_70b", default_system="You are a helpful assistant.", **_HERMES)
