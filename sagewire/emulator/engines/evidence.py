"""Finding values in what a user said: numbers, quotations, names, places."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["Evidence", "words"]

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w]*[A-Za-z])|(?<![\w.])-?\d+(?:\.\d+)?")
_NUMBER_WORDS = {
    word: number
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())  # noqa: SIM905
}
_QUOTED = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)|\"([^\"\n]+)\"|“([^”\n]+)”|「([^」\n]+)」|`([^`\n]+)`")
_NAME = r"[A-Z][\w.'-]*(?:[ ][A-Z][\w.'-]*)*(?:, ?[A-Z][\w'-]*(?:[ ][A-Z][\w'-]*)*)*"
_AFTER_PREPOSITION = re.compile(rf"\b(?:in|at|for|to|from|near|of|on|about|named|called)\s+(?:the\s+)?({_NAME})")
_CAPITALISED = re.compile(rf"(?<![.!?:] )(?<!^)(?<![\w.'-])({_NAME})")
_LOWER_PLACE = re.compile(r"\b(?:in|at|for|near)\s+(?:the\s+)?([a-z][\w-]+)")
_SHAPES = {
    "email": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    "uri": re.compile(r"https?://[^\s'\"<>)]+"),
    "date": re.compile(r"\b\d{4}-\d{2}-\d{2}\b"),
    "date-time": re.compile(r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?"),
    "time": re.compile(r"\b\d{2}:\d{2}(?::\d{2})?\b"),
    "uuid": re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
}
_EXPRESSION = re.compile(r"[\d(][\d\s+\-*/^().%]*[\d)]")
_BARE = re.compile(r"\s*['\"]?([\w\s,.'-]+?)['\"]?\s*[.?!]*\s*")


def words(name: str) -> list[str]:
    """Return the words of an identifier, in lower case.

    Example:
        >>> words("getWeather_at")
        ['get', 'weather', 'at']
    """
    return re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).lower())


class Evidence:
    """The values of a conversation, each used at most once unless nothing else is left.

    Args:
        text: The messages' texts, oldest first.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._quoted = [next(filter(None, found)) for found in _QUOTED.findall(text)]
        self._numbers = [float(number) for number in _NUMBER.findall(_QUOTED.sub(" ", text))] or [
            float(_NUMBER_WORDS[word]) for word in re.findall(r"[a-z]+", text.lower()) if word in _NUMBER_WORDS
        ]
        self._places = [_trim(place) for place in _AFTER_PREPOSITION.findall(text)]
        self._names = [name for name in map(_trim, _CAPITALISED.findall(text)) if name != "I"]
        self._used: set[str] = set()

    @property
    def numbers(self) -> list[float]:
        """The numbers not used yet."""
        return list(self._numbers)

    @property
    def entities(self) -> list[str]:
        """Quotations and names."""
        return [*self._quoted, *self._places, *self._names]

    def mentions(self, name: str) -> bool:
        """Return whether the words of a name occur, and are not refused (`no punchline`)."""
        pattern = r"[\s_-]*".join(map(re.escape, words(name)))
        return bool(pattern) and any(
            not re.search(r"(?i)\b(?:no|not|without|skip|omit)\s+(?:a\s+|any\s+|the\s+)?$", self.text[: match.start()])
            for match in re.finditer(rf"(?i)\b{pattern}", self.text)
        )

    def refuses(self, name: str) -> bool:
        """Return whether the name is refused (`without details`)."""
        pattern = r"[\s_-]*".join(map(re.escape, words(name)))
        return bool(re.search(rf"(?i)\b(?:no|not|without|don't|disable)\s+(?:\w+\s+)?{pattern}", self.text))

    def labelled(self, name: str) -> str | None:
        """Return the value written after a name: `a=3`, `city: Paris`, `the name is Tom`."""
        parts = words(name)
        if not parts:
            return None
        label = r"[\s_-]*".join(map(re.escape, parts))
        match = re.search(rf"(?i)\b{label}\b['\"]?\s*(?:=|:|\bis\b|\bof\b)\s*['\"]?([^'\",;\n?!)]+)", self.text)
        return match[1].strip().rstrip(".") or None if match else None

    def take_number(self, name: str) -> float | None:
        """Return the number that belongs to a name, else the next one."""
        label = self.labelled(name)
        found = _NUMBER.search(label) if label else None
        if found is not None:
            value = float(found[0])
            if value in self._numbers:
                self._numbers.remove(value)
            return value
        return self._numbers.pop(0) if self._numbers else None

    def take_shape(self, kind: str) -> str | None:
        """Return the next text of a JSON schema format."""
        pattern = _SHAPES.get(kind)
        return self._first(pattern.findall(self.text)) if pattern else None

    def take_quotation(self) -> str | None:
        """Return the next quotation."""
        return self._first(self._quoted)

    def take_place(self) -> str | None:
        """Return the next place: a name after a preposition, any name, or a lone word after a preposition."""
        return self._first([*self._places, *self._names, *_LOWER_PLACE.findall(self.text)]) or self.bare()

    def take_name(self) -> str | None:
        """Return the next name."""
        return self._first([*self._names, *self._places])

    def expression(self) -> str | None:
        """Return a calculation, written out."""
        found = [match.strip() for match in _EXPRESSION.findall(self.text)]
        return max(found, key=len, default=None)

    def bare(self) -> str | None:
        """Return the whole text if it is nothing but a value: `London?`."""
        match = _BARE.fullmatch(self.text)
        return match[1] if match and len(match[1].split()) <= 4 else None

    def _first(self, candidates: Iterable[str]) -> str | None:
        for candidate in candidates:
            if candidate and candidate not in self._used:
                self._used.add(candidate)
                return candidate
        return None


def _trim(name: str) -> str:
    return name.rstrip(".'-").removesuffix("'s")
