"""Swiss AI's Apertus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation
from sagewire.prompt_formats.engine.tools import fields_of
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.prompt_formats.families.gpt_oss import default_comment, typescript_type

__all__ = ["APERTUS"]

ABOUT = (
    "You are Apertus, a helpful assistant created by the SwissAI initiative.\nKnowledge cutoff: 2024-04\n"
    "Current date: {date}"
)


class Apertus(TurnFormat):
    """Apertus: the developer's turn tells of thinking and tools, and results stand inside the assistant's turn."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        about = ABOUT.replace("{date}", conversation.time().strftime("%Y-%m-%d"))
        system = turns[0].text if turns[0].role == "system" else about
        page.add("<s><|system_start|>", system, "<|system_end|>")
        self._write_developer(conversation, page)
        answering = results = False
        for turn in turns[1:] if turns[0].role == "system" else turns:
            if results and (turn.role == "user" or (turn.role == "assistant" and not turn.null)):
                page.add("]")
                results = False
            if turn.role == "user":
                page.add("<|assistant_end|>" if answering else "", "<|user_start|>")
                page.say(turn, turn.text)
                page.add("<|user_end|>")
                answering = False
            elif turn.role == "assistant":
                page.add("" if answering else "<|assistant_start|>")
                page.say(turn, turn.text)
                page.add(self._calls(conversation, turn.calls) if turn.calls else "")
                answering = True
            elif turn.role == "tool":
                if not answering:
                    raise UsageError("Tool message outside of assistant")
                page.add(", " if results else "[", turn.text)
                results = True
            else:
                raise UsageError(f"Invalid message role {turn.role!r:.60}")
        page.add("]" if results else "", "<|assistant_start|>" if conversation.generate else "")

    def _write_developer(self, conversation: Conversation, page: PromptBuilder) -> None:
        thinks = "enabled" if conversation.option("enable_thinking") else "disabled"
        page.add(f"<|developer_start|>Deliberation: {thinks}\nTool Capabilities:")
        tools = "\n".join(_typescript(tool["function"]) for tool in conversation.tools)
        page.add(f"\n{conversation.guard(tools)}" if tools else " disabled", "<|developer_end|>")

    def _calls(self, conversation: Conversation, calls: tuple[Call, ...]) -> str:
        shown = (f'{{"{call.name}": {conversation.json(call.arguments)}}}' for call in calls)
        return f"<|tools_prefix|>[{', '.join(shown)}]<|tools_suffix|>"


def _typescript(function: Mapping[str, Any]) -> str:
    fields, required = fields_of(function)
    head = f"// {function.get('description', '')}\ntype {function['name']} = "
    if not fields:
        return head + "() => any;"
    lines = [
        (f"// {spec['description']}\n" if spec.get("description") else "")
        + f"{name}{'' if name in required else '?'}: {typescript_type(spec)}{default_comment(spec)}"
        for name, spec in fields.items()
    ]
    return head + "(_: {\n" + ",\n".join(lines) + "\n}) => any;"


APERTUS = Apertus(
    name="apertus",
    stops=("<|assistant_end|>", "</s>"),
    special_tokens=(
        *("<s>", "</s>", "<|system_start|>", "<|system_end|>", "<|developer_start|>", "<|developer_end|>"),
        *("<|user_start|>", "<|user_end|>", "<|assistant_start|>", "<|assistant_end|>"),
        *("<|inner_prefix|>", "<|inner_suffix|>", "<|tools_prefix|>", "<|tools_suffix|>"),
    ),
    variables=("enable_thinking",),
    supports_tools=True,
    output_parser="apertus",
)
