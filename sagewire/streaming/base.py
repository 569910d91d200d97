"""The contract of fed decoders, and how decoders are chained.

A decoder never sees a socket, an iterator or a loop: it is *fed*, and returns what it could decode. That is why one
decoder serves threads, asyncio and tests that cut the bytes anywhere.

The rule for errors: what was decoded before a bad frame is delivered first. `feed` returns the good values and the
error is raised by the next call, `feed` or `close`. If `close` itself returns values and still owes an error, a second
`close` raises it; `decode` and `finish` do that for you.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sagewire.errors import SagewireError

__all__ = ["BaseDecoder", "Decoder", "Pipeline", "decode", "finish", "owed"]

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)


class Decoder(Protocol[In_contra, Out]):
    """Something that is fed pieces and returns values; see `BaseDecoder` for the usual way to write one."""

    def feed(self, data: In_contra, /) -> list[Out]:
        """Take the next piece and return what is complete now."""
        ...

    def close(self) -> list[Out]:
        """Return what was held back; raise `StreamTruncated` if something is half-read."""
        ...


class BaseDecoder(ABC, Generic[In, Out]):
    """A decoder whose subclasses append to a list and may raise at any point; the order is kept for them.

    Attributes:
        error_owed: The error that was put off behind what the decoder just returned.
    """

    error_owed: SagewireError | None = None
    _closed = False

    def feed(self, data: In, /) -> list[Out]:
        """Take the next piece and return what is complete now."""
        return self.feed_all((data,))

    def feed_all(self, pieces: Sequence[In], /) -> list[Out]:
        """Take several pieces at once: the same as one after the other, at the price of one."""
        if self.error_owed is not None:
            raise self.error_owed
        out: list[Out] = []
        try:
            self._decode_all(pieces, out)
        except SagewireError as error:
            self.error_owed = error
            if not out:
                raise
        return out

    def close(self) -> list[Out]:
        """Return what was held back; raise an error put off by `feed`, or what `_finish` raises.

        Closing again raises an error that the first time put off, and otherwise does nothing.
        """
        if self.error_owed is not None:
            raise self.error_owed
        out: list[Out] = []
        if self._closed:
            return out
        self._closed = True
        try:
            self._finish(out)
        except SagewireError as error:
            self.error_owed = error
            if not out:
                raise
        return out

    def _decode_all(self, pieces: Sequence[In], out: list[Out]) -> None:
        for piece in pieces:
            self._decode(piece, out)

    @abstractmethod
    def _decode(self, data: In, out: list[Out]) -> None:
        """Append what `data` completes to `out`."""

    def _finish(self, out: list[Out]) -> None:
        """Append what was held back to `out`; raise if something is half-read. The default holds nothing back."""


class Pipeline(BaseDecoder[Any, Any]):
    """Decoders in a row, each fed with what the one before it returned; itself a decoder.

    When one stage fails, the stages behind it are closed first, so that text they held back is delivered before the
    error is raised.
    """

    def __init__(self, *stages: Decoder[Any, Any]) -> None:
        self._stages = stages
        self._feeds = [stage.feed_all if isinstance(stage, BaseDecoder) else None for stage in stages]

    def _decode(self, data: Any, out: list[Any]) -> None:
        self._run((data,), 0, out)

    def _decode_all(self, pieces: Sequence[Any], out: list[Any]) -> None:
        self._run(pieces, 0, out)

    def _finish(self, out: list[Any]) -> None:
        for number, stage in enumerate(self._stages):
            held_back, error = finish(stage)
            self._run(held_back, number + 1, out)
            if error is not None:
                self._flush(number + 1, out)
                raise error

    def _run(self, items: Sequence[Any], start: int, out: list[Any]) -> None:
        for number in range(start, len(self._stages)):
            if not items:
                return
            stage, produced = self._stages[number], []
            try:
                if (feed_all := self._feeds[number]) is not None:
                    # Hundreds of tokens may lie in one piece from the socket; stage by stage they cost a few calls.
                    produced = feed_all(items)
                else:
                    for item in items:
                        produced += stage.feed(item)
                error = owed(stage)
            except SagewireError as raised:
                error = raised
            if error is not None:
                # If a later stage fails at what came before this error, it failed earlier in the stream: its error
                # is the one to report, and passes.
                self._run(produced, number + 1, out)
                self._flush(number + 1, out)
                raise error
            items = produced
        out += items

    def _flush(self, start: int, out: list[Any]) -> None:
        """Deliver what the stages from `start` on hold back, in spite of an error; errors now only follow from it."""
        for number in range(start, len(self._stages)):
            held_back, _ = finish(self._stages[number])
            try:
                self._run(held_back, number + 1, out)
            except SagewireError:
                return


def owed(decoder: Decoder[Any, Any]) -> SagewireError | None:
    """Return the error that a decoder put off behind what it just returned, if any.

    Whoever passes its values on to another decoder asks for it at once. Otherwise an error that comes later in the
    stream, but from an earlier decoder, might be raised first.
    """
    # Not `isinstance`: for a class with abstract methods it takes as long as decoding a token.
    return getattr(decoder, "error_owed", None)


def finish(decoder: Decoder[Any, Out]) -> tuple[list[Out], SagewireError | None]:
    """Close a decoder and return what it held back, with the error it raises or owes, if any."""
    try:
        held_back = decoder.close()
    except SagewireError as error:
        return [], error
    return held_back, owed(decoder)


def decode(decoder: Decoder[In, Out], pieces: Iterable[In]) -> Iterator[Out]:
    """Yield all that a decoder makes of these pieces, and close it; raise its error behind the last value.

    Example:
        >>> from sagewire.streaming.sse import SseDecoder
        >>> list(decode(SseDecoder(), [b"data: 1", b"23"]))
        [b'123']
    """
    for piece in pieces:
        yield from decoder.feed(piece)
    held_back, error = finish(decoder)
    yield from held_back
    if error is not None:
        raise error
