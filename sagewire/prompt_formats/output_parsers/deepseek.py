"""DeepSeek V3 and R1 (a type, then fenced JSON) and V3.1 (bare JSON); V3.2 is in `invoke`.

Facts: the families' chat templates; vLLM deepseekv3_tool_parser.py and deepseekv31_tool_parser.py.
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["DEEPSEEK"]

BEGIN = "<｜tool▁calls▁begin｜>"
CALL = "<｜tool▁call▁begin｜>"
SEPARATOR = "<｜tool▁sep｜>"
NAME = re.compile(r"[^\n<{`]*")


def _read_section(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect(CALL)
    source.opened()
    yield from _read_call(source, calls)


def _read_call(source: Source, calls: Calls) -> Wait[None]:
    before = (yield from source.read(NAME)).strip()
    yield from source.expect(SEPARATOR)
    if (yield from source.skip_space()) == "{":
        yield from read_arguments(source, calls, before)
        return
    name = (yield from source.read(NAME)).strip()
    yield from source.skip_space()
    fenced = yield from source.accept("```")
    if fenced:
        yield from source.accept("json")
    if (yield from source.skip_space()) != "{" or before != "function":
        raise NotACall
    yield from read_arguments(source, calls, name)
    if fenced and (yield from source.skip_space()) == "`":
        yield from source.accept("```")


DEEPSEEK = OutputSyntax(
    name="deepseek",
    blocks={BEGIN: _read_section, CALL: _read_call},
    closers=("<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"),
    often_opened=True,
)
