"""Kimi K3: every tag is a name between tokens, `<|open|>call tool="f" index="1"<|sep|>...<|close|>call<|sep|>`.

    <|open|>think<|sep|>...<|close|>think<|sep|><|open|>response<|sep|>...<|close|>response<|sep|>
    <|open|>tools<|sep|><|open|>call tool="f" index="1"<|sep|>
    <|open|>argument key="city" type="string"<|sep|>Oslo<|close|>argument<|sep|>
    <|close|>call<|sep|><|close|>tools<|sep|>

Facts: the model's chat template; vLLM kimi_k3_tool_parser.py.
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments
from sagewire.prompt_formats.output_parsers.engine.json_text import from_json
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.qwen_xml import Arguments

__all__ = ["KIMI_K3"]

OPEN, CLOSE, END = "<|open|>", "<|close|>", "<|sep|>"
CALL = f"{OPEN}call "
ATTRIBUTES = re.compile(r"[^<\n]*")
ATTRIBUTE = re.compile(r'\b(\w++)="([^"]*)"')  # a name of a megabyte is looked at once
ARGUMENT_END = Markers((f"{CLOSE}argument{END}",))


def _read_section(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect(CALL)
    source.opened()
    yield from _read_call(source, calls)


def _read_call(source: Source, calls: Calls) -> Wait[None]:
    name = (yield from _read_attributes(source)).get("tool", "")
    if not name.strip():
        raise NotACall
    yield from source.skip_space()
    if (yield from source.accept(f"{OPEN}json")):
        yield from _read_attributes(source)
        yield from read_arguments(source, calls, name)
        yield from source.skip_space()
        yield from source.accept(f"{CLOSE}json{END}")
        yield from source.skip_space()
        yield from source.accept(f"{CLOSE}call{END}")
        return
    arguments = Arguments(calls, name)
    while not (yield from source.accept(f"{CLOSE}call{END}")):
        yield from source.expect(f"{OPEN}argument ")
        attributes = yield from _read_attributes(source)
        key, kind = attributes.get("key"), attributes.get("type")
        if key is None:
            raise NotACall
        text, _ = yield from source.until(ARGUMENT_END)
        arguments.add(key, text, _value(calls, name, key, text, kind))
        yield from source.skip_space()
    arguments.commit()


def _read_attributes(source: Source) -> Wait[dict[str, str]]:
    """Read the rest of an opening tag."""
    text = yield from source.read(ATTRIBUTES, limit=5000)
    yield from source.expect(END)
    return {key: value.replace("&quot;", '"').replace("&amp;", "&") for key, value in ATTRIBUTE.findall(text)}


def _value(calls: Calls, name: str, key: str, text: str, kind: str | None) -> object:
    if kind == "string":
        return text
    try:
        return from_json(text)
    except ValueError:
        return calls.offered.value(name, key, text)


RESPONSE = f"{OPEN}response{END}"

KIMI_K3 = OutputSyntax(
    name="kimi_k3",
    blocks={f"{OPEN}tools{END}": _read_section, CALL: _read_call},
    closers=(f"{CLOSE}tools{END}",),
    silent=(RESPONSE, f"{CLOSE}response{END}", f"{CLOSE}message{END}", "<|end_of_msg|>"),
    thinking=(ThinkingTags(f"{OPEN}think{END}", f"{CLOSE}think{END}"),),
    thinking_ends=(RESPONSE,),
    often_opened=True,
)
