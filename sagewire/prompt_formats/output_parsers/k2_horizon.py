"""K2 Horizon: `<ifm|tool_calls>` with calls in JSON, or as a name with keys, types and values in tags.

    <ifm|tool_calls><ifm|tool_call>f<ifm|arg_key>a</ifm|arg_key><ifm|arg_type>integer</ifm|arg_type>
    <ifm|arg_value>1</ifm|arg_value></ifm|tool_call></ifm|tool_calls>

The template is told which of them to ask for; a call tells by itself which one it is. How much the model thinks shows
in the tags of the reasoning (vLLM k2_horizon_tool_parser.py and k2_horizon_reasoning_parser.py, SGLang
k2_v3_detector.py).
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_calls
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.engine.typed_values import typed_value
from sagewire.prompt_formats.output_parsers.qwen_xml import Arguments

__all__ = ["K2_HORIZON"]

CALLS, CALL = "<ifm|tool_calls>", "<ifm|tool_call>"
NAME = re.compile(r"[^\s<{\[]*")
WORD = re.compile(r"[^<>]*")
VALUE_END = Markers(("</ifm|arg_value>",))


def _read_section(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect(CALL)
    source.opened()
    yield from _read_call(source, calls)


def _read_call(source: Source, calls: Calls) -> Wait[None]:
    if (yield from source.skip_space()) in ("{", "["):
        yield from read_calls(source, calls)
        return
    name = yield from source.read(NAME)
    if not name or (yield from source.skip_space()) != "<":
        raise NotACall
    arguments = Arguments(calls, name)
    while not (yield from source.accept("</ifm|tool_call>")):
        key = (yield from _read_word(source, "arg_key")).strip()
        yield from source.skip_space()
        kind = ""
        if (yield from source.accept("<ifm|arg_type>")):
            kind = yield from source.read(WORD)
            yield from source.expect("</ifm|arg_type>")
            yield from source.skip_space()
        yield from source.expect("<ifm|arg_value>")
        text, _ = yield from source.until(VALUE_END)
        arguments.add(key, text, _value(calls, name, key, text, kind))
        yield from source.skip_space()
    arguments.commit()


def _read_word(source: Source, tag: str) -> Wait[str]:
    yield from source.expect(f"<ifm|{tag}>")
    word = yield from source.read(WORD)
    yield from source.expect(f"</ifm|{tag}>")
    return word


def _value(calls: Calls, name: str, key: str, text: str, kind: str) -> object:
    kind = kind.partition("[")[0].strip().lower()
    if calls.offered.schema(name, key) is None and kind not in ("", "any"):
        return typed_value(text, {"type": kind}, {})
    return calls.offered.value(name, key, text)


K2_HORIZON = OutputSyntax(
    name="k2_horizon",
    blocks={CALLS: _read_section, CALL: _read_call},
    closers=("</ifm|tool_call>", "</ifm|tool_calls>"),
    thinking=tuple(ThinkingTags(f"<ifm|{tag}>", f"</ifm|{tag}>") for tag in ("think", "think_fast", "think_faster")),
    often_opened=True,
)
