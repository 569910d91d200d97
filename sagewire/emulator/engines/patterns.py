"""The shortest text that matches a regular expression, for grammars that are one."""

from __future__ import annotations

import re

from sagewire.emulator.engines.base import EngineFailure

__all__ = ["matching"]


def matching(pattern: str) -> str:
    r"""Return a text that matches the whole pattern.

    Raises:
        EngineFailure: The pattern is wrong, or says something this generator does not know (look-arounds, for one).

    Example:
        >>> matching(r"(yes|no): \d{3}")
        'yes: 000'
    """
    try:
        text = _Generator(pattern).alternatives()
        if re.fullmatch(pattern, text):
            return text
    except (re.error, IndexError, ValueError):
        pass
    raise EngineFailure(f"the grammar's pattern {pattern!r} is not one this engine can follow", 400)


class _Generator:
    """A recursive descent over the pattern that writes as it reads."""

    _CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": " ", "S": "a", "n": "\n", "t": "\t", "r": "\r"}  # noqa: RUF012

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> str:
        first = self._sequence()
        while self._peek() == "|":
            self._at += 1
            self._sequence()
        return first

    def _peek(self) -> str:
        return self._pattern[self._at] if self._at < len(self._pattern) else ""

    def _take(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def _sequence(self) -> str:
        out: list[str] = []
        while self._peek() not in ("", "|", ")"):
            atom = self._atom()
            out.append(atom * self._times())
        return "".join(out)

    def _atom(self) -> str:
        char = self._take()
        if char in "^$":
            return ""
        if char == ".":
            return "a"
        if char == "\\":
            return self._escape()
        if char == "[":
            return self._set()
        if char == "(":
            return self._group()
        return char

    def _escape(self) -> str:
        char = self._take()
        return "" if char in "bBAZ" else self._CLASSES.get(char, char)

    def _group(self) -> str:
        if self._peek() == "?":
            self._at += 1
            kind = self._take()
            if kind == "P":
                self._at = self._pattern.index(">", self._at) + 1
            elif kind != ":":
                raise ValueError(kind)
        inside = self.alternatives()
        if self._take() != ")":
            raise ValueError("unclosed group")
        return inside

    def _set(self) -> str:
        negated = self._peek() == "^"
        start = self._at
        self._at += 1 if negated else 0
        # A bracket that comes first is one of the set's characters.
        self._at += 2 if self._peek() == "\\" else 1
        while self._peek() != "]":
            if not self._peek():
                raise ValueError("unclosed set")
            self._at += 2 if self._peek() == "\\" else 1
        source = self._pattern[start : self._at]
        self._at += 1
        tester = re.compile(f"[{source}]")
        candidates = [chr(code) for code in (*range(97, 123), *range(48, 58), *range(65, 91), *range(32, 127))]
        return next(char for char in candidates if tester.fullmatch(char)) if candidates else ""

    def _times(self) -> int:
        char = self._peek()
        times = 1
        if char in ("*", "?"):
            self._at += 1
            times = 0
        elif char == "+":
            self._at += 1
        elif char == "{" and (bounds := re.compile(r"\{(\d*)(?:,\d*)?\}").match(self._pattern, self._at)):
            self._at = bounds.end()
            times = int(bounds[1] or 0)
        if self._peek() == "?" and char in "*?+{" and char:
            self._at += 1
        return times
