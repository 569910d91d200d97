"""Microsoft's Phi family."""

from __future__ import annotations

from sagewire.prompt_formats.turns import Block, OpenedFormat, TurnFormat

__all__ = ["PHI3_5", "PHI3_MEDIUM", "PHI3_MINI", "PHI3_SMALL", "PHI4", "PHI4_REV1"]

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
