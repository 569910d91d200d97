"""Microsoft's Phi family."""

from __future__ import annotations

from sagewire.prompt_formats.engine.conversation import Conversation, Turn
from sagewire.prompt_formats.engine.turns import Block, OpenedFormat, PromptBuilder, TurnFormat
from sagewire.prompt_formats.families import default_texts

__all__ = [
    "PHI3_5",
    "PHI3_MEDIUM",
    "PHI3_MINI",
    "PHI3_SMALL",
    "PHI4",
    "PHI4_MINI",
    "PHI4_MINI_REASONING",
    "PHI4_REASONING",
    "PHI4_REV1",
]

STOPS = ("<|end|>", "<|endoftext|>")
TOKENS = ("<|user|>", "<|assistant|>", "<|system|>", *STOPS)
IM = ("<|im_start|>", "<|im_end|>", "<|im_sep|>")
TURN = Block("<|{role}|>\n", "<|end|>\n")
SEP = Block("<|im_start|>{role}<|im_sep|>", "<|im_end|>")

PHI3_MINI = TurnFormat(
    name="phi3_mini",
    roles=dict.fromkeys(("system", "user", "assistant"), TURN),
    generation="<|assistant|>\n",
    ending="<|endoftext|>",
    stops=STOPS,
    special_tokens=TOKENS,
)
PHI3_5 = TurnFormat(
    name="phi3_5",
    roles={"system": Block("<|system|>\n", "<|end|>\n", skip_empty=True), "user": TURN, "assistant": TURN},
    generation="<|assistant|>\n",
    ending="<|endoftext|>",
    stops=STOPS,
    special_tokens=TOKENS,
)
PHI3_SMALL = TurnFormat(
    name="phi3_small",
    bos="<|endoftext|>",
    other=TURN,
    generation="<|assistant|>\n",
    ending="<|endoftext|>",
    stops=STOPS,
    special_tokens=TOKENS,
)
# No place for a system text: the template leaves it out, so strict refuses it.
PHI3_MEDIUM = OpenedFormat(
    name="phi3_medium",
    roles={
        "user": Block("<|user|>\n", "<|end|>\n<|assistant|>\n"),
        "assistant": Block("", "<|end|>\n"),
    },
    stops=STOPS,
    special_tokens=TOKENS,
)
PHI4 = TurnFormat(
    name="phi4",
    roles=dict.fromkeys(("system", "user", "assistant"), SEP),
    generation="<|im_start|>assistant<|im_sep|>",
    stops=("<|im_end|>", "<|endoftext|>"),
    special_tokens=IM,
)
PHI4_REV1 = OpenedFormat(
    name="phi4_rev1",
    roles={
        "system": SEP,
        "user": Block("<|im_start|>user<|im_sep|>", "<|im_end|><|im_start|>assistant<|im_sep|>"),
        "assistant": Block("", "<|im_end|>"),
    },
    stops=("<|im_end|>", "<|endoftext|>"),
    special_tokens=IM,
)


class Phi4Mini(TurnFormat):
    """Phi 4 mini: tools stand as JSON text under the key `tools` of the system message, and nowhere else."""

    def write_turn(self, conversation: Conversation, page: PromptBuilder, turn: Turn, last: bool) -> None:
        """Write one message."""
        tools = turn.extra.get("tools") if turn.role == "system" else None
        if tools is None:
            super().write_turn(conversation, page, turn, last)
            return
        page.add("<|system|>", turn.text, "<|tool|>")
        page.add(conversation.guard(tools) if isinstance(tools, str) else conversation.json(tools), "<|/tool|><|end|>")


class Phi4MiniReasoning(TurnFormat):
    """Phi 4 mini reasoning: a system text of its own, with all those of the conversation behind it."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        systems, others = conversation.systems_first()
        page.add("<|system|>Your name is Phi, an AI math expert developed by Microsoft.")
        for turn in systems:
            page.add(" ", turn.text)
        page.add("<|end|>")
        for turn in others:
            self.write_turn(conversation, page, turn, False)
        self.write_generation(conversation, page)


class Phi4Reasoning(TurnFormat):
    """Phi 4 reasoning: one fixed system text; a system message of the caller is left out, so strict refuses it."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        page.add("<|im_start|>system<|im_sep|>", default_texts.PHI_4_REASONING, "<|im_end|>")
        super().write(conversation, page)


PHI4_MINI = Phi4Mini(
    name="phi4_mini",
    other=Block("<|{role}|>", "<|end|>"),
    generation="<|assistant|>",
    ending="<|endoftext|>",
    stops=STOPS,
    special_tokens=TOKENS,
    output_parser="phi4_mini",
)
PHI4_MINI_REASONING = Phi4MiniReasoning(
    name="phi4_mini_reasoning",
    other=Block("<|{role}|>", "<|end|>"),
    generation="<|assistant|>",
    ending="<|endoftext|>",
    stops=STOPS,
    special_tokens=(*TOKENS, "<think>", "</think>"),
    keep_think=True,
    output_parser="thinking",
)
PHI4_REASONING = Phi4Reasoning(
    name="phi4_reasoning",
    roles={"user": SEP, "assistant": SEP},
    generation="<|im_start|>assistant<|im_sep|>",
    stops=("<|im_end|>", "<|endoftext|>"),
    special_tokens=(*IM, "<think>", "</think>"),
    keep_think=True,
    output_parser="thinking",
)
