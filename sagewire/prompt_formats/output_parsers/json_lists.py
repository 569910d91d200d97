"""Families that write JSON calls behind their own marker, and nothing else that would need code."""

from __future__ import annotations

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_bare_list, read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import THINK, OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import Source, Wait

__all__ = [
    "APRIEL",
    "ERNIE45",
    "GIGACHAT3",
    "HERMES",
    "HUNYUAN_A13B",
    "INTERNLM2",
    "JAMBA",
    "LONGCAT",
    "NEMOTRON_V2",
    "PHI4_MINI",
    "XLAM",
]

# Hermes 2 Pro and 3, Qwen 2.5 and 3, QwQ, Granite 4, SmolLM 3, EXAONE 4: an object in each element (vLLM
# hermes_tool_parser.py). Models also write lists, and several objects in one element.
HERMES = OutputSyntax(name="hermes", blocks={"<tool_call>": read_calls}, closers=("</tool_call>",))

# The same behind markers of their own: LongCat-Flash (vLLM longcat_tool_parser.py), and ERNIE 4.5, which also puts its
# answer between tags (vLLM ernie45_tool_parser.py).
LONGCAT = OutputSyntax(
    name="longcat",
    blocks={"<longcat_tool_call>": read_calls},
    closers=("</longcat_tool_call>",),
    thinking=(ThinkingTags("<longcat_think>", "</longcat_think>"), *THINK),
)
ERNIE45 = OutputSyntax(
    name="ernie45",
    blocks={"<tool_call>": read_calls},
    closers=("</tool_call>",),
    silent=("<response>", "</response>"),
    often_opened=True,
)

# AI21 Jamba 1.5 and 1.6, MiniMax M1 (vLLM jamba_tool_parser.py).
JAMBA = OutputSyntax(name="jamba", blocks={"<tool_calls>": read_calls}, closers=("</tool_calls>",))

# Tencent Hunyuan A13B: the answer, calls included, stands between tags (vLLM hunyuan_a13b_tool_parser.py and
# hunyuan_a13b_reasoning_parser.py).
HUNYUAN_A13B = OutputSyntax(
    name="hunyuan_a13b",
    blocks={"<tool_calls>": read_calls},
    closers=("</tool_calls>",),
    frames={"<answer>": "</answer>"},
)

# ServiceNow Apriel 1.5 and 1.6: the prompt begins the reasoning in words, and words end it (the chat templates).
APRIEL = OutputSyntax(
    name="apriel",
    blocks={"<tool_calls>": read_calls},
    closers=("</tool_calls>",),
    silent=("[END FINAL RESPONSE]",),
    thinking=(ThinkingTags("<|begin_assistant|>", "[BEGIN FINAL RESPONSE]", prefilled=True), *THINK),
)

# NVIDIA Nemotron Nano v2 (the chat template).
NEMOTRON_V2 = OutputSyntax(
    name="nemotron_v2", blocks={"<TOOLCALL>": read_calls}, closers=("</TOOLCALL>",), often_opened=True
)

# Phi-4-mini: `functools[...]` as vLLM's phi4mini_tool_parser.py reads it, and the tokens of the model card.
PHI4_MINI = OutputSyntax(
    name="phi4_mini",
    blocks={"functools": read_calls, "<|tool_call|>": read_calls},
    closers=("<|/tool_call|>",),
)

# InternLM 2 and 2.5 (vLLM internlm2_tool_parser.py).
INTERNLM2 = OutputSyntax(
    name="internlm2",
    blocks={"<|action_start|><|plugin|>": read_calls, "<|action_start|> <|plugin|>": read_calls},
    closers=("<|action_end|>",),
)


def _read_message(source: Source, calls: Calls) -> Wait[None]:
    # The token ends the message before as well.
    yield from source.skip_space()
    yield from source.accept("<|message_sep|>")
    yield from source.skip_space()
    yield from source.expect("function call")
    yield from source.expect("<|role_sep|>")
    yield from read_calls(source, calls)


# GigaChat 3: its own message, since 3.1 a token (vLLM gigachat3_tool_parser.py).
GIGACHAT3 = OutputSyntax(
    name="gigachat3",
    blocks={"<|function_call|>": read_calls, "<|message_sep|>": _read_message},
)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    yield from read_bare_list(source, calls)


def _read_fence(source: Source, calls: Calls) -> Wait[None]:
    yield from read_bare_list(source, calls)
    yield from source.skip_space()
    yield from source.accept("```")


# Salesforce xLAM: a list, bare, fenced, or behind the marker of another family (vLLM xlam_tool_parser.py).
XLAM = OutputSyntax(
    name="xlam",
    blocks={"[TOOL_CALLS]": read_calls, "<tool_call>": read_calls, "```json": _read_fence},
    closers=("</tool_call>",),
    start=_read_start,
)
