"""AI21's Jamba."""

from __future__ import annotations

from sagewire.prompt_formats.engine.conversation import Conversation
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["JAMBA_1_6"]


class Jamba(TurnFormat):
    """Jamba 1.5 and 1.6: a system turn in any case, the tools in it, results marked with the tool's name."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0] if turns[0].role == "system" else None
        page.add("<|startoftext|><|bom|><|system|> ", "" if system is None else system.text)
        if conversation.tools:
            page.add("\n\n" if system is not None and system.text else "")
            page.add("<tool_definitions>\n# Tools\n\n## Functions\n\n")
            page.add("\n\n".join(conversation.json(tool["function"], indent=2) for tool in conversation.tools))
            page.add("\n</tool_definitions>")
        page.add("<|eom|>")
        for turn in turns:
            if turn is system:
                continue
            self.check_role(turn)
            page.add(f"<|bom|><|{turn.role}|> ")
            if turn.role == "tool" and turn.name:
                page.add(f"({turn.name})")
            page.say(turn, turn.text)
            if turn.calls:
                calls = (
                    f'\n    {{"name": "{call.name}", "arguments": {conversation.json(call.arguments)}}}'
                    for call in turn.calls
                )
                page.add("<tool_calls>[", ",".join(calls), "\n]</tool_calls>")
            page.add("<|eom|>")
        self.write_generation(conversation, page)


JAMBA_1_6 = Jamba(
    name="jamba_1_6",
    generation="<|bom|><|assistant|>",
    stops=("<|eom|>", "<|endoftext|>"),
    special_tokens=("<|startoftext|>", "<|bom|>", "<|eom|>", "<|system|>", "<|user|>", "<|assistant|>"),
    supports_tools=True,
    output_parser="jamba",
)
