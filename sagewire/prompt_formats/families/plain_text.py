"""Families that write a conversation with ordinary words: `### Instruction:`, `USER:`, `User:`."""

from __future__ import annotations

from sagewire.prompt_formats.engine.conversation import Conversation
from sagewire.prompt_formats.engine.turns import ALTERNATE, Block, PromptBuilder, TurnFormat

__all__ = [
    "ALPACA",
    "ALPACA_CHUJIE",
    "ALPACA_FASTCHAT",
    "ALPACA_VLLM",
    "ERNIE_4_5",
    "ORCA_VICUNA",
    "SOLAR",
    "STABLEBELUGA",
    "VICUNA",
    "VICUNA_CHUJIE",
    "VICUNA_NEWLINE",
    "WIZARDLM",
    "WIZARDLM_2",
    "WIZARDLM_2_7B",
]

ALPACA_SYSTEM = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
)
VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
ALPACA_WORDS = ("### Instruction:", "### Response:", "### Input:")
VICUNA_WORDS = ("USER:", "ASSISTANT:", "SYSTEM:")
SHARP_WORDS = ("### System:", "### User:", "### Assistant:")

ALPACA = TurnFormat(
    name="alpaca",
    roles={
        "system": Block("", "\n\n"),
        "user": Block("### Instruction:\n", "\n\n"),
        "assistant": Block("### Response:\n", "\n\n"),
    },
    default_system=ALPACA_SYSTEM,
    default_unless="any",
    generation="### Response:\n",
    stops=("</s>", "### Instruction:"),
    special_tokens=("</s>",),
    words=ALPACA_WORDS,
)
ALPACA_CHUJIE = TurnFormat(
    name="alpaca_chujie",
    bos="<s>",
    roles={
        "system": Block("", "\n\n", trim=True),
        "user": Block("### Instruction:\n", "\n\n", trim=True),
        "assistant": Block("### Response:\n", "</s>\n\n", trim=True),
    },
    system="first",
    alternate=ALTERNATE,
    generation="### Response:\n",
    stops=("</s>", "### Instruction:"),
    special_tokens=("</s>",),
    words=ALPACA_WORDS,
)
ALPACA_FASTCHAT = TurnFormat(
    name="alpaca_fastchat",
    roles={
        "system": Block("", "\n\n"),
        "user": Block("### Instruction: ", "\n\n"),
        "assistant": Block("### Response: ", "</s>"),
    },
    system="first",
    default_system=ALPACA_SYSTEM,
    generation="### Response:",
    stops=("</s>", "### Instruction:"),
    special_tokens=("</s>",),
    words=ALPACA_WORDS,
)
VICUNA = TurnFormat(
    name="vicuna",
    roles={
        "system": Block("", " "),
        "user": Block("USER: ", " "),
        "assistant": Block("ASSISTANT: ", "</s>"),
    },
    system="first",
    default_system=VICUNA_SYSTEM,
    generation="ASSISTANT:",
    stops=("</s>",),
    special_tokens=("</s>",),
    words=VICUNA_WORDS,
)
WIZARDLM = TurnFormat(
    name="wizardlm",
    roles=VICUNA.roles,
    system="first",
    default_system=VICUNA_SYSTEM,
    generation="ASSISTANT:",
    stops=("</s>",),
    special_tokens=("</s>",),
    words=VICUNA_WORDS,
)
VICUNA_NEWLINE = TurnFormat(
    name="vicuna_newline",
    roles={
        "system": Block("", "\n\n"),
        "user": Block("USER: ", "\n"),
        "assistant": Block("ASSISTANT: ", "</s>\n"),
    },
    generation="ASSISTANT:",
    stops=("</s>", "\nUSER:"),
    special_tokens=("</s>",),
    words=VICUNA_WORDS,
)
VICUNA_CHUJIE = TurnFormat(
    name="vicuna_chujie",
    bos="<s>",
    roles={
        "system": Block("", "\n\n", trim=True),
        "user": Block("USER: ", "\n", trim=True),
        "assistant": Block("ASSISTANT: ", "</s>\n", trim=True),
    },
    system="first",
    alternate=ALTERNATE,
    generation="ASSISTANT:",
    stops=("</s>", "\nUSER:"),
    special_tokens=("</s>",),
    words=VICUNA_WORDS,
)
WIZARDLM_2_7B = TurnFormat(
    name="wizardlm_2_7b",
    bos="<s>",
    roles=VICUNA_CHUJIE.roles,
    system="first",
    alternate=ALTERNATE,
    generation="ASSISTANT:",
    generate_after="user",
    stops=("</s>",),
    special_tokens=("<s>", "</s>"),
    words=VICUNA_WORDS,
)
ORCA_VICUNA = TurnFormat(
    name="orca_vicuna",
    roles={
        "system": Block("SYSTEM: ", "\n"),
        "user": Block("USER: ", "\n"),
        "assistant": Block("ASSISTANT: ", "</s>\n"),
    },
    stray="assistant",
    generation="ASSISTANT:",
    stops=("</s>", "\nUSER:"),
    special_tokens=("</s>",),
    words=VICUNA_WORDS,
)
SOLAR = TurnFormat(
    name="solar",
    roles={
        "system": Block("### System:\n", "\n\n", skip_empty=True),
        "user": Block("### User:\n", "\n\n"),
        "assistant": Block("### Assistant:\n", ""),
    },
    generation="### Assistant:\n",
    stops=("</s>",),
    special_tokens=("<s>", "</s>"),
    words=SHARP_WORDS,
)
STABLEBELUGA = TurnFormat(
    name="stablebeluga",
    roles={
        "system": Block("### System:\n", "\n\n"),
        "user": Block("### User:\n", "\n\n"),
        "assistant": Block("### Assistant:\n", "\n\n"),
    },
    generation="### Assistant:\n",
    stops=("</s>", "### User:"),
    special_tokens=("</s>",),
    words=SHARP_WORDS,
)


