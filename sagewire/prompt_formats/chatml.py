"""ChatML and the families that write with its tokens."""

from __future__ import annotations

from sagewire.prompt_formats.turns import Block, TurnFormat

__all__ = ["CHATML"]

IM = ("<|im_start|>", "<|im_end|>")
TURN = Block("<|im_start|>{role}\n", "<|im_end|>\n")
ASSISTANT = "<|im_start|>assistant\n"

CHATML = TurnFormat(name="chatml", other=TURN, generation=ASSISTANT, stops=("<|im_end|>",), special_tokens=IM)
