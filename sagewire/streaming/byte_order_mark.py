"""The byte order mark that some servers put in front of UTF-8, skipped once for all decoders."""

from __future__ import annotations

__all__ = ["ByteOrderMark"]

_MARK = b"\xef\xbb\xbf"


class ByteOrderMark:
    r"""Skips a byte order mark at the start of a stream that may be cut anywhere.

    Attributes:
        held_back: The first bytes as long as they may be part of a mark.
        passed: Whether the start of the stream is over; later data need not be given to `skip`.

    Example:
        >>> mark = ByteOrderMark()
        >>> mark.skip(b"\xef\xbb"), mark.skip(b"\xbf{}"), mark.passed
        (b'', b'{}', True)
    """

    def __init__(self) -> None:
        self.held_back = b""
        self.passed = False

    def skip(self, data: bytes) -> bytes:
        """Return the data without the mark, together with bytes held back; empty if they are too few to tell."""
        data = self.held_back + data
        if len(data) < len(_MARK) and _MARK.startswith(data):
            self.held_back = data
            return b""
        self.held_back = b""
        self.passed = True
        return data.removeprefix(_MARK)
