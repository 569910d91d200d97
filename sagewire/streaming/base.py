"""What every fed decoder is, and how decoders are chained.

A decoder never sees a socket, an iterator or a loop: it is *fed*, and returns what it could decode. That is why one
decoder serves threads, asyncio and tests that cut the bytes anywhere.

The rule for errors: what was decoded before a bad frame is delivered first. `feed` returns the good values and the
error is raised by the next call, `feed` or `close`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, TypeVar

from sagewire.errors import SagewireError

__all__ = ["BaseDecoder", "Decoder", "Pipeline"]

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
    """A decoder whose subclasses append to a list and may raise at any point; the order is kept for them."""

    _error: SagewireError | None = None

    def feed(self, data: In, /) -> list[Out]:
        """Take the next piece and return what is complete now."""
        if self._error is not None:
            raise self._error
        out: list[Out] = []
        try:
            self._decode(data, out)
        except SagewireError as error:
            self._error = error
            if not out:
                raise
        return out

    def close(self) -> list[Out]:
        """Return what was held back; raise an error put off by `feed`, or what `_finish` raises."""
        if self._error is not None:
            raise self._error
        out: list[Out] = []
        try:
            self._finish(out)
        except SagewireError as error:
            self._error = error
            if not out:
                raise
        return out

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

    def _decode(self, data: Any, out: list[Any]) -> None:
        self._run([data], 0, out)

    def _finish(self, out: list[Any]) -> None:
        for start, stage in enumerate(self._stages):
            try:
                items = stage.close()
            except SagewireError:
                self._flush(start + 1, out)
                raise
            self._run(items, start + 1, out)
            # A stage that returned held-back values may still owe an error.
            _raise_put_off(stage)

    def _run(self, items: list[Any], start: int, out: list[Any]) -> None:
        for number in range(start, len(self._stages)):
            stage, produced = self._stages[number], []
            for item in items:
                try:
                    produced += stage.feed(item)
                except SagewireError:
                    self._run(produced, number + 1, out)
                    self._flush(number + 1, out)
                    raise
            if not produced:
                return
            items = produced
        out += items

    def _flush(self, start: int, out: list[Any]) -> None:
        for number in range(start, len(self._stages)):
            try:
                held_back = self._stages[number].close()
            except SagewireError:
                # The first error is the one to report: this one only follows from it.
                continue
            self._run(held_back, number + 1, out)


def _raise_put_off(stage: Decoder[Any, Any]) -> None:
    error = getattr(stage, "_error", None)
    if error is not None:
        raise error
