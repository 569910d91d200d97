"""Families that mark each role with its own tag: `<|user|>`, `<|prompter|>`, `[|user|]`, `GPT4 Correct User:`."""

from __future__ import annotations

from dataclasses import replace

from sagewire.prompt_formats.engine.turns import Block, TurnFormat

__all__ = [
    "OLMO",
    "OLMO2",
    "OLMO2_TULU3",
    "OPENCHAT",
    "OPEN_ASSISTANT",
    "OPEN_ASSISTANT_PYTHIA",
    "STABLELM_ZEPHYR",
    "STARCHAT",
    "TINYLLAMA",
    "TULU_2",
    "TULU_3",
    "ZEPHYR",
]

TAGS = ("<|user|>", "<|system|>", "<|assistant|>")


def _lines(end: str) -> dict[str, Block]:
    return {role: Block(f"<|{role}|>\n", end + "\n") for role in ("system", "user", "assistant")}


ZEPHYR = TurnFormat(
    name="zephyr",
    roles=_lines("</s>"),
    generation="<|assistant|>\n",
    stops=("</s>",),
    special_tokens=("<s>", "</s>", *TAGS),
)
TINYLLAMA = TurnFormat(
    name="tinyllama",
    roles=_lines("</s>"),
    generation="<|assistant|>\n",
    stops=("</s>",),
    special_tokens=("<s>", "</s>", *TAGS),
)
STABLELM_ZEPHYR = TurnFormat(
    name="stablelm_zephyr",
    roles=_lines("<|endoftext|>"),
    generation="<|assistant|>\n",
    stops=("<|endoftext|>",),
    special_tokens=("<|endoftext|>", *TAGS),
)
# No place for a system text: the template leaves it out, so strict refuses it.
TULU_2 = TurnFormat(
    name="tulu_2",
    roles={"user": Block("<|user|>\n", "\n"), "assistant": Block("<|assistant|>\n", "</s>\n")},
    generation="<|assistant|>\n",
    stops=("</s>",),
    special_tokens=("<s>", "</s>", "<|user|>", "<|assistant|>"),
)
OLMO = TurnFormat(
    name="olmo",
    bos="<|endoftext|>",
    roles={"user": Block("<|user|>\n", "\n"), "assistant": Block("<|assistant|>\n", "<|endoftext|>\n")},
    generation="<|assistant|>\n",
    stops=("<|endoftext|>",),
    special_tokens=("<|endoftext|>", "<|user|>", "<|assistant|>"),
)
OLMO2_TULU3 = TurnFormat(
    name="olmo2_tulu3",
    roles={
        "system": Block("<|system|>\n", "\n"),
        "user": Block("<|user|>\n", "\n"),
        "assistant": Block("<|assistant|>\n", "<|endoftext|>\n", last="<|endoftext|>"),
    },
    generation="<|assistant|>\n",
    stops=("<|endoftext|>",),
    special_tokens=("<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>"),
)
OLMO2 = replace(OLMO2_TULU3, name="olmo2", bos="<|endoftext|>")
# The same on Llama's vocabulary.
TULU_3 = replace(
    OLMO2_TULU3,
    name="tulu_3",
    roles={**OLMO2_TULU3.roles, "assistant": Block("<|assistant|>\n", "<|end_of_text|>\n", last="<|end_of_text|>")},
    stops=("<|end_of_text|>",),
    special_tokens=("<|begin_of_text|>", "<|end_of_text|>", *TAGS),
)
STARCHAT = TurnFormat(
    name="starchat",
    roles=_lines("<|end|>"),
    default_system="",
    generation="<|assistant|>",
    stops=("<|end|>", "<|endoftext|>"),
    special_tokens=("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
)
OPEN_ASSISTANT = TurnFormat(
    name="open_assistant",
    roles={
        "system": Block("<|system|>", "</s>"),
        "user": Block("<|prompter|>", "</s>"),
        "assistant": Block("<|assistant|>", "</s>"),
    },
    generation="<|assistant|>",
    stops=("</s>",),
    special_tokens=("<|system|>", "<|prompter|>", "<|assistant|>", "</s>"),
)
OPEN_ASSISTANT_PYTHIA = TurnFormat(
    name="open_assistant_pythia",
    roles={
        "system": Block("", ""),
        "user": Block("<|prompter|>", "<|endoftext|>"),
        "assistant": Block("<|assistant|>", "<|endoftext|>"),
    },
    system="first",
    generation="<|assistant|>",
    stops=("<|endoftext|>",),
    special_tokens=("<|prompter|>", "<|assistant|>", "<|endoftext|>"),
)
OPENCHAT = TurnFormat(
    name="openchat",
    bos="<s>",
    other=Block("GPT4 Correct {Role}: ", "<|end_of_turn|>"),
    generation="GPT4 Correct Assistant:",
    stops=("<|end_of_turn|>",),
    special_tokens=("<s>", "<|end_of_turn|>"),
    words=("GPT4 Correct User:", "GPT4 Correct Assistant:", "GPT4 Correct System:"),
)
