"""An event of an OpenAI-shaped stream whose text is left open, as it is read and as it is written."""

from __future__ import annotations

import re

import orjson

from sagewire.gateway.stream_events import Events
from sagewire.types import TextDelta

__all__ = ["WRITTEN_ALIKE", "EventTemplate"]

_CONTENT = re.compile(rb'"content"[ \t]*:[ \t]*"')
_STRING_END = re.compile(rb'(?:[^"\\]|\\.)*"')
# A character that JSON has one way to write.
WRITTEN_ALIKE = rb"[ !#-\[\]-~]"
_is_written_alike = re.compile(WRITTEN_ALIKE + rb"*").fullmatch


class EventTemplate:
    """An event whose text is left open, as it is read and as it is written."""

    __slots__ = ("_after", "_before", "_between", "_end", "_head", "_joint", "_least", "_start", "_tail")

    def __init__(self, before: bytes, after: bytes, head: bytes, tail: bytes) -> None:
        self._before = before
        self._after = after
        self._start, self._end, self._least = len(before), -len(after), len(before) + len(after)
        # Up to the text and from behind it, with its quotes.
        self._head = head + b'"'
        self._tail = b'"' + tail
        # Between the texts of two events, as they are read and as they are written.
        self._joint = after + before
        self._between = self._tail + self._head

    @property
    def before(self) -> bytes:
        """The event up to the text, as it is read."""
        return self._before

    @property
    def after(self) -> bytes:
        """The event from behind the text, as it is read."""
        return self._after

    @classmethod
    def of(cls, event: bytes, text: str, encoder: Events) -> EventTemplate | None:
        """Return the template of an event that was read as text, `None` if that cannot be told apart in it."""
        if not event.startswith(b"data:") or b"\n" in event[:-2] or b"\r" in event:
            return None
        places = list(_CONTENT.finditer(event))
        end = _STRING_END.match(event, places[0].end()) if len(places) == 1 else None
        if end is None or _text(event[end.start() : end.end() - 1]) != text:
            return None
        head, mark, tail = encoder.feed(TextDelta("?")).rpartition(b'"?"')
        return cls(event[: end.start()], event[end.end() - 1 :], head, tail) if mark else None

    def fill(self, event: bytes) -> tuple[str, bytes] | None:
        """Return the text of an event and the event to write, `None` if it does not fit."""
        if len(event) < self._least or not event.startswith(self._before) or not event.endswith(self._after):
            return None
        inside = event[self._start : self._end]
        if _is_written_alike(inside) is not None:
            return inside.decode("ascii"), self._head + inside + self._tail
        text = _text(inside)
        return None if text is None else (text, self._head + orjson.dumps(text)[1:-1] + self._tail)

    def fill_all(self, events: bytes) -> tuple[list[bytes], bytes] | None:
        """Return the texts of one or more events and the events to write; `None` if any of them needs a closer look."""
        if len(events) < self._least or not events.startswith(self._before) or not events.endswith(self._after):
            return None
        inside = events[self._start : self._end]
        texts = inside.split(self._joint)
        if len(texts) == 1:
            if not inside or _is_written_alike(inside) is None:
                return None
        elif b"" in texts or _is_written_alike(b"".join(texts)) is None:
            return None
        else:
            inside = self._between.join(texts)
        return texts, self._head + inside + self._tail

    def begins(self, data: bytes) -> bool:
        """Return whether these bytes may be the beginning of an event that fits."""
        return self._before.startswith(data[: len(self._before)])


def _text(inside: bytes) -> str | None:
    """Return the text of a JSON string without its quotes, `None` if it is not one."""
    try:
        text = orjson.loads(b'"' + inside + b'"')
    except orjson.JSONDecodeError:
        return None
    return text if type(text) is str else None
