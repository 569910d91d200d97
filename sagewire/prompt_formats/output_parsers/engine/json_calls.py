"""Calls written as JSON: read while they arrive, delivered as the model wrote them.

The scanner only follows brackets and strings and refuses characters that JSON has no place for; whether a value really
is JSON is decided by the parser once it is complete. Nothing is guessed: what does not parse is not a call.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sagewire.prompt_formats.output_parsers.engine.json_text import from_json, to_json
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["CallKeys", "normal_arguments", "read_arguments", "read_bare_list", "read_calls", "scan_value"]

Sink = Callable[[str], None]

MAX_DEPTH = 100
OPEN = {"{": "}", "[": "]"}
PLAIN = re.compile(r"[ \t\r\n0-9+\-.,:eEtrufalsn]*")
SCALAR = re.compile(r"[0-9+\-.eEtrufalsn]*")
STRING = re.compile(r"(?:[^\"\\]++|\\[^\x00-\x1f])*+")
CONTROL = re.compile(r"[\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class CallKeys:
    """What the members of a call object are called.

    Args:
        name: Keys of the function's name.
        arguments: Keys of its arguments.
        id: Keys of the call's id.
        other: Keys that say nothing, but belong to a call.
        ignored: Functions that stand for no call at all.
    """

    name: tuple[str, ...] = ("name",)
    arguments: tuple[str, ...] = ("arguments", "parameters")
    id: tuple[str, ...] = ("id",)
    other: tuple[str, ...] = ("type",)
    ignored: tuple[str, ...] = ()


KEYS = CallKeys()


def read_calls(source: Source, calls: Calls, keys: CallKeys = KEYS, *, bare: bool = False) -> Wait[None]:
    """Read call objects: one, several in a row, or a list of them.

    Args:
        source: The text.
        calls: Where the calls go.
        keys: The names of the members.
        bare: No marker said that this is a call, so it has to look like one: both name and arguments, no members but
            those of a call, and a tool that was offered.

    Raises:
        NotACall: The next thing is not a call; those before it have been committed.
    """
    if (yield from source.skip_space()) != "[":
        yield from _read_call(source, calls, keys, bare)
        while (yield from _another(source, calls)):
            yield from _read_call(source, calls, keys, bare)
        return
    source.position += 1
    yield from source.skip_space()
    yield from _read_call(source, calls, keys, bare)
    while True:
        following = yield from source.skip_space()
        if following == ",":
            source.position += 1
            yield from source.skip_space()
            yield from _read_call(source, calls, keys, bare)
        elif following == "]":
            source.position += 1
            calls.done()
            return
        elif not following:
            return
        else:
            raise NotACall


def read_bare_list(source: Source, calls: Calls, keys: CallKeys = KEYS) -> Wait[None]:
    """Read a list of calls that no marker announces; of tools that were offered, if that is known."""
    if (yield from source.skip_space()) != "[":
        raise NotACall
    yield from read_calls(source, calls, keys, bare=True)


def _another(source: Source, calls: Calls) -> Wait[bool]:
    """Return whether another object follows; read the separator before it."""
    following = yield from source.skip_space()
    if following in (";", ","):
        source.position += 1
        following = yield from source.skip_space()
        if not following:
            calls.done()
            return False
        if following != "{":
            # It was not a separator.
            raise NotACall
    elif following != "{":
        # The blanks are text if no other call follows.
        source.rewind()
        source.checkpoint()
    return following == "{"


def _read_call(source: Source, calls: Calls, keys: CallKeys, bare: bool) -> Wait[None]:
    call = _CallObject(source, calls, keys, bare)
    yield from source.expect("{")
    following = yield from source.skip_space()
    while following != "}":
        yield from call.read_member()
        following = yield from source.skip_space()
        if following == ",":
            source.position += 1
            if (yield from source.skip_space()) == "}":
                raise NotACall(here=bare)
        elif following != "}":
            raise NotACall(here=bare)
    source.position += 1
    call.finish()


class _CallObject:
    """One call object while it is read."""

    def __init__(self, source: Source, calls: Calls, keys: CallKeys, bare: bool) -> None:
        self.source = source
        self.calls = calls
        self.keys = keys
        self.bare = bare
        self.name: str | None = None
        self.id: str | None = None
        self.arguments: str | None = None
        self.seen: set[str] = set()
        self.nested = False  # a key "function" was there

    def read_member(self) -> Wait[None]:
        """Read a key and its value."""
        if (yield from self.source.peek()) != '"':
            raise self._not_a_call()
        key = yield from self._read_value()
        if (yield from self.source.skip_space()) != ":":
            raise self._not_a_call()
        self.source.position += 1
        yield from self.source.skip_space()
        if key in self.keys.name:
            self._once("name")
            yield from self._read_name()
        elif key in self.keys.arguments:
            self._once("arguments")
            yield from self._read_arguments()
        elif key == "function" and not self.nested:
            self.nested = True
            yield from self._read_function()
        elif key in self.keys.id:
            value = yield from self._read_value()
            self.id = str(value) if isinstance(value, str | int) else None
        elif self.bare and key not in self.keys.other:
            raise self._not_a_call()
        else:
            yield from self._read_value()

    def finish(self) -> None:
        """The object is complete."""
        if self.name is None or (self.bare and self.arguments is None):
            raise self._not_a_call()
        if self.name in self.keys.ignored:
            self.calls.done()
            return
        self.calls.commit(self.name, self.arguments or "{}", self.id)

    def _read_function(self) -> Wait[None]:
        """Read the name and the arguments in their own object, as OpenAI writes them, or the name alone."""
        if (yield from self.source.peek()) != "{":
            self._once("name")
            yield from self._read_name()
            return
        self.source.position += 1
        following = yield from self.source.skip_space()
        while following != "}":
            yield from self.read_member()
            following = yield from self.source.skip_space()
            if following == ",":
                self.source.position += 1
                following = yield from self.source.skip_space()
            elif following != "}":
                raise self._not_a_call()
        self.source.position += 1

    def _once(self, member: str) -> None:
        # Which of two names is meant cannot be known.
        if member in self.seen:
            raise self._not_a_call()
        self.seen.add(member)

    def _read_name(self) -> Wait[None]:
        name = yield from self._read_value()
        if not isinstance(name, str) or not _is_name(name) or (self.bare and self.calls.offered.knows(name) is False):
            raise self._not_a_call()
        self.name = name

    def _read_arguments(self) -> Wait[None]:
        if self.name is not None and self.name not in self.keys.ignored and (yield from self.source.peek()) == "{":
            self.calls.begin(self.name, self.id)
        self.arguments = yield from _scan_arguments(self.source, self.calls, self.bare)

    def _read_value(self) -> Wait[Any]:
        pieces: list[str] = []
        yield from scan_value(self.source, pieces.append, self.bare)
        try:
            return from_json("".join(pieces))
        except ValueError:
            raise self._not_a_call() from None

    def _not_a_call(self) -> NotACall:
        return NotACall(here=self.bare)


def _is_name(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return bool(name.strip())


def read_arguments(source: Source, calls: Calls, name: str, id: str | None = None) -> Wait[None]:
    """Read the arguments of a call whose name is known already, and commit it."""
    if not _is_name(name):
        raise NotACall
    if (yield from source.skip_space()) == "{":
        calls.begin(name, id)
    arguments = yield from _scan_arguments(source, calls)
    calls.commit(name, arguments, id)


def _scan_arguments(source: Source, calls: Calls, here: bool = False) -> Wait[str]:
    pieces: list[str] = []

    def sink(piece: str) -> None:
        pieces.append(piece)
        calls.write(piece)

    yield from scan_value(source, sink, here)
    try:
        return normal_arguments("".join(pieces))
    except ValueError:
        raise NotACall(here) from None


def normal_arguments(text: str) -> str:
    """Return the JSON text of an object; raise `ValueError` for anything else."""
    value = from_json(text)
    if isinstance(value, dict):
        return text
    if isinstance(value, str):
        # Models that have seen OpenAI's format write the object as a string.
        value = from_json(value) if value.strip() else None
    if value is None or value == []:
        return "{}"
    if not isinstance(value, dict):
        raise ValueError("arguments are an object")
    return to_json(value)


def scan_value(source: Source, sink: Sink, here: bool = False) -> Wait[None]:
    """Read one JSON value; `sink` gets its text, with control characters in strings escaped."""
    first = yield from source.peek()
    if first == '"':
        source.position += 1
        sink('"')
        yield from _scan_string(source, sink, here)
    elif first in OPEN:
        yield from _scan_container(source, sink, here)
    else:
        text = yield from source.read(SCALAR, limit=5000)
        if not text:
            raise NotACall(here)
        sink(text)


def _scan_container(source: Source, sink: Sink, here: bool) -> Wait[None]:
    closing: list[str] = []
    while True:
        found = PLAIN.match(source.buffer, source.position)
        end = found.end() if found else source.position
        character = source.buffer[end : end + 1]
        if character and character not in '"{}[]':
            raise NotACall(here)
        sink(source.buffer[source.position : end] + character)
        source.position = end + len(character)
        if character in OPEN:
            closing.append(OPEN[character])
            if len(closing) > MAX_DEPTH:
                raise NotACall(here)
        elif character == '"':
            yield from _scan_string(source, sink, here)
        elif character:
            if not closing or character != closing.pop():
                raise NotACall(here)
            if not closing:
                return
        elif not (yield from source.more()):
            # The call was cut off. What its strings hold are not calls either.
            raise NotACall(here=True)


def _scan_string(source: Source, sink: Sink, here: bool) -> Wait[None]:
    """Read a string whose opening quote has been read."""
    while True:
        found = STRING.match(source.buffer, source.position)
        end = found.end() if found else source.position
        text = source.buffer[source.position : end]
        if CONTROL.search(text) is not None:
            text = CONTROL.sub(lambda control: f"\\u{ord(control[0]):04x}", text)
        source.position = end
        following = source.buffer[end : end + 2]
        if following.startswith('"'):
            source.position += 1
            sink(text + '"')
            return
        sink(text)
        if len(following) == 2:
            # A backslash before a control character.
            raise NotACall(here)
        if not (yield from source.more()):
            raise NotACall(here=True)
