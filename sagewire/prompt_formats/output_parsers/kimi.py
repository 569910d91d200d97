"""Kimi K2: the id carries the name, as in `functions.get_weather:0` (vLLM kimi_k2_tool_parser.py)."""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["KIMI_K2"]

CALL = "<|tool_call_begin|>"
ID = re.compile(r"[^\n<{]*")
NAME = re.compile(r"(?:functions\.)?(.+):\d+")


def _read_section(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect(CALL)
    source.opened()
    yield from _read_call(source, calls)


def _read_call(source: Source, calls: Calls) -> Wait[None]:
    id = (yield from source.read(ID)).strip()
    found = NAME.fullmatch(id)
    if found is None:
        raise NotACall
    yield from source.expect("<|tool_call_argument_begin|>")
    yield from read_arguments(source, calls, found[1], id)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read calls of offered tools at the very beginning, where a server has dropped the tokens."""
    while (yield from source.skip_space()) and (id := (yield from source.read(ID)).strip()):
        found = NAME.fullmatch(id)
        if found is None or not calls.offered.knows(found[1]) or (yield from source.peek()) != "{":
            raise NotACall
        yield from read_arguments(source, calls, found[1], id)


KIMI_K2 = OutputSyntax(
    name="kimi_k2",
    blocks={"<|tool_calls_section_begin|>": _read_section, CALL: _read_call},
    closers=("<|tool_call_end|>", "<|tool_calls_section_end|>"),
    start=_read_start,
)
