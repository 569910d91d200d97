"""The GLM families of Z.ai."""

from __future__ import annotations

from sagewire.prompt_formats.engine.turns import Block, TurnFormat

__all__ = ["GLM4"]

# An empty message is left out altogether, and so is a role the template does not know.
GLM4 = TurnFormat(
    name="glm4",
    bos="[gMASK]<sop>",
    roles={
        "system": Block("<|system|>\n", "", skip_empty=True),
        "user": Block("<|user|>\n", "", skip_empty=True),
        "assistant": Block("<|assistant|>\n", "", skip_empty=True),
    },
    generation="<|assistant|>",
    stops=("<|endoftext|>", "<|user|>", "<|observation|>"),
    special_tokens=("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    reader_style="glm",
)
