"""Mistral: a JSON list after `[TOOL_CALLS]`, or since tokenizer v11 the name and its arguments.

`[TOOL_CALLS]f{...}`, `[TOOL_CALLS]f[ARGS]{...}` and `[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{...}` (mistral-common's v11
and v13 tokenizers; vLLM mistral_tool_parser.py). Servers that drop control tokens leave the list, or the names and
arguments.
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments, read_bare_list, read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import THINK, OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["MISTRAL"]

NAME = re.compile(r"[\w.\-]*")
ID_LENGTH = 9


def _read(source: Source, calls: Calls) -> Wait[None]:
    if (yield from source.skip_space()) in ("[", "{"):
        yield from read_calls(source, calls)
        return
    name = yield from source.read(NAME)
    id = None
    yield from source.skip_space()
    if (yield from source.accept("[CALL_ID]")):
        id = yield from source.read(NAME)
    yield from source.accept("[ARGS]")
    if (yield from source.skip_space()) != "{":
        raise NotACall
    yield from read_arguments(source, calls, name, id or None)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read calls of offered tools at the very beginning, where a server has dropped the tokens."""
    if not calls.offered.known:
        raise NotACall
    if (yield from source.skip_space()) == "[":
        yield from read_bare_list(source, calls)
        return
    while name := (yield from source.read(NAME)):
        id = None
        if not calls.offered.knows(name):
            name, id = name[:-ID_LENGTH], name[-ID_LENGTH:]
        if not calls.offered.knows(name) or (yield from source.skip_space()) != "{":
            raise NotACall
        yield from read_arguments(source, calls, name, id)
        yield from source.skip_space()


MISTRAL = OutputSyntax(
    name="mistral",
    blocks={"[TOOL_CALLS]": _read},
    start=_read_start,
    thinking=(ThinkingTags("[THINK]", "[/THINK]"), *THINK),
)
