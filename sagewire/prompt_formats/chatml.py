"""ChatML and the families that write with its tokens."""

from __future__ import annotations

from sagewire.prompt_formats.turns import Block, OpenedFormat, TurnFormat

__all__ = ["CHATML", "INTERNLM2", "NOUS_HERMES_2", "YI", "YI_1_5", "ZEPHYR_GEMMA"]

IM = ("<|im_start|>", "<|im_end|>")
TURN = Block("<|im_start|>{role}\n", "<|im_end|>\n")
ASSISTANT = "<|im_start|>assistant\n"

CHATML = TurnFormat(name="chatml", other=TURN, generation=ASSISTANT, stops=("<|im_end|>",), special_tokens=IM)
NOUS_HERMES_2 = TurnFormat(
    name="nous_hermes_2", bos="<s>", other=TURN, generation=ASSISTANT, stops=("<|im_end|>",), special_tokens=IM
)
INTERNLM2 = TurnFormat(
    name="internlm2", bos="<s>", other=TURN, generation=ASSISTANT, stops=("<|im_end|>",), special_tokens=IM
)
ZEPHYR_GEMMA = TurnFormat(
    name="zephyr_gemma",
    bos="<bos>",
    other=TURN,
    generation=ASSISTANT,
    ending="<eos>",
    ending_after="assistant",
    stops=("<|im_end|>", "<eos>"),
    special_tokens=("<bos>", "<eos>", *IM),
)
YI = TurnFormat(name="yi", other=TURN, generation=ASSISTANT, stops=("<|im_end|>",), special_tokens=IM)
# The system text stands before the first turn without any token; later ones are dropped.
YI_1_5 = OpenedFormat(
    name="yi_1_5",
    roles={
        "system": Block("", ""),
        "user": Block("<|im_start|>user\n", "<|im_end|>\n" + ASSISTANT),
        "assistant": Block("", "<|im_end|>\n"),
    },
    system="first",
    stops=("<|im_end|>",),
    special_tokens=IM,
)
