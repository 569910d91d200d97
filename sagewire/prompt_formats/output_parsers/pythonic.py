"""Llama 4, Llama 3.2, ToolACE, OLMo 3: a Python list of calls, `[f(a=1), g()]`.

Llama 4 may put it between `<|python_start|>` and `<|python_end|>`, where JSON calls stand as well (vLLM
llama4_pythonic_tool_parser.py, pythonic_tool_parser.py). A list that nothing announces counts at the start of a line.
A list is delivered once it is complete: before that `[f(` may still be prose.
"""

from __future__ import annotations

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.python_literals import NAME_CHARACTERS, parse_calls, read_balanced
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["PYTHONIC"]


def _read_bare(source: Source, calls: Calls) -> Wait[None]:
    if not calls.text.at_line_start:
        raise NotACall
    # `[docs](https://...)` is told apart from `[docs(` as early as possible.
    yield from source.skip_space()
    name = yield from source.read(NAME_CHARACTERS)
    if not name or (yield from source.skip_space()) != "(" or calls.offered.knows(name) is False:
        raise NotACall
    source.rewind()
    source.checkpoint()
    yield from _read_list(source, calls)


def _read_started(source: Source, calls: Calls) -> Wait[None]:
    if (yield from source.skip_space()) == "{":
        yield from read_calls(source, calls)
        return
    source.opened()
    yield from _read_list(source, calls)


def _read_list(source: Source, calls: Calls) -> Wait[None]:
    if (yield from source.peek()) != "[":
        raise NotACall
    for name, arguments in parse_calls((yield from read_balanced(source))):
        calls.commit(name, arguments)


PYTHONIC = OutputSyntax(
    name="pythonic",
    blocks={"<|python_start|>": _read_started, "[": _read_bare},
    closers=("<|python_end|>",),
    unmarked=True,
)
