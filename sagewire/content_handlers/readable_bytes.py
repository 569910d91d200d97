"""Bytes that look like the stream boto3 hands to a user's handler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

__all__ = ["ReadableBytes", "WholeBody"]

# Of boto3's `StreamingBody`.
_PIECE = 1024


class ReadableBytes(bytes):
    """Bytes that can also be read like the `StreamingBody` of boto3.

    langchain-aws gives a handler's `transform_output` a stream for a whole answer and bytes for a streamed line;
    users' handlers call `.read()` on the first, `.decode()` on the second, or both. This takes either.

    Example:
        >>> body = ReadableBytes(b'{"a": 1}')
        >>> body.read(), body.decode()
        (b'{"a": 1}', '{"a": 1}')
    """

    _position = 0

    def read(self, amt: int | None = None) -> bytes:
        """Return the next `amt` bytes, or all that are left."""
        start = self._position
        end = len(self) if amt is None or amt < 0 else min(len(self), start + amt)
        self._position = max(start, end)
        return bytes(self[start:end])

    def readline(self) -> bytes:
        """Return the bytes up to and including the next line break."""
        newline = self.find(b"\n", self._position)
        return self.read((newline + 1 if newline >= 0 else len(self)) - self._position)

    def iter_lines(self, chunk_size: int = 1024, keepends: bool = False) -> Iterator[bytes]:
        """Yield the remaining lines; `chunk_size` exists as in boto3 and has no effect."""
        yield from self.read().splitlines(keepends)

    def iter_chunks(self, chunk_size: int = _PIECE) -> Iterator[bytes]:
        """Yield the rest in pieces of `chunk_size` bytes."""
        while chunk := self.read(chunk_size):
            yield chunk

    def readlines(self) -> list[bytes]:
        """Return the remaining lines, with their line breaks."""
        return self.read().splitlines(keepends=True)

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer` what fits, and return how much that was."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._position

    def readable(self) -> bool:
        """Return `True`, as streams do."""
        return True

    def writable(self) -> bool:
        """Return `False`."""
        return False

    def seekable(self) -> bool:
        """Return `False`, as boto3's streams do."""
        return False

    @property
    def closed(self) -> bool:
        """Always false: these bytes do not come from a connection."""
        return False

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: these bytes do not come from a connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class WholeBody(ReadableBytes):
    """The body of a whole answer: like boto3's stream, and unlike a line, it is gone through in pieces of bytes."""

    def __iter__(self) -> Iterator[bytes]:  # type: ignore[override]  # a stream's pieces, not a byte string's numbers
        yield from self.iter_chunks()

    def __next__(self) -> bytes:
        piece = self.read(_PIECE)
        if not piece:
            raise StopIteration
        return piece
