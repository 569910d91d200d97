"""TII's Falcon family."""

from __future__ import annotations

from sagewire.prompt_formats.turns import Block, TurnFormat

__all__ = ["FALCON_11B", "FALCON_180B", "FALCON_CHAT_FASTCHAT", "FALCON_VLLM"]

STOPS = ("<|endoftext|>", "\nUser:")
WORDS = ("\nUser:", "\nAssistant:", "\nFalcon:", "\nSystem:")

FALCON_11B = TurnFormat(
    name="falcon_11b",
    roles={
        "system": Block("System: ", "\n"),
        "user": Block("User: \n", "\n"),
        "assistant": Block("Falcon:\n", "\n"),
    },
    generation="Falcon:\n",
    stops=STOPS,
    special_tokens=("<|endoftext|>",),
    words=WORDS,
)
FALCON_180B = TurnFormat(
    name="falcon_180b",
    roles={
        "system": Block("System: ", ""),
        "user": Block("User: ", ""),
        "assistant": Block("Falcon: ", ""),
    },
    separator="\n",
    generation="Falcon:",
    generate_after="not_assistant",
    stops=STOPS,
    special_tokens=("<|endoftext|>",),
    words=WORDS,
)
FALCON_VLLM = TurnFormat(
    name="falcon_vllm",
    roles={"user": Block("User: ", ""), "assistant": Block("Assistant: ", "")},
    separator="\n",
    generation="Assistant:",
    generate_after="not_assistant",
    stops=STOPS,
    special_tokens=("<|endoftext|>",),
    words=WORDS,
)
FALCON_CHAT_FASTCHAT = TurnFormat(
    name="falcon_chat_fastchat",
    roles={
        "system": Block("System: ", "\n"),
        "user": Block("User: ", "\n"),
        "assistant": Block("Falcon: ", "\n"),
    },
    system="first",
    generation="Falcon:",
    stops=STOPS,
    special_tokens=("<|endoftext|>",),
    words=WORDS,
)
