"""Families that write JSON calls behind a marker of their own, and nothing else that would need code."""

from __future__ import annotations

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["HERMES", "INTERNLM2", "JAMBA", "PHI4_MINI", "XLAM"]

# Hermes 2 Pro and 3, Qwen 2.5 and 3, QwQ, Granite 4, SmolLM 3, EXAONE 4: an object in each element (vLLM
# hermes_tool_parser.py). Models also write lists, and several objects in one element.
HERMES = OutputSyntax(name="hermes", blocks={"<tool_call>": read_calls}, closers=("</tool_call>",))

# AI21 Jamba 1.5 and 1.6 (vLLM jamba_tool_parser.py).
JAMBA = OutputSyntax(name="jamba", blocks={"<tool_calls>": read_calls}, closers=("</tool_calls>",))

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


def _read_bare_list(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    if (yield from source.skip_space()) != "[":
        raise NotACall
    yield from read_calls(source, calls, bare=True)


def _read_fence(source: Source, calls: Calls) -> Wait[None]:
    if (yield from source.skip_space()) != "[":
        raise NotACall
    yield from read_calls(source, calls, bare=True)
    yield from source.skip_space()
    yield from source.accept("```")


# Salesforce xLAM: a list, bare, fenced, or behind the marker of another family (vLLM xlam_tool_parser.py).
XLAM = OutputSyntax(
    name="xlam",
    blocks={"[TOOL_CALLS]": read_calls, "<tool_call>": read_calls, "```json": _read_fence},
    closers=("</tool_call>",),
    start=_read_bare_list,
)
