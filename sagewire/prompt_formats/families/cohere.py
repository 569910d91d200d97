"""Cohere's Command family."""

from __future__ import annotations

from sagewire.prompt_formats.engine.turns import ALTERNATE, Block, TurnFormat

__all__ = ["COMMAND_R"]

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
