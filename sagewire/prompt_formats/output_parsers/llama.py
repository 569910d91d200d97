"""Llama 3.1, 3.2, 3.3: a JSON object that nothing announces, or `<|python_tag|>` before it or before a built-in tool.

Facts: Meta's prompt format pages for Llama 3.1; vLLM llama_tool_parser.py.
"""

from __future__ import annotations

from sagewire.prompt_formats.output_parsers.engine.json_calls import CallKeys, read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.python_literals import read_builtin_call
from sagewire.prompt_formats.output_parsers.engine.source import Source, Wait

__all__ = ["LLAMA3_JSON"]

KEYS = CallKeys(arguments=("parameters", "arguments"))


def _read_bare(source: Source, calls: Calls) -> Wait[None]:
    source.position -= 1
    yield from read_calls(source, calls, KEYS, bare=True)


def _read_tagged(source: Source, calls: Calls) -> Wait[None]:
    if (yield from source.skip_space()) in ("{", "["):
        yield from read_calls(source, calls, KEYS)
    else:
        yield from read_builtin_call(source, calls)


LLAMA3_JSON = OutputSyntax(
    name="llama3_json",
    blocks={"<|python_tag|>": _read_tagged, "{": _read_bare},
    unmarked=True,
)