class AlpacaVllm(TurnFormat):
    """vLLM's Alpaca: one system text, wherever it was, at the top; blank lines between turns, none before an answer."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        systems = [(place, turn) for place, turn in enumerate(turns) if turn.role == "system"]
        for place, turn in systems:
            if place or turn is not systems[-1][1]:
                conversation.lost_turn(turn)
        page.add(systems[-1][1].text.strip() if systems else "", "\n\n")
        last = turns[-1]
        for turn in turns:
            if turn.role != "system":
                self.write_turn(conversation, page, turn, False)
                page.add("" if turn is last else "\n\n")
        self.write_generation(conversation, page)


class WizardLM2(TurnFormat):
    """WizardLM 2: all turns but the assistant's become the user's, a later system message too; strict refuses that."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0] if turns[0].role == "system" else None
        page.add(VICUNA_SYSTEM if system is None else system.text.strip())
        begun = False
        for turn in turns:
            if turn is system:
                continue
            if turn.calls:
                conversation.lost("tool calls")
            if turn.role == "assistant":
                page.add(" ASSISTANT: ")
                page.say(turn, turn.text.strip())
                page.add("</s>")
            else:
                if turn.role != "user":
                    conversation.lost_turn(turn)
                page.add("\nUSER: " if begun else " USER: ", turn.text.strip())
            begun = True
        self.write_generation(conversation, page)


ALPACA_VLLM = AlpacaVllm(
    name="alpaca_vllm",
    roles={
        "user": Block("### Instruction:\n", "", trim=True),
        "assistant": Block("### Response:\n", "", trim=True),
    },
    generation="### Response:\n",
    generate_after="not_assistant",
    stops=("</s>", "### Instruction:"),
    special_tokens=("</s>",),
    words=ALPACA_WORDS,
)
WIZARDLM_2 = WizardLM2(
    name="wizardlm_2",
    generation=" ASSISTANT:",
    stops=("</s>",),
    special_tokens=("<s>", "</s>"),
    words=VICUNA_WORDS,
)


ERNIE_4_5 = TurnFormat(
    name="ernie_4_5",
    bos="<|begin_of_sentence|>",
    roles={
        "system": Block("", "\n"),
        "user": Block("User: ", "\n"),
        "assistant": Block("Assistant: ", "<|end_of_sentence|>"),
    },
    generation="Assistant: ",
    stops=("<|end_of_sentence|>", "</s>"),
    special_tokens=("<|begin_of_sentence|>", "<|end_of_sentence|>"),
    words=("\nUser:", "\nAssistant:"),
)
