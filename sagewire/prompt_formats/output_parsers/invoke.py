"""MiniMax M2 and DeepSeek V3.2: `<invoke name="f"><parameter name="a">1</parameter></invoke>` in a section.

DeepSeek says `string="true"` for a raw string and `string="false"` for JSON; MiniMax leaves the types to the schema
(vLLM minimax_m2_tool_parser.py, deepseekv32_tool_parser.py).
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.offered_tools import from_json
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import BlockReader, OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.qwen_xml import Arguments

__all__ = ["DEEPSEEK_V32", "MINIMAX"]

NAME = re.compile(r"[^\"<>\n]*")


def _reader(prefix: str, *, opened: bool) -> BlockReader:
    """Return the reader of calls whose tags begin with `prefix`; `opened`: the section's tag comes before them."""
    call_tag, end_tag = f'<{prefix}invoke name="', f"</{prefix}invoke>"
    parameter_tag = f'<{prefix}parameter name="'
    value_end = Markers((f"</{prefix}parameter>",))

    def read(source: Source, calls: Calls) -> Wait[None]:
        if opened:
            yield from source.skip_space()
            yield from source.expect(call_tag)
            source.opened()
        name = yield from source.read(NAME)
        yield from source.expect('">')
        if not name.strip():
            raise NotACall
        arguments = Arguments(calls, name)
        yield from source.skip_space()
        while not (yield from source.accept(end_tag)):
            yield from source.expect(parameter_tag)
            key = yield from source.read(NAME)
            yield from source.expect('"')
            kind = yield from _read_kind(source)
            text, _ = yield from source.until(value_end)
            arguments.add(key, text, _value(calls, name, key, text, kind))
            yield from source.skip_space()
        arguments.commit()

    return read


def _read_kind(source: Source) -> Wait[str]:
    for kind in ("true", "false"):
        if (yield from source.accept(f' string="{kind}">')):
            return kind
    yield from source.expect(">")
    return ""


def _value(calls: Calls, name: str, key: str, text: str, kind: str) -> object:
    if not kind:
        return calls.offered.value(name, key, text.removeprefix("\n").removesuffix("\n"))
    if kind == "true":
        return text
    try:
        return from_json(text)
    except ValueError:
        raise NotACall from None


DEEPSEEK_V32 = OutputSyntax(
    name="deepseek_v32",
    blocks={
        "<｜DSML｜function_calls>": _reader("｜DSML｜", opened=True),
        "<｜DSML｜tool_calls>": _reader("｜DSML｜", opened=True),
        '<｜DSML｜invoke name="': _reader("｜DSML｜", opened=False),
    },
    closers=("</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"),
    often_opened=True,
)

MINIMAX = OutputSyntax(
    name="minimax",
    blocks={"<minimax:tool_call>": _reader("", opened=True), '<invoke name="': _reader("", opened=False)},
    closers=("</minimax:tool_call>",),
    often_opened=True,
)
