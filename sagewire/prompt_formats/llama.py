"""The Llama family."""

from __future__ import annotations

from sagewire.prompt_formats.turns import ALTERNATE, Block, FoldedFormat, TurnFormat

__all__ = ["CODELLAMA_70B", "LLAMA2", "LLAMA3"]

HEADER = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


LLAMA2 = FoldedFormat(
    name="llama2",
    lead=Block("<<SYS>>\n", "\n<</SYS>>\n\n"),
    trim_lead=True,
    roles={
        "system": Block("<<SYS>>\n", "\n<</SYS>>\n\n", trim=True),
        "user": Block("<s>[INST] ", " [/INST]", trim=True),
        "assistant": Block(" ", " </s>", trim=True),
    },
    stops=("</s>",),
    special_tokens=("<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
)
LLAMA3 = TurnFormat(
    name="llama3",
    bos="<|begin_of_text|>",
    other=Block("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>", trim=True),
    generation="<|start_header_id|>assistant<|end_header_id|>\n\n",
    stops=("<|eot_id|>", "<|end_of_text|>"),
    special_tokens=HEADER,
)
CODELLAMA_70B = TurnFormat(
    name="codellama_70b",
    bos="<s>",
    other=Block("Source: {role}\n\n ", " <step> ", trim=True),
    generation="Source: assistant\nDestination: user\n\n ",
    ending="Source: assistant\nDestination: user\n\n ",
    alternate=ALTERNATE,
    stops=("</s>", "<step>"),
    special_tokens=("<s>", "</s>", "<step>"),
    words=("\nSource:", "\nDestination:"),
)
