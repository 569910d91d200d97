"""Moonshot's Kimi K2."""

from __future__ import annotations

from sagewire.prompt_formats.engine.conversation import Call, Conversation
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat

__all__ = ["KIMI_K2"]

SECTION, SECTION_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL, CALL_END, ARGUMENTS = "<|tool_call_begin|>", "<|tool_call_end|>", "<|tool_call_argument_begin|>"
HEADS = {
    "system": "<|im_system|>system<|im_middle|>",
    "user": "<|im_user|>user<|im_middle|>",
    "assistant": "<|im_assistant|>assistant<|im_middle|>",
    "tool": "<|im_system|>tool<|im_middle|>",
}


class KimiK2(TurnFormat):
    """Kimi K2: each role has a mark of its own, tools are declared in a turn before the system text."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        if conversation.tools:
            page.add("<|im_system|>tool_declare<|im_middle|>", conversation.json(conversation.tools), "<|im_end|>")
        if turns[0].role != "system":
            page.add(HEADS["system"], "You are a helpful assistant", "<|im_end|>")
        for turn in turns:
            head = HEADS.get(turn.role)
            if head is None:
                conversation.lost_turn(turn)
            page.add(head or "")
            if turn.role == "tool":
                # The two characters backslash and n, as in the published template.
                page.add(f"## Return of {turn.call_id}\\n")
            page.say(turn, turn.text)
            if turn.calls:
                page.add(self._calls(conversation, turn.calls))
            page.add("<|im_end|>")
        self.write_generation(conversation, page)

    def _calls(self, conversation: Conversation, calls: tuple[Call, ...]) -> str:
        texts = (
            f"{CALL}functions.{call.name}:{place}{ARGUMENTS}{conversation.json(call.arguments)}{CALL_END}"
            for place, call in enumerate(calls)
        )
        return SECTION + "".join(texts) + SECTION_END


KIMI_K2 = KimiK2(
    name="kimi_k2",
    generation=HEADS["assistant"],
    stops=("<|im_end|>",),
    special_tokens=(
        *("<|im_end|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>"),
        *(SECTION, SECTION_END, CALL, CALL_END, ARGUMENTS),
    ),
    supports_tools=True,
    reader_style="kimi_k2",
)
