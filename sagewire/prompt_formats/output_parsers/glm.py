"""Calls as a name, then keys and values in tags: GLM-4.5 and later, Tencent Hy3; and GLM-4-0414, a name before JSON.

The templates write strings as they are and everything else as JSON; the schema says which is which, and where there
is none, what is JSON is read as JSON. Hy3 ends its tags with a suffix that each checkpoint has for itself,
`<tool_call:opensource>` (vLLM glm4_moe_tool_parser.py, hy_v3_tool_parser.py; the models' chat templates).
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import THINK, OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.qwen_xml import Arguments

__all__ = ["GLM", "GLM4", "HY3"]

NAME = re.compile(r"[^\n<{\[]*")
KEY = re.compile(r"[^<>]*")
SUFFIX = re.compile(r"[:\w]*")
FUNCTION_NAME = re.compile(r"[\w.\-]*")


def _read(source: Source, calls: Calls) -> Wait[None]:
    yield from _read_call(source, calls, "")


def _read_call(source: Source, calls: Calls, suffix: str, separator: str = "") -> Wait[None]:
    yield from source.skip_space()
    name = (yield from source.read(NAME)).strip()
    yield from source.expect(separator)
    if not name or (yield from source.skip_space()) != "<":
        raise NotACall
    value_end = Markers((f"</arg_value{suffix}>",))
    arguments = Arguments(calls, name)
    while not (yield from source.accept(f"</tool_call{suffix}>")):
        yield from source.expect(f"<arg_key{suffix}>")
        key = (yield from source.read(KEY)).strip()
        yield from source.expect(f"</arg_key{suffix}>")
        yield from source.skip_space()
        yield from source.expect(f"<arg_value{suffix}>")
        text, _ = yield from source.until(value_end)
        arguments.add(key, text, calls.offered.value(name, key, text, untyped_is_json=True))
        yield from source.skip_space()
    arguments.commit()


GLM = OutputSyntax(name="glm", blocks={"<tool_call>": _read})


def _read_section(source: Source, calls: Calls) -> Wait[None]:
    in_section = yield from source.accept("s")
    suffix = yield from source.read(SUFFIX)
    yield from source.expect(">")
    source.opened()
    if not in_section:
        yield from _read_call(source, calls, suffix, f"<tool_sep{suffix}>")
        return
    yield from source.skip_space()
    yield from source.expect(f"<tool_call{suffix}>")
    source.opened()
    yield from _read_call(source, calls, suffix, f"<tool_sep{suffix}>")
    while (yield from source.skip_space()) == "<" and not (yield from source.accept(f"</tool_calls{suffix}>")):
        yield from source.expect(f"<tool_call{suffix}>")
        source.opened()
        yield from _read_call(source, calls, suffix, f"<tool_sep{suffix}>")


HY3 = OutputSyntax(
    name="hy3",
    blocks={"<tool_call": _read_section},
    thinking=(ThinkingTags("<think:opensource>", "</think:opensource>"), *THINK),
    often_opened=True,
)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read the name of an offered tool on its own line, and the object behind it."""
    yield from source.skip_space()
    name = yield from source.read(FUNCTION_NAME)
    if not calls.offered.knows(name) or not (yield from source.accept("\n")):
        raise NotACall
    if (yield from source.skip_space()) != "{":
        raise NotACall
    yield from read_arguments(source, calls, name)


GLM4 = OutputSyntax(name="glm4", start=_read_start)
