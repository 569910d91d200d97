"""Llama 3.1, 3.2, 3.3: a JSON object that nothing announces, or `<|python_tag|>` before it or before a built-in tool.

Facts: Meta's prompt format pages for Llama 3.1; vLLM llama_tool_parser.py.
"""

from __future__ import annotations

from sagewire.prompt_formats.output_parsers.engine.json_calls import CallKeys, read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.python_literals import NAME_CHARACTERS, parse_calls, read_balanced
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["LLAMA3_JSON", "read_bare_call", "read_tagged_call"]

KEYS = CallKeys(arguments=("parameters", "arguments"))


def read_bare_call(source: Source, calls: Calls) -> Wait[None]:
    """Read an object of which the opening brace has been read, if it is a call."""
    source.position -= 1
    yield from read_calls(source, calls, KEYS, bare=True)


def read_tagged_call(source: Source, calls: Calls) -> Wait[None]:
    """Read what follows `<|python_tag|>`: JSON, or a built-in tool."""
    if (yield from source.skip_space()) in ("{", "["):
        yield from read_calls(source, calls, KEYS)
    else:
        yield from _read_builtin_call(source, calls)


def _read_builtin_call(source: Source, calls: Calls) -> Wait[None]:
    """Read `name.call(...)`, as Llama calls its built-in tools."""
    name = yield from source.read(NAME_CHARACTERS)
    if not name.endswith(".call") or (yield from source.peek()) != "(":
        raise NotACall
    text = yield from read_balanced(source)
    calls.commit(*parse_calls(f"[{name.removesuffix('.call')}{text}]")[0])


LLAMA3_JSON = OutputSyntax(
    name="llama3_json",
    blocks={"<|python_tag|>": read_tagged_call, "{": read_bare_call},
    unmarked=True,
)
