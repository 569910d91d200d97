"""OpenAI's gpt-oss: the harmony format, each message on a channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Conversation, Turn
from sagewire.prompt_formats.engine.tools import dump, fields_of
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["GPT_OSS", "default_comment", "typescript_type"]

IDENTITY = "You are ChatGPT, a large language model trained by OpenAI."
CHANNELS = "# Valid channels: analysis, commentary, final. Channel must be included for every message."
TOOL_CHANNEL = "\nCalls to these tools must go to the commentary channel: 'functions'."
PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}
CHANNEL_MARKS = ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>")
CHANNEL_ERROR = (
    "You have passed a message containing <|channel|> tags in the content field. Pass analysis messages in the "
    "'thinking' field, and final messages in the 'content' field."
)


class GptOss(TurnFormat):
    """gpt-oss. The family writes one tool call per message, and of what stands beside a call only its thoughts."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        self._write_system(conversation, page)
        instructions = turns[0].text if turns[0].role == "system" else ""
        turns = turns[1:] if turns[0].role == "system" else turns
        if instructions or conversation.tools:
            page.add("<|start|>developer<|message|>")
            page.add(f"# Instructions\n\n{instructions}\n\n" if instructions else "")
            page.add(conversation.guard(_namespace(conversation.tools)) if conversation.tools else "", "<|end|>")
        called = ""
        for place, turn in enumerate(turns):
            if turn.role == "assistant":
                called = self._write_answer(conversation, page, turns, place)
            elif turn.role == "tool":
                if not called:
                    raise UsageError(
                        "Message has tool role, but there was no previous assistant message with a tool call!"
                    )
                value = turn.text if turn.value is None else turn.value
                page.add(f"<|start|>functions.{called} to=assistant<|channel|>commentary<|message|>")
                page.add(conversation.json(value), "<|end|>")
            elif turn.role == "user":
                page.add("<|start|>user<|message|>")
                page.say(turn, turn.text)
                page.add("<|end|>")
            else:
                conversation.lost_turn(turn)
        self.write_generation(conversation, page)

    def _write_system(self, conversation: Conversation, page: PromptBuilder) -> None:
        option, guard = conversation.option, conversation.guard
        date = conversation.date_string or conversation.time().strftime("%Y-%m-%d")
        page.add("<|start|>system<|message|>", guard(str(option("model_identity", IDENTITY))))
        page.add("\nKnowledge cutoff: 2024-06\nCurrent date: ", guard(date))
        page.add("\n\nReasoning: ", guard(str(option("reasoning_effort", "medium"))), "\n\n", CHANNELS)
        page.add(TOOL_CHANNEL if conversation.tools else "", "<|end|>")

    def _write_answer(self, conversation: Conversation, page: PromptBuilder, turns: Sequence[Turn], place: int) -> str:
        """Write an assistant's turn and return the name of the function it calls."""
        turn = turns[place]
        if any(mark in text for mark in CHANNEL_MARKS for text in (turn.text, turn.thinking or "")):
            raise UsageError(CHANNEL_ERROR)
        if turn.calls:
            return self._write_call(conversation, page, turns, place)
        last = place == len(turns) - 1 and not conversation.generate
        if last and turn.thinking is not None:
            page.add("<|start|>assistant<|channel|>analysis<|message|>", turn.thinking, "<|end|>")
        page.add("<|start|>assistant<|channel|>final<|message|>")
        page.say(turn, turn.text)
        page.add("<|return|>" if last else "<|end|>")
        return ""

    def _write_call(self, conversation: Conversation, page: PromptBuilder, turns: Sequence[Turn], place: int) -> str:
        turn = turns[place]
        if turn.text and turn.thinking:
            raise UsageError(
                "Cannot pass both content and thinking in an assistant message with tool calls! Put the analysis "
                "message in one or the other, but not both."
            )
        if len(turn.calls) > 1:
            conversation.lost("more than one tool call in a message")
        answered = any(later.role == "assistant" and not later.calls for later in turns[place + 1 :])
        thoughts = turn.text or turn.thinking
        if answered and turn.text.strip():
            conversation.lost("text beside tool calls that were answered later")
        if thoughts and not answered:
            page.add("<|start|>assistant<|channel|>analysis<|message|>")
            page.say(turn, thoughts)
            page.add("<|end|>")
        call = turn.calls[0]
        page.add(f"<|start|>assistant to=functions.{call.name}<|channel|>commentary json<|message|>")
        page.add(conversation.json(call.arguments), "<|call|>")
        return call.name


