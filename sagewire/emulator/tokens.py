"""A tokenizer that needs no vocabulary: words of at most eight letters, numbers of at most three digits.

The pieces of a text always join to the text again. Characters outside the Latin alphabets are single tokens, so
streams of other scripts and of emoji are cut where real tokenizers cut them: often.
"""

from __future__ import annotations

import re
import zlib

__all__ = ["count", "logprob", "pieces", "token_id"]

_PIECE = re.compile(r"[ \n]?(?:[A-Za-z\u00c0-\u024f]{1,8}|[0-9]{1,3}|[^\sA-Za-z\u00c0-\u024f0-9])|\s")
VOCABULARY = 128_000


def pieces(text: str) -> list[str]:
    """Cut a text into tokens.

    Example:
        >>> pieces("The answer is 42.")
        ['The', ' answer', ' is', ' 42', '.']
    """
    return _PIECE.findall(text)


def count(text: str) -> int:
    """Return how many tokens a text has."""
    return len(_PIECE.findall(text))


def token_id(piece: str) -> int:
    """Return the id of a token: the same in every run."""
    return zlib.crc32(piece.encode("utf-8", "surrogatepass")) % VOCABULARY


def logprob(piece: str) -> float:
    """Return a log probability for a token: made up, the same in every run, never positive."""
    return -round(token_id(piece) % 997 / 500, 4)
