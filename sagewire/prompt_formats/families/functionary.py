"""MeetKai's Functionary families, made from Llama 3."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from sagewire.prompt_formats.engine.conversation import Conversation, Turn
from sagewire.prompt_formats.engine.tools import dump, fields_of
from sagewire.prompt_formats.engine.turns import Block, PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.llama import HEADER, LLAMA3

__all__ = ["FUNCTIONARY_V2_5", "FUNCTIONARY_V3_1", "FUNCTIONARY_V3_2"]

ABOUT = "<|start_header_id|>system<|end_header_id|>\n\n\nCutting Knowledge Date: December 2023\n\n"
HOW_TO_CALL = (
    "\nThink very carefully before calling functions.\n"
    "If a you choose to call a function ONLY reply in the following format:\n"
    "<{start_tag}={function_name}>{parameters}{end_tag}\nwhere\n\nstart_tag => `<function`\n"
    "parameters => a JSON dict with the function argument name as key and function argument value as value.\n"
    "end_tag => `</function>`\n\nHere is an example,\n"
    '<function=example_function_name>{"example_name": "example_value"}</function>\n\nReminder:\n'
    "- If looking for real time information use relevant functions before falling back to brave_search\n"
    "- Function calls MUST follow the specified format, start with <function= and end with </function>\n"
    "- Required parameters MUST be specified\n- Only call one function at a time\n"
    "- Put the entire function call reply on one line\n\n"
)


class FunctionaryV31(TurnFormat):
    """Functionary 3.1: a first system turn with the tools, written as HTML-escaped JSON; calls as `<function=...>`."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        page.add(self.bos, ABOUT)
        if conversation.tools:
            tools = "".join(self.tool_text(tool["function"]) for tool in conversation.tools)
            page.add("\nYou have access to the following functions:\n\n", conversation.guard(tools), HOW_TO_CALL)
        page.add("<|eot_id|>")
        for turn in conversation.turns:
            self.write_message(conversation, page, turn)
        self.write_generation(conversation, page)

    def write_message(self, conversation: Conversation, page: PromptBuilder, turn: Turn) -> None:
        """Write one message."""
        if turn.role == "tool":
            page.add("<|start_header_id|>ipython<|end_header_id|>\n\n", turn.text, "<|eot_id|>")
        elif turn.calls:
            page.add("<|start_header_id|>assistant<|end_header_id|>\n\n")
            page.say(turn, turn.text)
            for call in turn.calls:
                page.add(f"<function={conversation.tag(call.name)}{conversation.json(call.arguments)}</function>")
            page.add("<|eom_id|>")
        else:
            self.write_turn(conversation, page, turn, False)

    def tool_text(self, function: dict[str, Any]) -> str:
        """Return a tool as the family was shown it."""
        shown = _escape(dump(function))
        name, about = _escape(str(function["name"])), _escape(str(function.get("description") or ""))
        return f"Use the function '{name}' to '{about}'\n{shown}\n\n"


def _escape(text: str) -> str:
    # As Jinja escapes: quotes by number.
    return escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;")


FUNCTIONARY_V3_1 = FunctionaryV31(
    name="functionary_v3_1",
    bos="<|begin_of_text|>",
    other=Block("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>"),
    generation=LLAMA3.generation,
    stops=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
    special_tokens=(*HEADER, "<|eom_id|>", "<|python_tag|>"),
    supports_tools=True,
    reader_style="functionary",
)


ABOUT_V32 = (
    "<|start_header_id|>system<|end_header_id|>\n\nYou are capable of executing available function(s) if required.\n"
    "Only execute function(s) when absolutely necessary.\nAsk for the required input to:recipient==all\n"
    "Use JSON for function arguments.\nRespond in this format:\n>>>${recipient}\n${content}\nAvailable functions:\n"
    "// Supported function definitions that should be called when necessary.\nnamespace functions {\n\n"
)
TYPES = {"integer": "number"}


class FunctionaryV32(TurnFormat):
    """Functionary 3.2: tools as TypeScript; each part of an answer behind `>>>` and its recipient."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        tools = "".join(_typescript(tool["function"]) for tool in conversation.tools)
        page.add(self.bos, ABOUT_V32, conversation.guard(tools), "} // namespace functions<|eot_id|>")
        for turn in conversation.turns:
            if turn.role != "assistant":
                self.write_turn(conversation, page, turn, False)
                continue
            page.add("<|start_header_id|>assistant<|end_header_id|>\n\n", ">>>all\n" if turn.text or turn.final else "")
            page.say(turn, turn.text)
            page.add(*(f">>>{call.name}\n{call.raw}" for call in turn.calls), "<|eot_id|>")
        self.write_generation(conversation, page)


class FunctionaryV25(TurnFormat):
    """Functionary 2.5: calls behind a reserved token, results with the tool's name on a line of its own."""

    def write_turn(self, conversation: Conversation, page: PromptBuilder, turn: Turn, last: bool) -> None:
        """Write one message."""
        if turn.role == "tool":
            page.add(f"<|start_header_id|>tool<|end_header_id|>\n\nname={turn.name}\n", turn.text, "<|eot_id|>")
        elif turn.calls:
            page.add("<|start_header_id|>assistant<|end_header_id|>\n\n")
            page.say(turn, turn.text)
            page.add(*(f"<|reserved_special_token_249|>{call.name}\n{call.raw}" for call in turn.calls), "<|eot_id|>")
        else:
            super().write_turn(conversation, page, turn, last)


def _typescript(function: Mapping[str, Any]) -> str:
    fields, required = fields_of(function)
    text = f"// {_sentence(function.get('description'))}\ntype {function['name']} = (_: {{\n"
    for name, spec in fields.items():
        if spec.get("description"):
            text += f"// {_sentence(spec['description'])}\n"
        kind = str(spec.get("type", "any"))
        shown = " | ".join(f'"{value}"' for value in spec["enum"]) if spec.get("enum") else TYPES.get(kind, kind)
        text += f"{name}{'' if name in required else '?'}: {shown},\n"
    return text + "}) => any;\n\n"


def _sentence(about: Any) -> str:
    text = str(about or "")
    return text if not text or text.endswith(".") else text + "."


FUNCTIONARY_V3_2 = FunctionaryV32(
    name="functionary_v3_2",
    bos="<|begin_of_text|>",
    other=Block("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>"),
    generation=LLAMA3.generation + ">>>",
    stops=("<|eot_id|>", "<|end_of_text|>", ">>>"),
    special_tokens=(*HEADER, "<|eom_id|>", "<|python_tag|>", ">>>"),
    supports_tools=True,
    reader_style="functionary",
)
FUNCTIONARY_V2_5 = FunctionaryV25(
    name="functionary_v2_5",
    other=Block("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>"),
    generation=LLAMA3.generation,
    stops=("<|eot_id|>", "<|end_of_text|>"),
    special_tokens=HEADER,
    reader_style="functionary",
)
