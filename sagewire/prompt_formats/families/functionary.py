"""MeetKai's Functionary families, made from Llama 3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    output_parser="functionary",
)


ABOUT_V32 = (
    "<|start_header_id|>system<|end_header_id|>\n\nYou are capable of executing available function(s) if required.\n"
    "Only execute function(s) when absolutely necessary.\nAsk for the required input to:recipient==all\n"
    "Use JSON for function arguments.\nRespond in this format:\n>>>${recipient}\n${content}\nAvailable functions:\n"
    "// Supported function definitions that should be called when necessary.\nnamespace functions {\n\n"
)
TYPES = {"integer": "number", "float": "number"}
INDENT = "    "
BOUNDS = {"maximum": "Maximum", "minimum": "Minimum", "maxLength": "Maximum length", "minLength": "Minimum length"}


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
            page.say(turn, conversation.before(">", turn.text) if turn.calls else turn.text)
            page.add(*(f">>>{_name(call.name)}\n{call.raw}" for call in turn.calls), "<|eot_id|>")
        self.write_generation(conversation, page)


class FunctionaryV25(TurnFormat):
    """Functionary 2.5: calls behind a reserved token, results with the tool's name on its own line."""

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


def _name(name: str) -> str:
    """Return the name of a call, which must not complete a mark with the one before it."""
    return f" {name}" if name.startswith(">") else name


def _typescript(function: Mapping[str, Any]) -> str:
    """Return a tool as a TypeScript type."""
    fields = fields_of(function)[0]
    head = f"// {function.get('description', '')}\ntype {function['name']} = "
    if not fields:
        return head + "() => any;\n\n"
    return f"{head}(_: {{{_properties(function['parameters'], 0)}\n}}) => any;\n\n"


def _properties(schema: Mapping[str, Any], depth: int) -> str:
    required = schema.get("required") or ()
    return "".join(
        _property(name + ("" if name in required else "?"), name, spec, depth)
        for name, spec in (schema.get("properties") or {}).items()
        if isinstance(spec, Mapping)
    )


def _property(shown: str, name: str, spec: Mapping[str, Any], depth: int) -> str:
    line, kind = "\n" + INDENT * depth, _kind(spec)
    lead = "".join(line + comment for comment in _comments(name, spec))
    if kind == "object":
        return f"{lead}{line}{shown}: {{{_properties(spec, depth + 1)}{line}}},"
    if kind == "array":
        items = spec.get("items") or {}
        if "type" not in items:
            return f"{lead}{line}{shown}: [],"
        return lead + _array(shown, spec, depth).removesuffix(",") + ","
    kind = _enum(spec["enum"]) if "enum" in spec else kind
    return f"{lead}{line}{shown}: {kind}{' | null' if spec.get('nullable') else ''},"


def _array(shown: str, spec: Mapping[str, Any], depth: int) -> str:
    line, head = "\n" + INDENT * depth, f"{shown}: " if shown else ""
    items = spec.get("items") or {}
    if not items:
        return f"{line}{head}[]"
    kind = _kind(items)
    if kind == "object":
        return f"{line}{head}{{{_properties(items, depth + 1)}{line}}}[]"
    if kind == "array":
        inner = _array("", items, depth + 1)
        return f"{line}{head}{inner.strip()}[]" if shown else f"\n{inner}[]"
    if "enum" in items:
        return f"{line}{head}({_enum(items['enum'])})[]" if shown else f"({_enum(items['enum'])})[]"
    return f"{line}{head}{kind}[]," if shown else f"\n{kind}[]"


def _kind(spec: Mapping[str, Any]) -> str:
    kind = spec.get("type")
    if kind is None:
        kinds = [one["type"] for one in spec.get("oneOf", ()) if isinstance(one, Mapping) and "type" in one]
        return " | ".join(dict.fromkeys(map(str, kinds)))
    text = " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
    return TYPES.get(text, text)


def _enum(values: Sequence[Any]) -> str:
    return " | ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values)


def _comments(name: str, spec: Mapping[str, Any]) -> Iterable[str]:
    """Return the comment lines above a property."""
    about = []
    if "description" in spec:
        about.append(str(spec["description"]).removesuffix(".") + ".")
    if "default" in spec:
        default = f'"{spec["default"]}"' if spec.get("type", "any") == "string" else str(spec["default"])
        about.append(f"Default={default}.")
    formats = [str(one["format"]) for one in spec.get("oneOf", ()) if isinstance(one, Mapping) and "format" in one]
    if "format" in spec or "oneOf" in spec:
        about.append(f"Format={spec['format'] if 'format' in spec else ' or '.join(formats)}")
    if about or any(spec.get(field) for field in BOUNDS):
        about += [f"{words}={spec[field]}" for field, words in BOUNDS.items() if field in spec]
        yield "// " + " ".join(about)
    if "examples" in spec:
        yield from ("// " + str(example).replace("'", '"') for example in (f"Example {name}:", *spec["examples"]))


FUNCTIONARY_V3_2 = FunctionaryV32(
    name="functionary_v3_2",
    bos="<|begin_of_text|>",
    other=Block("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>"),
    generation=LLAMA3.generation + ">>>",
    stops=("<|eot_id|>", "<|end_of_text|>", ">>>"),
    special_tokens=(*HEADER, "<|eom_id|>", "<|python_tag|>", ">>>"),
    supports_tools=True,
    output_parser="functionary",
)
FUNCTIONARY_V2_5 = FunctionaryV25(
    name="functionary_v2_5",
    other=Block("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>"),
    generation=LLAMA3.generation,
    stops=("<|eot_id|>", "<|end_of_text|>"),
    special_tokens=HEADER,
    output_parser="functionary",
)
