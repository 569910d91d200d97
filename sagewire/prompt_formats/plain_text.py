"""Families that write a conversation with ordinary words: `### Instruction:`, `USER:`, `User:`."""

from __future__ import annotations

from sagewire.prompt_formats.turns import ALTERNATE, Block, TurnFormat

__all__ = [
    "ALPACA",
    "ALPACA_CHUJIE",
    "ALPACA_FASTCHAT",
    "ORCA_VICUNA",
    "SOLAR",
    "STABLEBELUGA",
    "VICUNA",
    "VICUNA_CHUJIE",
    "VICUNA_NEWLINE",
    "WIZARDLM",
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
