"""Qwen3-Coder, MiMo and Seed-OSS: `<tool_call><function=f><parameter=a>1</parameter></function></tool_call>`.

The values are untyped: the tool's schema says what they are (vLLM qwen3coder_tool_parser.py). One line break after
the opening tag and one before the closing tag belong to the tags, as the template writes them; not so for MiMo, whose
values stand between the tags to the letter (vLLM parser/mimo.py, SGLang mimo_detector.py).
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_text import to_json
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["MIMO", "QWEN3_CODER", "SEED_OSS", "Arguments"]

NAME = re.compile(r"[^<>\n]*")
# The model sometimes forgets a closing tag; the next tag then closes the value if it begins a line.
VALUE_ENDS = Markers(("</parameter>", "\n<parameter=", "\n</function>", "\n</tool_call>", "\n</seed:tool_call>"))


class Arguments:
    """An object's JSON text, written member by member."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name
        self._pieces: list[str] = []
        self._keys: set[str] = set()
        calls.begin(name)

    def add(self, key: str, text: str, value: object) -> None:
        """Add a member.

        Args:
            key: The parameter's name.
            text: What the model wrote.
            value: What it stands for; what JSON cannot say stays text.
        """
        if key in self._keys:
            raise NotACall
        self._keys.add(key)
        try:
            written = to_json(value)
        except ValueError:
            written = to_json(text)
        self._write(("{" if not self._pieces else ", ") + to_json(key) + ": " + written)

    def commit(self) -> None:
        """The object is complete."""
        self._write("}" if self._pieces else "{}")
        self._calls.commit(self._name, "".join(self._pieces))

    def _write(self, text: str) -> None:
        self._pieces.append(text)
        self._calls.write(text)


def _read_tool_call(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect("<function=")
    source.opened()
    yield from _read_function(source, calls)


def _read_function(source: Source, calls: Calls, *, framed: bool = True, exact: bool = False) -> Wait[None]:
    """Read a call.

    Args:
        source: The text.
        calls: Where the call goes.
        framed: The line break before a closing tag is the tag's even if none follows the opening one.
        exact: No line break belongs to a tag.
    """
    name = (yield from source.read(NAME)).strip()
    yield from source.expect(">")
    if not name:
        raise NotACall
    arguments = Arguments(calls, name)
    yield from source.skip_space()
    while not (yield from source.accept("</function>")):
        yield from source.expect("<parameter=")
        key = (yield from source.read(NAME)).strip()
        yield from source.expect(">")
        text, end = yield from source.until(VALUE_ENDS)
        if end != "</parameter>":
            source.position -= len(end)
            source.opened()
        elif not exact and (framed or text.startswith("\n")):
            text = text.removesuffix("\n")
        text = text if exact else text.removeprefix("\n")
        arguments.add(key, text, calls.offered.value(name, key, text))
        yield from source.skip_space()
    arguments.commit()


QWEN3_CODER = OutputSyntax(
    name="qwen3_coder",
    blocks={"<tool_call>": _read_tool_call, "<function=": _read_function},
    closers=("</tool_call>",),
)


def _read_mimo_call(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect("<function=")
    source.opened()
    yield from _read_function(source, calls, exact=True)


# Xiaomi MiMo V2. A function without the tag around it is not a call.
MIMO = OutputSyntax(name="mimo", blocks={"<tool_call>": _read_mimo_call}, closers=("</tool_call>",), often_opened=True)


def _read_seed_call(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect("<function=")
    source.opened()
    yield from _read_seed_function(source, calls)


def _read_seed_function(source: Source, calls: Calls) -> Wait[None]:
    # Its template writes values without line breaks around them.
    yield from _read_function(source, calls, framed=False)


# ByteDance Seed-OSS says the same between tags of its own (vLLM parser/seed_oss.py).
SEED_OSS = OutputSyntax(
    name="seed_oss",
    blocks={"<seed:tool_call>": _read_seed_call, "<function=": _read_seed_function},
    closers=("</seed:tool_call>",),
    thinking=(ThinkingTags("<seed:think>", "</seed:think>"),),
    often_opened=True,
)
