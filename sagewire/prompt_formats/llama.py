"""The Llama family."""

from __future__ import annotations

from sagewire.prompt_formats.turns import Block, FoldedFormat

__all__ = ["LLAMA2"]

LLAMA2 = FoldedFormat(
    name="llama2",
    roles={
        "system": Block("<<SYS>>\n", "\n<</SYS>>\n\n"),
        "user": Block("<s>[INST] ", " [/INST]", trim=True),
        "assistant": Block(" ", " </s>", trim=True),
    },
    stops=("</s>",),
    special_tokens=("<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
)
