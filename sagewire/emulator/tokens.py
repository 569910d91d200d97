"""A tokenizer that needs no vocabulary: words of at most eight letters, numbers of at most three digits.

The pieces of a text always join to the text again. Characters outside the Latin alphabets are single tokens, so
streams of other scripts and of emoji are cut where real tokenizers cut them: often.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["TokenPrompt", "count", "logprob", "pieces", "texts_of", "token_id"]

_PIECE = re.compile(r"[ \n]?(?:[A-Za-z\u00c0-\u024f]{1,8}|[0-9]{1,3}|[^\sA-Za-z\u00c0-\u024f0-9])|\s")
VOCABULARY = 128_000


class TokenPrompt(str):
    """A text that was given as token numbers, for which there are stand-ins only: no vocabulary leads back to text.

    Args:
        numbers: The numbers of the tokens.
    """

    __slots__ = ("numbers",)
    numbers: tuple[int, ...]

    def __new__(cls, numbers: Iterable[int]) -> TokenPrompt:
        """Return the text."""
        numbers = tuple(numbers)
        self = super().__new__(cls, "".join(f" <{number}>" for number in numbers))
        self.numbers = numbers
        return self


def texts_of(given: Any) -> Iterator[str]:
    """Yield the texts of a request's field: one or several, as strings or as arrays of token numbers.

    Raises:
        ValueError: It holds something else.
    """
    if isinstance(given, str):
        yield given
    elif not isinstance(given, list) or not given:
        raise ValueError(f"neither text nor tokens: {given!r:.40}")
    elif all(type(item) is int and item >= 0 for item in given):
        yield TokenPrompt(given)
    else:
        for item in given:
            if isinstance(item, list) and not all(type(number) is int for number in item):
                raise ValueError(f"neither text nor tokens: {item!r:.40}")
            yield from texts_of(item)


def pieces(text: str) -> list[str]:
    """Cut a text into tokens.

    Example:
        >>> pieces("The answer is 42.")
        ['The', ' answer', ' is', ' 42', '.']
        >>> pieces(TokenPrompt([7, 42]))
        [' <7>', ' <42>']
    """
    if isinstance(text, TokenPrompt):
        return [f" <{number}>" for number in text.numbers]
    return _PIECE.findall(text)


def count(text: str) -> int:
    """Return how many tokens a text has."""
    return len(pieces(text))


def token_id(piece: str) -> int:
    """Return the id of a token: the same in every run."""
    return zlib.crc32(piece.encode("utf-8", "surrogatepass")) % VOCABULARY


def logprob(piece: str) -> float:
    """Return a log probability for a token: made up, the same in every run, never positive."""
    return -round(token_id(piece) % 997 / 500, 4)