def _namespace(tools: Sequence[Mapping[str, Any]]) -> str:
    text = "# Tools\n\n## functions\n\nnamespace functions {\n\n"
    for tool in tools:
        function = tool["function"]
        fields, required = fields_of(function)
        text += f"// {function.get('description') or ''}\ntype {function['name']} = "
        if not fields:
            text += "() => any;\n\n"
            continue
        text += "(_: {\n"
        for name, spec in fields.items():
            if spec.get("description"):
                text += f"// {spec['description']}\n"
            text += f"{name}{'' if name in required else '?'}: {typescript_type(spec)}{default_comment(spec)},\n"
        text += "}) => any;\n\n"
    return text + "} // namespace functions"


def default_comment(spec: Mapping[str, Any]) -> str:
    """Return the comment that names a default."""
    if "default" not in spec:
        return ""
    value = spec["default"]
    if not spec.get("enum") and spec.get("oneOf"):
        return f"// default: {value}"
    return f", // default: {value if spec.get('enum') else dump(value)}"


def typescript_type(spec: Mapping[str, Any]) -> str:
    """Return a JSON schema as a TypeScript type, as far as the family does."""
    kind, null = spec.get("type"), " | null" if spec.get("nullable") else ""
    if kind == "array":
        return _items(spec.get("items")) + "[]" + null
    if isinstance(kind, list) and kind:
        return " | ".join(str(one) for one in kind)
    if isinstance(spec.get("oneOf"), list) and spec["oneOf"]:
        return _variants([variant for variant in spec["oneOf"] if isinstance(variant, Mapping)])
    if kind == "string" and spec.get("enum"):
        return '"' + '" | "'.join(str(value) for value in spec["enum"]) + '"'
    if kind == "object":
        fields, required = fields_of({"parameters": spec}) if isinstance(spec.get("properties"), Mapping) else ({}, [])
        if not fields:
            return "object"
        # The line breaks and blanks are the published template's own.
        shown = (
            f"{n}{'' if n in required else '?'}: \n{' ' * 16}{typescript_type(field)}" for n, field in fields.items()
        )
        return "{\n" + ", ".join(shown) + "}"
    if isinstance(kind, str) and kind in PLAIN:
        return PLAIN[kind] + (null if kind == "string" else "")
    return "any"


def _items(items: Any) -> str:
    if not isinstance(items, Mapping) or not items:
        return "any"
    if isinstance(items.get("type"), str) and items["type"] in PLAIN:
        return PLAIN[items["type"]]
    inner = typescript_type(items)
    return "any" if inner == "object | object" or len(inner) > 50 else inner


def _variants(variants: Sequence[Mapping[str, Any]]) -> str:
    text = ""
    for number, variant in enumerate(variants):
        text += typescript_type(variant) + (f"// {variant['description']}" if variant.get("description") else "")
        text += f"{' ' * 20}// default: {dump(variant['default'])}" if "default" in variant else ""
        text += " | \n" if number < len(variants) - 1 else ""
    return text


GPT_OSS = GptOss(
    name="gpt_oss",
    generation="<|start|>assistant",
    stops=("<|return|>", "<|call|>"),
    special_tokens=("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>"),
    variables=("reasoning_effort", "model_identity"),
    keep_think=True,
    supports_tools=True,
    output_parser="gpt_oss",
)
