"""IBM Granite 3.x and the 20B function-calling model; Granite 4 writes like Hermes.

Facts: vLLM granite_tool_parser.py, granite_20b_fc_tool_parser.py, granite_reasoning_parser.py.
"""

from __future__ import annotations

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_bare_list, read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import THINK, OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import Source, Wait

__all__ = ["GRANITE"]


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    yield from read_bare_list(source, calls)


GRANITE = OutputSyntax(
    name="granite",
    blocks={"<|tool_call|>": read_calls, "<tool_call>": read_calls, "<function_call>": read_calls},
    closers=("</tool_call>",),
    frames={"<response>": "</response>"},
    thinking=(
        *THINK,
        ThinkingTags("Here is my thought process:", "Here is my response:", prose=True),
        ThinkingTags("Here's my thought process:", "Here's my response:", prose=True),
    ),
    start=_read_start,
)
