"""PLaMo 3: a name and JSON, each between tokens of its own (vLLM parser/plamo3.py).

<|plamo:begin_tool_requests:plamo|><|plamo:begin_tool_request:plamo|>
<|plamo:begin_tool_name:plamo|>f<|plamo:end_tool_name:plamo|>
<|plamo:begin_tool_arguments:plamo|><|plamo:constrain|>json<|plamo:msg|>{...}<|plamo:end_tool_arguments:plamo|>
<|plamo:end_tool_request:plamo|><|plamo:end_tool_requests:plamo|><|plamo:tag|>
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import Source, Wait

__all__ = ["PLAMO3"]


def _begin(what: str) -> str:
    return f"<|plamo:begin_{what}:plamo|>"


def _end(what: str) -> str:
    return f"<|plamo:end_{what}:plamo|>"


NAME = re.compile(r"[^<\n]*")
CALL = _begin("tool_request")


def _read_section(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect(CALL)
    source.opened()
    yield from _read_call(source, calls)


def _read_call(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect(_begin("tool_name"))
    name = (yield from source.read(NAME)).strip()
    yield from source.expect(_end("tool_name"))
    yield from source.skip_space()
    yield from source.expect(_begin("tool_arguments"))
    if (yield from source.accept("<|plamo:constrain|>json")):
        yield from source.expect("<|plamo:msg|>")
    yield from source.skip_space()
    if (yield from source.accept(_end("tool_arguments"))):
        calls.commit(name, "{}")
        return
    yield from read_arguments(source, calls, name)


PLAMO3 = OutputSyntax(
    name="plamo3",
    blocks={_begin("tool_requests"): _read_section, CALL: _read_call},
    closers=(_end("tool_arguments"), _end("tool_request"), _end("tool_requests")),
    silent=("<|plamo:tag|>",),
    thinking=(ThinkingTags(_begin("think"), _end("think")),),
    often_opened=True,
)
