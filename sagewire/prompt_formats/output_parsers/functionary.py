r"""Functionary v3.2 (`>>>recipient\ncontent`), v2.5 (the same behind a token), v3.1 (`<function=name>{...}`).

The last is also how Llama 3.1 is told to write calls of custom tools.

Facts: the models' chat templates and MeetKai's description of the three prompt versions.
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments
from sagewire.prompt_formats.output_parsers.engine.json_text import to_json
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["FUNCTIONARY"]

NAME = re.compile(r"[\w.\-]*")
TAG_NAME = re.compile(r"[^<>\n]*")


def _read_recipient(source: Source, calls: Calls) -> Wait[None]:
    name = yield from source.read(NAME)
    if not name or not (yield from source.accept("\n")):
        raise NotACall
    if name == "all":
        # What follows is text.
        return
    if name == "python" and (yield from source.skip_space()) != "{":
        yield from _read_code(source, calls)
        return
    if (yield from source.skip_space()) != "{":
        raise NotACall
    yield from read_arguments(source, calls, name)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    if not prompt.endswith(">>>"):
        raise NotACall
    yield from _read_recipient(source, calls)


def _read_tag(source: Source, calls: Calls) -> Wait[None]:
    name = (yield from source.read(TAG_NAME)).strip()
    yield from source.expect(">")
    yield from read_arguments(source, calls, name)


def _read_code(source: Source, calls: Calls) -> Wait[None]:
    """Read Python code for the built-in interpreter, which fills the rest of the answer."""
    pieces: list[str] = []
    while True:
        pieces.append(source.buffer[source.position :])
        source.position = len(source.buffer)
        if not (yield from source.more()):
            break
    code = "".join(pieces).strip()
    if not code:
        raise NotACall
    calls.commit("python", to_json({"code": code}))


FUNCTIONARY = OutputSyntax(
    name="functionary",
    blocks={
        ">>>": _read_recipient,
        "<|reserved_special_token_249|>": _read_recipient,  # v2.5
        "<function=": _read_tag,
        "<|python_tag|>": _read_code,
    },
    closers=("</function>",),
    start=_read_start,
)
