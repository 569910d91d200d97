"""Mistral: a JSON list after `[TOOL_CALLS]`, or since tokenizer v11 the name and its arguments.

`[TOOL_CALLS]f{...}`, `[TOOL_CALLS]f[ARGS]{...}` and `[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{...}` (mistral-common's v11
and v13 tokenizers; vLLM mistral_tool_parser.py).
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments, read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import THINK, OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["MISTRAL"]

NAME = re.compile(r"[\w.\-]*")


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


MISTRAL = OutputSyntax(
    name="mistral",
    blocks={"[TOOL_CALLS]": _read},
    thinking=(ThinkingTags("[THINK]", "[/THINK]"), *THINK),
)
