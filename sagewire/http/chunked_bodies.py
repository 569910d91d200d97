"""The chunk framing of HTTP/1.1 bodies (RFC 9112, section 7.1), taken off whatever has arrived."""

from __future__ import annotations

from http.client import HTTPException, IncompleteRead, LineTooLong

__all__ = ["ChunkedBody"]

_MAX_LINE = 8_192
# Of the size of a chunk: more than any body has, and less than a number of 64 bits.
_MAX_DIGITS = 15
_BREAKS = (b"\r", b"\n")
_X = (b"x", b"X")


class ChunkedBody:
    r"""Bytes with chunk framing to the bytes inside; fed, and never waiting.

    The standard library hands out one chunk at a time, at 4 us each, and SageMaker sends a chunk for every token: half
    of the time of a stream went there. Here all that the socket had is unpacked at once.

    Attributes:
        ended: Whether the last chunk and what belongs to it were seen.
        surplus: Whether unexpected bytes came after the end.

    Raises:
        HTTPException: By `feed`, the framing is broken; data before it is returned first. By `close`, the body
            ended in its midst.

    Example:
        >>> body = ChunkedBody()
        >>> body.feed(b"2\r\nab\r\n3\r\nc"), body.feed(b"de\r\n0\r\n\r\n"), body.ended
        (b'abc', b'de', True)
    """

    def __init__(self) -> None:
        self.ended = False
        self.surplus = False
        self._held = b""  # less than a line
        self._left = 0  # bytes that are missing of the chunk being read
        self._behind_chunk = 0  # 2 if the line break that ends a chunk comes first
        self._in_trailer = False
        self._error: HTTPException | None = None

    @property
    def broken(self) -> bool:
        """Whether the framing broke, so that waiting for more is of no use."""
        return self._error is not None

    def feed(self, data: bytes) -> bytes:
        """Return the bytes that `data` holds of the body."""
        if self._error is not None:
            raise self._error
        parts: list[bytes] = []
        try:
            self._unpack(self._held + data if self._held else data, parts)
        except HTTPException as error:
            self._error = error
            if not parts:
                raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Raise if the body may not end here; a trailer may be missing, as some servers leave it out."""
        if self._error is not None:
            raise self._error
        if not (self.ended or self._in_trailer):
            raise IncompleteRead(b"", self._left or None)

    def _unpack(self, data: bytes, parts: list[bytes]) -> None:
        self._held = b""
        position, end = 0, len(data)
        if self._left:
            parts.append(data[: self._left])
            position = min(self._left, end)
            self._left -= position
        while position < end and not self._in_trailer:
            newline = data.find(b"\n", position + self._behind_chunk)
            if newline < 0:
                self._hold(data[position:])
                return
            line = data[position:newline]
            if self._behind_chunk and line[:1] not in _BREAKS:
                raise IncompleteRead(b"")
            size = _size(line)
            position = newline + 1
            if size:
                parts.append(data[position : position + size])
                position += size
                self._behind_chunk = 2
            else:
                self._in_trailer = True
        if position > end:
            self._left = position - end
        elif self._in_trailer:
            self._skip_trailer(data, position)

    def _skip_trailer(self, data: bytes, position: int) -> None:
        while not self.ended:
            newline = data.find(b"\n", position)
            if newline < 0:
                self._hold(data[position:])
                return
            self.ended = not data[position:newline].strip()
            position = newline + 1
        self.surplus = self.surplus or position < len(data)

    def _hold(self, line: bytes) -> None:
        if len(line) > _MAX_LINE:
            raise LineTooLong("chunk size")
        self._held = line


def _size(line: bytes) -> int:
    # The line break behind the chunk before is blank, too. Extensions mean nothing.
    digits = (line if b";" not in line else line.partition(b";")[0]).strip()
    try:
        # Python also reads a sign, an underscore and 0x.
        if digits.isalnum() and digits[1:2] not in _X and len(digits.lstrip(b"0")) <= _MAX_DIGITS:
            return int(digits, 16)
    except ValueError:
        pass
    raise IncompleteRead(b"")
