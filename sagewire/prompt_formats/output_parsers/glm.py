"""GLM-4.5 and later: the name, then keys and values in tags (vLLM glm4_moe_tool_parser.py).

The template writes strings as they are and everything else as JSON; the schema says which is which, and where there
is none, what is JSON is read as JSON.
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.qwen_xml import Arguments

__all__ = ["GLM"]

NAME = re.compile(r"[^\n<{\[]*")
KEY = re.compile(r"[^<>]*")
VALUE_END = Markers(("</arg_value>",))


def _read(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    name = (yield from source.read(NAME)).strip()
    if not name or (yield from source.skip_space()) != "<":
        raise NotACall
    arguments = Arguments(calls, name)
    while not (yield from source.accept("</tool_call>")):
        yield from source.expect("<arg_key>")
        key = (yield from source.read(KEY)).strip()
        yield from source.expect("</arg_key>")
        yield from source.skip_space()
        yield from source.expect("<arg_value>")
        text, _ = yield from source.until(VALUE_END)
        arguments.add(key, text, calls.offered.value(name, key, text, untyped_is_json=True))
        yield from source.skip_space()
    arguments.commit()


GLM = OutputSyntax(name="glm", blocks={"<tool_call>": _read})
