"""The first events of a server's streams, recognised without being read.

Nearly all streams of one server begin alike: with the answer's id and model, and with the first text, in the same event
or in the next. Reading these takes longer than reading all that follows, and the caller waits for the first text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sagewire.gateway.event_template import WRITTEN_ALIKE, EventTemplate
from sagewire.types import Delta, MetadataDelta, TextDelta

__all__ = ["Beginning", "OpeningMemory"]

_CREATED = re.compile(rb'"created"[ \t]*:[ \t]*([0-9]+)')
_ID = re.compile(rb'"id"[ \t]*:[ \t]*"([A-Za-z0-9_.:-]{0,200})"')
_ANY_ID = rb"(?P<id>[A-Za-z0-9_.:-]{0,200})"
_ANY_TEXT = b"(?P<text>" + WRITTEN_ALIKE + b"+)"
# So many openings that never came again, one after the other: each of the server's streams begins differently.
_GIVE_UP = 8
# Bytes of events that are worth remembering.
_LARGEST = 4_096


class OpeningMemory:
    """How the streams of one server have begun lately."""

    def __init__(self) -> None:
        self._opening: _Opening | None = None
        self._in_vain = 0

    @property
    def opening(self) -> _Opening | None:
        """How the last stream began, `None` if that is not known."""
        return self._opening

    def learn(self, first: bytes | None, facts: MetadataDelta, text: EventTemplate) -> None:
        """Remember how a stream began that did not begin like the one before.

        Args:
            first: Its first event, `None` if that is the one with the first text.
            facts: What the server said about the answer in the first event.
            text: The event with the first text.
        """
        self._in_vain += 1
        self._opening = _Opening.of(first, facts, text) if self._in_vain <= _GIVE_UP else None

    def came_again(self) -> None:
        """Note that a stream began like the one before."""
        self._in_vain = 0


class Beginning:
    """The first events of one stream: recognised, or read and remembered for the next stream.

    Args:
        memory: How other streams of the server began.

    Attributes:
        over: Whatever comes next is read.
        unread: The events that were recognised, with what is in them, until they are read.
    """

    def __init__(self, memory: OpeningMemory) -> None:
        self.over = False
        self.unread: tuple[bytes, list[Delta]] | None = None
        self._memory = memory
        self._opening = memory.opening
        self._first: tuple[bytes, MetadataDelta] | None = None

    def recognise(self, event: bytes) -> list[Delta]:
        """Return the deltas in the next event, none if it must be read."""
        opening = self._opening
        if opening is None:
            return []
        if self._first is None:
            found = opening.first(event)
            if found:
                facts = found[0]
                assert isinstance(facts, MetadataDelta)
                self._first, self.unread = (event, facts), (event, found)
        else:
            found = opening.second(event, self._first[1])
            if found and self.unread is not None:
                # Its text may be what begins a choice.
                before, facts_before = self.unread
                self.unread = before + event, facts_before + found
        if not found:
            self._opening = None
        elif isinstance(found[-1], TextDelta):
            self.over = True
            self._memory.came_again()
        return found

    def note(self, event: bytes, deltas: Sequence[Delta], template: EventTemplate | None) -> None:
        """Note an event that was read.

        Args:
            event: The event, or some bytes that are not one event.
            deltas: What was in it, if it is one event.
            template: Its template, if it has one.
        """
        self._opening = None
        facts = deltas[0] if deltas else None
        if self._first is None and isinstance(facts, MetadataDelta):
            self._first = (event, facts)
            self.over = len(deltas) > 1
            if template is not None:
                self._memory.learn(None, facts, template)
            return
        self.over = True
        # New facts beside the text, such as a fingerprint that the first event did not have, have to be read.
        if self._first is not None and template is not None and len(deltas) == 1:
            self._memory.learn(*self._first, template)


class _Opening:
    """The events up to the first text, in which nothing but id, time and text differ between streams.

    Args:
        facts: What the server says about the answer.
        text: The event with the first text.
        before: The event before that, if there is one.
    """

    def __init__(self, facts: MetadataDelta, text: re.Pattern[bytes], before: re.Pattern[bytes] | None) -> None:
        self._facts = facts
        self._text = text
        self._before = before

    @classmethod
    def of(cls, first: bytes | None, facts: MetadataDelta, text: EventTemplate) -> _Opening | None:
        """Return the opening of a stream, `None` if its id is not found once in each event, or if they are large."""
        if len(first or b"") + len(text.before) + len(text.after) > _LARGEST:
            return None
        ids = [_ID.findall(part) for part in (text.before, text.after, *([] if first is None else [first]))]
        if [len(found) for found in ids] != [1, 0, 1][: len(ids)]:
            return None
        if any(_id(found[0]) != facts.id for found in ids if found):
            return None
        before = None if first is None else re.compile(_shape(first))
        return cls(facts, re.compile(_shape(text.before) + _ANY_TEXT + _shape(text.after)), before)

    def first(self, event: bytes) -> list[Delta]:
        """Return what is in a stream's first event, nothing if it has another shape."""
        found = (self._before or self._text).fullmatch(event)
        if found is None:
            return []
        facts = MetadataDelta(_id(found["id"]), self._facts.model, self._facts.extra)
        return [facts] if self._before is not None else [facts, TextDelta(found["text"].decode("ascii"))]

    def second(self, event: bytes, facts: MetadataDelta) -> list[Delta]:
        """Return what is in the second event, nothing if it has another shape, or the id of another answer."""
        found = self._text.fullmatch(event)
        if found is None or _id(found["id"]) != facts.id:
            return []
        return [TextDelta(found["text"].decode("ascii"))]


def _id(written: bytes) -> str | None:
    # TGI leaves it empty.
    return written.decode("ascii") or None


def _shape(event: bytes) -> bytes:
    """Return the regular expression for a part of an event with any id, made at any time."""
    shape, at = b"", 0
    values = [(found.span(1), b"[0-9]{1,20}") for found in _CREATED.finditer(event)]
    values += [(found.span(1), _ANY_ID) for found in _ID.finditer(event)]
    for (start, end), any_value in sorted(values):
        shape += re.escape(event[at:start]) + any_value
        at = end
    return shape + re.escape(event[at:])
