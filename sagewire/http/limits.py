"""How much of an answer is read: no server decides how much memory its callers use."""

from __future__ import annotations

from collections.abc import Iterator

from sagewire.errors import ResponseTooLarge, UsageError

__all__ = [
    "ERROR_BODY_BYTES",
    "ERROR_BODY_SECONDS",
    "MAX_RESPONSE_BYTES",
    "checked",
    "checked_limit",
    "response_too_large",
]

MAX_RESPONSE_BYTES = 256 << 20
"""The default limit of an answer's body, unpacked; embeddings of large batches take tens of megabytes."""

# The words of an error fit into this; the rest is not read.
ERROR_BODY_BYTES = 1 << 20
ERROR_BODY_SECONDS = 10.0


def checked(pieces: Iterator[bytes], limit: int, where: str) -> Iterator[bytes]:
    """Yield the pieces of a body until they are longer than `limit`; raise `ResponseTooLarge` then."""
    left = limit
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise response_too_large(limit, where)
        yield piece


def response_too_large(limit: int, where: str) -> ResponseTooLarge:
    """Return the error for an answer that is longer than `limit` bytes."""
    return ResponseTooLarge(
        f"the answer of {where} is longer than {limit:,} bytes; raise max_response_bytes if it should be"
    )


def checked_limit(limit: int | None) -> int:
    """Return a caller's limit, or the default if it is `None`.

    Raises:
        UsageError: It is not a positive whole number.
    """
    if limit is None:
        return MAX_RESPONSE_BYTES
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise UsageError(f"max_response_bytes={limit!r} must be a positive number of bytes")
    return limit
