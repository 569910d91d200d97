"""Calls written as Python: a list, `[f(a=1), g()]`, of Llama 4, Llama 3.2, ToolACE and LFM2; lines, of OLMo 3.

Llama 4 may put it between `<|python_start|>` and `<|python_end|>`, where JSON calls stand as well (vLLM
llama4_pythonic_tool_parser.py, pythonic_tool_parser.py). A list that nothing announces counts at the start of a line.
A list is delivered once it is complete: before that `[f(` may still be prose. LFM2 puts it between tokens, OLMo 3 puts
one call in each line between two tags (vLLM lfm2_tool_parser.py, olmo3_tool_parser.py).
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_calls
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.python_literals import (
    NAME_CHARACTERS,
    escape_quotes,
    parse_calls,
    read_balanced,
)
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.llama import read_bare_call, read_tagged_call

__all__ = ["LFM2", "OLMO3", "PYTHONIC"]


SECTION, SECTION_END = "<|tool_call_start|>", "<|tool_call_end|>"
END_MARKER = Markers((SECTION_END,))
JSON_CALL = re.compile(r"\s*(?:\[\s*)?\{")


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
    # The template writes both tokens before JSON.
    yield from source.accept("<|python_end|>")
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


# Which of the two a Llama writes depends on what the prompt asks for, so JSON is read as well.
PYTHONIC = OutputSyntax(
    name="pythonic",
    blocks={
        "<|python_start|>": _read_started,
        "<|python_tag|>": read_tagged_call,
        "[": _read_bare,
        "{": read_bare_call,
    },
    closers=("<|python_end|>",),
    unmarked=True,
)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read a list of offered tools at the very beginning, where a server has dropped the token before it."""
    if (yield from source.skip_space()) != "[":
        raise NotACall
    source.position += 1
    yield from source.skip_space()
    name = yield from source.read(NAME_CHARACTERS)
    if not calls.offered.knows(name):
        raise NotACall
    source.rewind()
    source.checkpoint()
    yield from source.skip_space()
    yield from _read_list(source, calls)


def _read_section(source: Source, calls: Calls) -> Wait[None]:
    text = yield from _read_to_end(source)
    # A system prompt can ask for JSON instead.
    is_json = JSON_CALL.match(text) is not None
    if is_json or not (yield from source.accept(SECTION_END)):
        # Without the end, the brackets tell where the list ends.
        source.rewind()
        source.checkpoint()
        yield from source.expect(SECTION)
        yield from source.skip_space()
        if is_json:
            yield from read_calls(source, calls)
        else:
            source.opened()
            yield from _read_list(source, calls)
        return
    try:
        found = parse_calls(text.strip())
    except NotACall:
        # Strings are written without escapes.
        found = parse_calls(escape_quotes(text.strip()))
    for name, arguments in found:
        calls.commit(name, arguments)


def _read_to_end(source: Source) -> Wait[str]:
    """Read up to the end of the section, or of the text."""
    start = source.place
    while (found := END_MARKER.find(source.buffer, source.position)) is None:
        source.position = END_MARKER.certain_end(source.buffer, source.position)
        if not (yield from source.more()):
            source.position = len(source.buffer)
            return source.since(start)
    source.position = found[0]
    return source.since(start)


LFM2 = OutputSyntax(
    name="lfm2",
    blocks={SECTION: _read_section},
    closers=(SECTION_END,),
    start=_read_start,
)


def _read_lines(source: Source, calls: Calls) -> Wait[None]:
    found: list[tuple[str, str]] = []
    while not (yield from source.accept("</function_calls>")):
        yield from source.skip_space()
        name = yield from source.read(NAME_CHARACTERS)
        if not name or (yield from source.skip_space()) != "(":
            raise NotACall
        found += parse_calls(f"[{name}{(yield from read_balanced(source))}]")
        yield from source.skip_space()
    for name, arguments in found:
        calls.commit(name, arguments)


OLMO3 = OutputSyntax(name="olmo3", blocks={"<function_calls>": _read_lines})
