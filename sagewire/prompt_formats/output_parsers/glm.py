"""Calls as a name, then keys and values in tags: GLM-4.5 and later, IQuest Q1, Tencent Hy3 and Hy4; and GLM-4-0414.

The templates write strings as they are and everything else as JSON; the schema says which is which. Without
a schema, what is JSON is read as JSON. Hy3 and Hy4 end their tags with a suffix that each checkpoint has for itself,
`<tool_call:opensource>`; Hy4 has no `<tool_sep>` behind the name. GLM-4-0414 writes a name before JSON (vLLM
glm4_moe_tool_parser.py, hy_v3_tool_parser.py, hy_v4_tool_parser.py; SGLang iquest_q1_detector.py; the models' chat
templates).
"""

from __future__ import annotations

import re
from dataclasses import replace

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import THINK, OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.qwen_xml import Arguments

__all__ = ["GLM", "GLM4", "HY3", "HY4", "IQUEST_Q1"]

NAME = re.compile(r"[^\n<{\[]*")
KEY = re.compile(r"[^<>]*")
SUFFIX = re.compile(r"[:\w]*")
FUNCTION_NAME = re.compile(r"[\w.\-]*")
THINK_TAG = re.compile(r"<think(:[\w.\-]+)>")


def _read(source: Source, calls: Calls) -> Wait[None]:
    yield from _read_call(source, calls, "")


def _read_call(source: Source, calls: Calls, suffix: str, separator: str = "", tag: str = "tool_call") -> Wait[None]:
    yield from source.skip_space()
    name = (yield from source.read(NAME)).strip()
    yield from source.accept(separator)
    if not name or (yield from source.skip_space()) != "<":
        raise NotACall
    value_end = Markers((f"</arg_value{suffix}>",))
    arguments = Arguments(calls, name)
    while not (yield from source.accept(f"</{tag}{suffix}>")):
        yield from source.expect(f"<arg_key{suffix}>")
        key = (yield from source.read(KEY)).strip()
        yield from source.expect(f"</arg_key{suffix}>")
        yield from source.skip_space()
        yield from source.expect(f"<arg_value{suffix}>")
        text, _ = yield from source.until(value_end)
        arguments.add(key, text, calls.offered.value(name, key, text, untyped_is_json=True))
        yield from source.skip_space()
    arguments.commit()


def _read_iquest(source: Source, calls: Calls) -> Wait[None]:
    yield from _read_call(source, calls, "", tag="iquest_tool_call")


GLM = OutputSyntax(name="glm", blocks={"<tool_call>": _read})
IQUEST_Q1 = OutputSyntax(name="iquest_q1", blocks={"<iquest_tool_call>": _read_iquest})


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


def _hy_thinking(suffix: str) -> tuple[ThinkingTags, ...]:
    return (ThinkingTags(f"<think{suffix}>", f"</think{suffix}>"), *THINK)


def _of_checkpoint(syntax: OutputSyntax, prompt: str) -> OutputSyntax:
    """Return the syntax with the suffix of the checkpoint, which the prompt shows where it opens the reasoning."""
    suffixes = THINK_TAG.findall(prompt)
    return replace(syntax, thinking=_hy_thinking(suffixes[-1])) if suffixes else syntax


HY3 = OutputSyntax(
    name="hy3",
    blocks={"<tool_call": _read_section},
    thinking=_hy_thinking(":opensource"),
    often_opened=True,
    for_prompt=_of_checkpoint,
)
HY4 = replace(HY3, name="hy4")


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
