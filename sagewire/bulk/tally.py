"""Counting: rows, errors and tokens of a run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from sagewire.bulk.rows import Record

__all__ = ["Tally"]

# Kinds of errors kept apart; the rest is "other".
_MOST_KINDS = 50


class Tally:
    """What a run has done so far.

    Args:
        guess: Tokens a call is thought to cost before any was made.

    Attributes:
        total: Rows there are, about; `None` where that is not known.
        rows: Rows done, by earlier runs too.
        done_before: Rows done by earlier runs.
        failed_before: How many of those failed.
        failed: Rows of this run that failed.
        malformed: Rows of this run that could not be read.
        reused: Rows of this run with an equal row's answer.
        answers: Calls that were answered.
        concurrency: Calls in flight allowed now.
    """

    def __init__(self, guess: float = 256.0) -> None:
        self._guess = guess
        self.total: int | None = None
        self.started = time.monotonic()
        self.rows = self.done_before = self.failed_before = 0
        self.failed = self.malformed = self.reused = self.answers = self.concurrency = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.errors: Counter[str] = Counter()

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    @property
    def tokens(self) -> int:
        """Tokens spent in this run."""
        return self.prompt_tokens + self.completion_tokens

    def before(self, record: Record) -> None:
        """Count a row that an earlier run has done."""
        self.rows += 1
        self.done_before += 1
        self.failed_before += record.answer.error is not None

    def answered(self, records: Sequence[Record]) -> None:
        """Count a call's answer, whether or not it gets to the disk: it was paid for."""
        self.answers += 1
        for record in records:
            self.prompt_tokens += record.spent[0]
            self.completion_tokens += record.spent[1]

    def done(self, record: Record) -> None:
        """Count a row that is on disk."""
        self.rows += 1
        error = record.answer.error
        if error is not None:
            self.failed += 1
            kind = error[:120]
            self.errors[kind if kind in self.errors or len(self.errors) < _MOST_KINDS else "other"] += 1

    def affords(self, budget: int | None, in_flight: int) -> bool:
        """Return whether one more call fits into a budget, those in flight taken at the average so far."""
        if budget is None:
            return True
        each = self.tokens / self.answers if self.answers else self._guess
        return self.tokens + (in_flight + 1) * each <= budget or (not self.answers and not in_flight)
