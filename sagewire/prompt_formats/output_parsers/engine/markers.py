"""Finding marker strings in text of which the end is not known yet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["Beginnings", "Markers"]


class Beginnings:
    """Recognises text that ends with the beginning, but not the whole, of one of the tokens."""

    __slots__ = ("_beginnings", "_first", "_longest")

    def __init__(self, tokens: Iterable[str]) -> None:
        tokens = tuple(tokens)
        firsts = "".join(re.escape(character) for character in sorted({token[0] for token in tokens if token[1:]}))
        self._first = re.compile(f"[{firsts}]" if firsts else r"(?!)")
        self._beginnings = frozenset(token[:end] for token in tokens for end in range(1, len(token)))
        self._longest = max(map(len, tokens), default=0)

    def find(self, text: str, start: int) -> int:
        """Return where such a beginning begins, at or after `start`, or the length of the text."""
        start = max(start, len(text) - self._longest + 1)
        while found := self._first.search(text, start):
            start = found.start()
            if text[start:] in self._beginnings:
                return start
            start += 1
        return len(text)


@lru_cache(maxsize=256)
def _compile(tokens: tuple[str, ...]) -> tuple[re.Pattern[str], Beginnings]:
    for token in tokens:
        for other in tokens:
            if token is not other and other.startswith(token):
                raise ValueError(f"the marker {other!r} begins with the marker {token!r}")
    return re.compile("|".join(map(re.escape, tokens)) or r"(?!)"), Beginnings(tokens)


class Markers:
    """A set of strings to look for; text that may become one of them is recognised too.

    Args:
        tokens: The strings. None may begin with another one: which of the two is meant would depend on how the text
            was cut.

    Example:
        >>> markers = Markers(["<think>", "</think>"])
        >>> markers.find("so <think>", 0)
        (3, '<think>')
        >>> markers.certain_end("so </th", 0)
        3
    """

    __slots__ = ("_begun", "_whole")

    def __init__(self, tokens: Iterable[str]) -> None:
        self._whole, self._begun = _compile(tuple(dict.fromkeys(token for token in tokens if token)))

    def find(self, text: str, start: int) -> tuple[int, str] | None:
        """Return where the first marker begins, and which it is."""
        found = self._whole.search(text, start)
        return None if found is None else (found.start(), found[0])

    def certain_end(self, text: str, start: int) -> int:
        """Return where the text ends that cannot be part of a marker, if `find` found none from `start` on."""
        return self._begun.find(text, start)
