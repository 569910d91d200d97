"""The Mistral families, told apart by the version of their tokenizer."""

from __future__ import annotations

from sagewire.prompt_formats.turns import ALTERNATE, Block, FoldedFormat, TurnFormat

__all__ = ["MISTRAL_V1", "MISTRAL_V1_LEGACY", "MISTRAL_V7", "MIXTRAL"]

INST = ("<s>", "</s>", "[INST]", "[/INST]")
TOOLS = (*INST, "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]")
V7 = (*TOOLS, "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")
AFTER_SYSTEM = "After the optional system message, conversation roles must alternate user/assistant/user/assistant/..."
ONLY_FIRST_SYSTEM = (
    "Only user and assistant roles are supported, with the exception of an initial optional system message!"
)

MISTRAL_V1 = FoldedFormat(
    name="mistral_v1",
    bos="<s>",
    lead=Block("", "\n\n"),
    roles={"user": Block(" [INST] ", " [/INST]"), "assistant": Block(" ", "</s>")},
    role_error=ONLY_FIRST_SYSTEM,
    alternate=AFTER_SYSTEM,
    stops=("</s>",),
    special_tokens=INST,
)
MIXTRAL = FoldedFormat(
    name="mixtral",
    bos="<s>",
    lead=Block("", "\n\n"),
    roles=MISTRAL_V1.roles,
    role_error=ONLY_FIRST_SYSTEM,
    alternate=AFTER_SYSTEM,
    stops=("</s>",),
    special_tokens=INST,
)
MISTRAL_V1_LEGACY = TurnFormat(
    name="mistral_v1_legacy",
    bos="<s>",
    roles={"user": Block("[INST] ", " [/INST]"), "assistant": Block("", "</s>")},
    system="never",
    system_error=ALTERNATE,
    role_error="Only user and assistant roles are supported!",
    alternate=ALTERNATE,
    stops=("</s>",),
    special_tokens=INST,
)
MISTRAL_V7 = TurnFormat(
    name="mistral_v7",
    bos="<s>",
    roles={
        "system": Block("[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"),
        "user": Block("[INST] ", "[/INST]"),
        "assistant": Block(" ", "</s>"),
    },
    role_error="Only user, system and assistant roles are supported!",
    stops=("</s>",),
    special_tokens=V7,
)
