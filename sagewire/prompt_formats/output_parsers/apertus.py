"""Apertus: an object for each call, with the function's name as its only key (vLLM apertus_tool_parser.py)."""

from __future__ import annotations

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments, scan_value
from sagewire.prompt_formats.output_parsers.engine.json_text import from_json
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["APERTUS"]


def _read_list(source: Source, calls: Calls) -> Wait[None]:
    if (yield from source.skip_space()) == "{":
        yield from _read_call(source, calls)
        return
    yield from source.expect("[")
    yield from source.skip_space()
    source.opened()
    yield from _read_call(source, calls)
    while (yield from source.skip_space()) == ",":
        source.position += 1
        yield from source.skip_space()
        yield from _read_call(source, calls)
    yield from source.accept("]")


def _read_call(source: Source, calls: Calls, *, offered: bool = False) -> Wait[None]:
    yield from source.expect("{")
    if (yield from source.skip_space()) != '"':
        raise NotACall
    pieces: list[str] = []
    yield from scan_value(source, pieces.append)
    try:
        name = str(from_json("".join(pieces)))
    except ValueError:
        raise NotACall from None
    if offered and not calls.offered.knows(name):
        raise NotACall
    yield from source.skip_space()
    yield from source.expect(":")
    yield from read_arguments(source, calls, name)
    yield from source.skip_space()
    yield from source.accept("}")


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read the list of offered tools at the very beginning, where a server has dropped the token before it."""
    if (yield from source.skip_space()) != "[":
        raise NotACall
    source.position += 1
    yield from source.skip_space()
    yield from _read_call(source, calls, offered=True)
    while (yield from source.skip_space()) == ",":
        source.position += 1
        yield from source.skip_space()
        yield from _read_call(source, calls, offered=True)
    yield from source.accept("]")


APERTUS = OutputSyntax(
    name="apertus",
    blocks={"<|tools_prefix|>": _read_list},
    closers=("<|tools_suffix|>",),
    thinking=(ThinkingTags("<|inner_prefix|>", "<|inner_suffix|>"),),
    start=_read_start,
)
