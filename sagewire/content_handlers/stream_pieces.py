"""Cuts a byte stream at its own seams without reading it, for handlers that parse the pieces themselves."""

from __future__ import annotations

import re

from sagewire.errors import FrameError
from sagewire.streaming.base import BaseDecoder

__all__ = ["LineDecoder", "WholeEventDecoder"]

MAX_PIECE_BYTES = 32 * 1024 * 1024

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE_END = re.compile(rb"\n")
_SSE_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LONGEST_START = 6


class _Cutter(BaseDecoder[bytes, bytes]):
    """Collects bytes up to a seam; linear in their number, however they arrive."""

    def __init__(self, seam: re.Pattern[bytes], seam_bytes: int) -> None:
        self._seam = seam
        self._overlap = seam_bytes - 1
        self._pending = bytearray()
        self._searched = 0

    def _decode(self, data: bytes, out: list[bytes]) -> None:
        pending = self._pending
        pending += data
        start = 0
        position = max(0, self._searched - self._overlap)
        while match := self._seam.search(pending, position):
            out.append(bytes(pending[start : match.end()]))
            start = position = match.end()
        del pending[:start]
        self._searched = len(pending)
        if len(pending) > MAX_PIECE_BYTES:
            raise FrameError(f"more than {MAX_PIECE_BYTES} bytes without a line break")

    def _finish(self, out: list[bytes]) -> None:
        if self._pending:
            out.append(bytes(self._pending))
            self._pending.clear()


class LineDecoder(_Cutter):
    r"""Bytes to lines without their line breaks; the last one may lack it.

    Example:
        >>> lines = LineDecoder()
        >>> lines.feed(b"a\r\nb\nc"), lines.close()
        ([b'a', b'b'], [b'c'])
    """

    def __init__(self) -> None:
        super().__init__(_LINE_END, 1)

    def _decode(self, data: bytes, out: list[bytes]) -> None:
        pieces: list[bytes] = []
        try:
            super()._decode(data, pieces)
        finally:
            out += [piece.rstrip(b"\r\n") for piece in pieces]


class WholeEventDecoder(BaseDecoder[bytes, bytes]):
    r"""Bytes to whole events with their endings: server-sent events, lines of JSON, or plain text as it arrives.

    The first bytes that are not blank decide which. Plain text is cut between characters, never inside one.

    Example:
        >>> WholeEventDecoder().feed(b'data: {"a": 1}\n\ndata: {')
        [b'data: {"a": 1}\n\n']
    """

    def __init__(self) -> None:
        self._start = b""
        self._cutter: BaseDecoder[bytes, bytes] | None = None

    def _decode(self, data: bytes, out: list[bytes]) -> None:
        if self._cutter is None:
            self._start += data
            self._cutter = self._choose(self._start.lstrip())
            data, self._start = (b"", self._start) if self._cutter is None else (self._start, b"")
        if self._cutter is not None:
            out += self._cutter.feed(data)

    def _finish(self, out: list[bytes]) -> None:
        if self._cutter is not None:
            out += self._cutter.close()
        elif self._start:
            out.append(self._start)

    def _choose(self, start: bytes) -> BaseDecoder[bytes, bytes] | None:
        if not start:
            return None
        if start[:1] in b"{[":
            return _Cutter(_LINE_END, 1)
        if start.startswith(_SSE_STARTS):
            return _Cutter(_EVENT_END, 4)
        if len(start) < _LONGEST_START and any(name.startswith(start) for name in _SSE_STARTS):
            return None
        return _Characters()


class _Characters(BaseDecoder[bytes, bytes]):
    """Holds back the bytes of a UTF-8 character that is not complete yet."""

    def __init__(self) -> None:
        self._tail = b""

    def _decode(self, data: bytes, out: list[bytes]) -> None:
        data = self._tail + data
        cut = len(data)
        for back in range(1, min(3, len(data)) + 1):
            byte = data[-back]
            if byte >= 0xC0:
                needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                cut = len(data) - back if needed > back else len(data)
                break
            if byte < 0x80:
                break
        self._tail = data[cut:]
        if cut:
            out.append(data[:cut])

    def _finish(self, out: list[bytes]) -> None:
        if self._tail:
            out.append(self._tail)
