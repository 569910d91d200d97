"""Cohere's Command family."""

from __future__ import annotations

from dataclasses import replace

from sagewire.prompt_formats.engine.turns import ALTERNATE, Block, TurnFormat

__all__ = ["COMMAND_A", "COMMAND_R"]

START, END = "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"

COMMAND_R = TurnFormat(
    name="command_r",
    bos="<BOS_TOKEN>",
    roles={
        "system": Block(START + "<|SYSTEM_TOKEN|>", END),
        "user": Block(START + "<|USER_TOKEN|>", END, trim=True),
        "assistant": Block(START + "<|CHATBOT_TOKEN|>", END, trim=True),
    },
    system="first",
    alternate=ALTERNATE,
    generation=START + "<|CHATBOT_TOKEN|>",
    stops=(END,),
    special_tokens=("<BOS_TOKEN>", START, END, "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"),
    output_parser="command_r",
)
# Command A and R7B without tools, for which their templates hold pages of prose: those are loaded, not rewritten.
COMMAND_A = replace(
    COMMAND_R,
    name="command_a",
    roles={
        **COMMAND_R.roles,
        "assistant": Block(f"{START}<|CHATBOT_TOKEN|><|START_RESPONSE|>", f"<|END_RESPONSE|>{END}", trim=True),
    },
    default_system="",
    generation=f"{START}<|CHATBOT_TOKEN|><|START_RESPONSE|>",
    special_tokens=(
        *COMMAND_R.special_tokens,
        *("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_ACTION|>", "<|END_ACTION|>"),
        *("<|START_THINKING|>", "<|END_THINKING|>", "<|START_TOOL_RESULT|>", "<|END_TOOL_RESULT|>"),
    ),
)
