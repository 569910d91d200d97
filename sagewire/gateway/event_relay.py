"""The events of one answer on their way through: copied where only the text is new, else read and written anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from sagewire.errors import SagewireError
from sagewire.gateway.event_template import EventTemplate
from sagewire.gateway.stream_events import Events
from sagewire.gateway.stream_opening import Beginning, OpeningMemory
from sagewire.streaming.accumulate import Accumulator
from sagewire.streaming.base import Decoder, finish, owed
from sagewire.streaming.eventstream import EventStreamDecoder
from sagewire.types import Delta, MetadataDelta, TextDelta, Usage

__all__ = ["EventRelay", "Notes"]

# Half an event is held back up to this size; beyond it the decoder decides.
MAX_HELD = 1 << 16
_END = b"\n\n"


class Notes(Protocol):
    """The account of an answer."""

    def delta(self, delta: Delta) -> None:
        """Note a delta."""
        ...

    def text(self, text: str) -> None:
        """Note text that was copied."""
        ...


class EventRelay:
    r"""The events of an answer under another id and model: copied if only the text is new, else read and written anew.

    The decoder and the encoder do all the work at first. An event that they turn into more text of the first choice
    and nothing else becomes a template: its bytes up to the text, and behind it. The next event that fits the template
    would leave both as they are, so it passes them by. Bytes are never passed by in the middle of an event.

    If the stream begins like another one of the server, its first events pass the decoder by, too. The decoder is given
    them before anything else.

    Args:
        decoder: Reads the server's bytes.
        encoder: Writes the deltas.
        notes: Told of what is in the answer.
        framed: The bytes lie in frames of `application/vnd.amazon.eventstream`.
        openings: How the server's streams begin.

    Attributes:
        begun: A delta was read.
    """

    def __init__(
        self,
        decoder: Decoder[bytes, Delta],
        encoder: Events,
        notes: Notes,
        *,
        framed: bool = False,
        openings: OpeningMemory | None = None,
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._notes = notes
        self._frames = EventStreamDecoder() if framed else None
        self._beginning = Beginning(openings or OpeningMemory())
        self._template: EventTemplate | None = None
        self._held = b""
        # The end of what the decoder has, while that is half an event.
        self._torn = b""
        self._read_so_far = Accumulator()
        self._handed_on = False
        self.begun = False

    @property
    def usage(self) -> Usage | None:
        """The token counts, if the server has sent them."""
        return self._read_so_far.usage

    def feed(self, piece: bytes) -> Iterable[bytes]:
        """Return the events in more of the server's bytes; the first at once, the others together."""
        if self._frames is None:
            if self._template is not None and not self._held and (copied := self._template.fill_all(piece)) is not None:
                # Whole events that fit, which is how a model at work sends them.
                texts, written = copied
                for text in texts:
                    self._notes.text(text.decode("ascii"))
                return (written,)
            return self._together(self._events(piece))
        return self._together(self._unframed(self._frames, piece))

    def close(self) -> Iterator[bytes]:
        """Yield the last events; raise `StreamTruncated` after them if the answer was not finished."""
        return self._together(self._last())

    def _together(self, events: Iterator[bytes]) -> Iterator[bytes]:
        out: list[bytes] = []
        try:
            for event in events:
                if self._handed_on:
                    out.append(event)
                else:
                    self._handed_on = bool(event)
                    yield event
        except SagewireError:
            if out:
                yield b"".join(out)
            raise
        if out:
            yield b"".join(out)

    def _unframed(self, frames: EventStreamDecoder, piece: bytes) -> Iterator[bytes]:
        try:
            payloads, error = frames.feed(piece), owed(frames)
        except SagewireError as raised:
            payloads, error = [], raised
        for data in payloads:
            yield from self._events(data)
        if error is not None:
            yield from self._finish()
            raise error

    def _events(self, data: bytes) -> Iterator[bytes]:
        if self._torn:
            end = _end_of_torn(self._torn, data)
            if end < 0:
                self._torn = data[-1:] or self._torn
                yield from self._read(data)
                return
            self._torn = b""
            yield from self._read(data[:end])
            data = data[end:]
        data = self._held + data
        self._held = b""
        at = 0
        while (end := data.find(_END, at)) >= 0:
            template = self._template
            if template is None:
                event, at = data[at : end + 2], end + 2
                yield from self._recognise(event) or self._read(event, whole=True)
            elif (copied := template.fill(data[at : end + 2])) is not None:
                at = end + 2
                yield from self._copy(*copied)
            else:
                # Most likely the end of the answer: all that is there at once.
                events, at = data[at : (end := data.rfind(_END) + 2)], end
                yield from self._read(events)
        rest = data[at:]
        if self._template is not None and len(rest) < MAX_HELD and self._template.begins(rest):
            self._held = rest
        elif rest:
            self._torn, self._template = rest[-1:], None
            yield from self._read(rest)

    def _copy(self, text: str, written: bytes) -> tuple[bytes, ...]:
        if not text:
            return ()
        self._notes.text(text)
        return (written,)

    def _recognise(self, event: bytes) -> Iterator[bytes] | None:
        deltas = None if self._beginning.over else self._beginning.recognise(event)
        return self._begin(event, deltas) if deltas else None

    def _begin(self, event: bytes, deltas: list[Delta]) -> Iterator[bytes]:
        yield from self._write(deltas)
        self._template = self._template_of(event, deltas)

    def _read(self, data: bytes, *, whole: bool = False) -> Iterator[bytes]:
        deltas = self._decode(data)
        yield from self._write(deltas)
        if error := owed(self._decoder):
            raise error
        if deltas:
            self._template = self._template_of(data, deltas) if whole else None
        if not self._beginning.over:
            self._beginning.note(data, deltas if whole else [], self._template)

    def _decode(self, data: bytes) -> list[Delta]:
        if self._beginning.unread is None:
            return self._decoder.feed(data)
        events, known = self._beginning.unread
        self._beginning.unread = None
        deltas = self._decoder.feed(events + data)
        # They were written when the events were recognised.
        return deltas[len(known) :] if deltas[: len(known)] == known else deltas

    def _template_of(self, event: bytes, deltas: list[Delta]) -> EventTemplate | None:
        *facts, last = deltas
        # Facts are read once: the next event that says the same has text and nothing else.
        if not isinstance(last, TextDelta) or last.choice or not all(type(one) is MetadataDelta for one in facts):
            return None
        return EventTemplate.of(event, last.text, self._encoder) if last.text else None

    def _write(self, deltas: list[Delta]) -> Iterator[bytes]:
        for delta in deltas:
            # Refuses what cannot be part of an answer.
            self._read_so_far.add(delta)
            self._notes.delta(delta)
            self.begun = True
            yield self._encoder.feed(delta)

    def _last(self) -> Iterator[bytes]:
        if self._frames is not None:
            held_back, error = finish(self._frames)
            for data in held_back:
                yield from self._events(data)
            if error is not None:
                yield from self._finish()
                raise error
        yield from self._finish(raises=True)

    def _finish(self, *, raises: bool = False) -> Iterator[bytes]:
        if self._held or self._beginning.unread is not None:
            held, self._held = self._held, b""
            yield from self._read(held)
        held_back, error = finish(self._decoder)
        yield from self._write(held_back)
        if raises and error is not None:
            raise error


def _end_of_torn(last: bytes, data: bytes) -> int:
    """Return where the event ends whose beginning the decoder has, -1 if it does not end in these bytes."""
    if last == b"\n" and data[:1] == b"\n":
        return 1
    end = data.find(_END)
    return end + 2 if end >= 0 else -1
