"""Gemma 4 and FunctionGemma: `call:f{city:<|"|>Oslo<|"|>,days:3}` between markers.

Strings stand between two quotation tokens, everything else is written as in JSON; keys have no quotation marks.
Facts: Google's chat templates; vLLM parser/gemma4.py, functiongemma_tool_parser.py.
"""

from __future__ import annotations

import re
from typing import Any

from sagewire.prompt_formats.output_parsers.engine.json_text import from_json
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import BlockReader, OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.qwen_xml import Arguments

__all__ = ["FUNCTION_GEMMA", "GEMMA4"]

MAX_DEPTH = 100
QUOTE = '<|"|>'
NAME = re.compile(r"[\w.\-]*")
KEY = re.compile(r"[^:{}\[\]<>,\n]*")
BARE = re.compile(r"[^,{}\[\]<>\n]*")


class _Values:
    """Reads the values of one call.

    Args:
        source: The text.
        quote: The token that stands before and behind a string.
        quoted: Texts stand between quotes in any case; otherwise a word that is no JSON is the text it is.
    """

    def __init__(self, source: Source, quote: str, quoted: bool = False) -> None:
        self._source = source
        self._quote = quote
        self._quoted = quoted
        self._end = Markers((quote,))

    def string(self) -> Wait[str | None]:
        """Read a string if one is next."""
        if not (yield from self._source.accept(self._quote)):
            return None
        text, _ = yield from self._source.until(self._end)
        return text

    def key(self) -> Wait[str]:
        """Read a key and the colon behind it."""
        key = yield from self.string()
        if key is None:
            key = (yield from self._source.read(KEY)).strip()
        if (yield from self._source.skip_space()) != ":" or not key:
            raise NotACall
        self._source.position += 1
        yield from self._source.skip_space()
        return key

    def value(self, depth: int = 0) -> Wait[Any]:
        """Read a value of any kind."""
        if depth > MAX_DEPTH:
            raise NotACall(here=True)
        text = yield from self.string()
        if text is not None:
            return text
        following = yield from self._source.peek()
        if following == "{":
            return (yield from self._object(depth))
        if following == "[":
            return (yield from self._list(depth))
        word = (yield from self._source.read(BARE, limit=5000)).strip()
        if not word:
            raise NotACall
        try:
            return from_json(word)
        except ValueError:
            if self._quoted:
                raise NotACall from None
            return word

    def _object(self, depth: int) -> Wait[dict[str, Any]]:
        self._source.position += 1
        members: dict[str, Any] = {}
        following = yield from self._source.skip_space()
        while following != "}":
            key = yield from self.key()
            if key in members:
                raise NotACall
            members[key] = yield from self.value(depth + 1)
            following = yield from self.separator("}")
        self._source.position += 1
        return members

    def _list(self, depth: int) -> Wait[list[Any]]:
        self._source.position += 1
        items: list[Any] = []
        following = yield from self._source.skip_space()
        while following != "]":
            items.append((yield from self.value(depth + 1)))
            following = yield from self.separator("]")
        self._source.position += 1
        return items

    def separator(self, closing: str) -> Wait[str]:
        """Read the comma before another item; return the next character."""
        following = yield from self._source.skip_space()
        if following == ",":
            self._source.position += 1
            return (yield from self._source.skip_space())
        if following != closing:
            raise NotACall(here=not following)
        return following


def _reader(quote: str, *, typed: bool) -> BlockReader:
    """Return the reader of calls whose strings stand between two `quote`; `typed`: only texts are quoted."""

    def read(source: Source, calls: Calls) -> Wait[None]:
        yield from source.skip_space()
        # Some models leave out the word.
        yield from source.accept("call")
        yield from source.expect(":")
        # Others write the colon twice.
        yield from source.accept("call:")
        name = yield from source.read(NAME)
        if not name:
            raise NotACall
        arguments = yield from _read_fields(source, calls, name, _Values(source, quote), typed)
        arguments.commit()

    return read


def _read_fields(source: Source, calls: Calls, name: str, values: _Values, typed: bool) -> Wait[Arguments]:
    yield from source.expect("{")
    arguments = Arguments(calls, name)
    following = yield from source.skip_space()
    while following != "}":
        key = yield from values.key()
        start = source.place
        value = yield from values.value()
        text = value if isinstance(value, str) else source.since(start).strip()
        if (isinstance(value, str) and not typed) or calls.offered.takes_only_text(name, key):
            value = calls.offered.value(name, key, text)
        arguments.add(key, text, value)
        following = yield from values.separator("}")
    source.position += 1
    return arguments


def _read_bare(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read a call without its marker, as models write behind their thoughts: of an offered tool, and nothing else."""
    yield from source.skip_space()
    yield from source.expect("call:")
    name = yield from source.read(NAME)
    if not calls.offered.knows(name):
        raise NotACall
    arguments = yield from _read_fields(source, calls, name, _Values(source, QUOTE, quoted=True), True)
    if (yield from source.skip_space()) not in ("", "<"):
        raise NotACall
    arguments.commit()


GEMMA4 = OutputSyntax(
    name="gemma4",
    blocks={"<|tool_call>": _reader(QUOTE, typed=True)},
    start=_read_bare,
    closers=("<tool_call|>",),
    silent=("<channel|>",),
    thinking=(ThinkingTags("<|channel>", "<channel|>", paired=True, label="thought"),),
)

# Its template writes every value between quotation tokens in one version, and only texts in another.
FUNCTION_GEMMA = OutputSyntax(
    name="function_gemma",
    blocks={"<start_function_call>": _reader("<escape>", typed=False)},
    closers=("<end_function_call>",),
    thinking=(),
)
