"""The DeepSeek families."""

from __future__ import annotations

from sagewire.prompt_formats.turns import Block, TurnFormat

__all__ = ["DEEPSEEK_CODER", "DEEPSEEK_LLM", "DEEPSEEK_V2"]

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
CODER_SYSTEM = (
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you "
    "only answer questions related to computer science. For politically sensitive questions, security and privacy "
    "issues, and other non-computer science questions, you will refuse to answer\n"
)

DEEPSEEK_LLM = TurnFormat(
    name="deepseek_llm",
    bos=BOS,
    roles={
        "system": Block("", "\n\n"),
        "user": Block("User: ", "\n\n"),
        "assistant": Block("Assistant: ", EOS),
    },
    generation="Assistant:",
    stops=(EOS,),
    special_tokens=(BOS, EOS),
    words=("\nUser:", "\nAssistant:"),
)
DEEPSEEK_V2 = TurnFormat(
    name="deepseek_v2",
    bos=BOS,
    roles=DEEPSEEK_LLM.roles,
    generation="Assistant:",
    stops=(EOS,),
    special_tokens=(BOS, EOS),
    words=("\nUser:", "\nAssistant:"),
)
DEEPSEEK_CODER = TurnFormat(
    name="deepseek_coder",
    bos=BOS,
    roles={
        "system": Block("", ""),
        "user": Block("### Instruction:\n", "\n"),
        "assistant": Block("### Response:\n", "\n<|EOT|>\n"),
    },
    stray="assistant",
    default_system=CODER_SYSTEM,
    default_unless="any",
    generation="### Response:\n",
    stops=("<|EOT|>",),
    special_tokens=(BOS, "<|EOT|>"),
    words=("### Instruction:", "### Response:"),
)
