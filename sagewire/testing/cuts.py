"""Cutting bytes as a connection may, and collecting what comes of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

from sagewire.errors import SagewireError

__all__ = ["chop", "drain"]

T = TypeVar("T")


def chop(data: bytes, *, random_cuts: int = 8, seed: int = 0) -> Iterator[list[bytes]]:
    """Yield the ways in which a connection may cut a byte string: whole, with empty pieces, byte by byte, at random.

    Args:
        data: The bytes to cut.
        random_cuts: How many random cuts, from many small pieces to a few large ones.
        seed: Makes the random cuts repeatable.

    Example:
        >>> [len(pieces) for pieces in chop(b"abcd", random_cuts=0)]
        [1, 3, 4]
    """
    yield [data]
    yield [b"", data, b""]
    yield [data[i : i + 1] for i in range(len(data))]
    rng = random.Random(seed)
    for number in range(random_cuts):
        longest = max(2, len(data) >> number)
        pieces, position = [], 0
        while position < len(data):
            end = position + rng.randint(1, longest)
            pieces.append(data[position:end])
            position = end
        yield pieces


def drain(values: Iterable[T]) -> tuple[list[T], SagewireError | None]:
    """Return the values up to the error that ends them, and that error.

    Example:
        >>> from sagewire.streaming import JsonEventDecoder, decode
        >>> drain(decode(JsonEventDecoder(), [b'{"a": 1}{"b']))  # doctest: +ELLIPSIS
        ([{'a': 1}], StreamTruncated(...))
    """
    taken: list[T] = []
    try:
        # The loop keeps what came before the error.
        for value in values:
            taken.append(value)  # noqa: PERF402
    except SagewireError as error:
        return taken, error
    return taken, None
