"""Counting: rows, errors and tokens of a run."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sagewire.bulk.job import Job
from sagewire.bulk.rows import Record
from sagewire.bulk.stopping import StopSignal

__all__ = ["LiveProgress", "Progress", "estimated_tokens", "guess_of", "uncounted"]

# English text; other scripts have fewer. Used only if no server has counted.
_CHARACTERS_PER_TOKEN = 4
_REQUEST_ID = re.compile(r" ?\(request id [^)]*\)")
# Kinds of errors kept apart; the rest is "other".
_MOST_KINDS = 50


class Progress:
    """The progress of a run so far.

    Args:
        guess: Tokens a call is thought to cost before any was made.

    Attributes:
        total: Rows there are, about; `None` if unknown.
        rows: Rows done, by earlier runs too.
        done_before: Rows done by earlier runs.
        failed_before: How many of those failed.
        failed: Rows of this run that failed.
        malformed: Rows of this run that could not be read.
        reused: Rows of this run with an equal row's answer.
        answers: Calls that were answered.
        concurrency: Calls in flight allowed now.
        stopping: Why the run is being stopped, if it is: no more calls begin.
        in_flight: Calls that were in flight when it was stopped.
        estimated_tokens: Tokens that the server has not counted.
    """

    def __init__(self, guess: float = 256.0) -> None:
        self._guess = guess
        self.total: int | None = None
        self.started = time.monotonic()
        self.rows = self.done_before = self.failed_before = 0
        self.failed = self.malformed = self.reused = self.answers = self.concurrency = 0
        self.stopping: str | None = None
        self.in_flight = 0
        self.prompt_tokens = self.completion_tokens = self.estimated_tokens = 0
        self.errors: Counter[str] = Counter()

    def __repr__(self) -> str:
        of = f" of {self.total:,}" if self.total else ""
        return f"Progress({self.rows:,}{of} rows, {self.failed:,} failed, {self.tokens:,} tokens)"

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    @property
    def tokens(self) -> int:
        """Tokens spent in this run, as counted or else estimated."""
        return self.prompt_tokens + self.completion_tokens + self.estimated_tokens

    def before(self, record: Record) -> None:
        """Count a row that an earlier run has done."""
        self.rows += 1
        self.done_before += 1
        self.failed_before += record.answer.error is not None

    def answered(self, records: Sequence[Record], requests: Sequence[Any] = ()) -> None:
        """Count a call's answer, whether or not it gets to the disk: it was paid for."""
        self.answers += 1
        self.estimated_tokens += uncounted(requests, records)
        for record in records:
            self.prompt_tokens += record.spent[0]
            self.completion_tokens += record.spent[1]

    def done(self, record: Record) -> None:
        """Count a row that is on disk."""
        self.rows += 1
        error = record.answer.error
        if error is not None:
            self.failed += 1
            # Every answer has another request id.
            kind = _REQUEST_ID.sub("", error)[:120]
            self.errors[kind if kind in self.errors or len(self.errors) < _MOST_KINDS else "other"] += 1

    def affords(self, budget: int | None, in_flight: int) -> bool:
        """Return whether one more call fits into a budget, those in flight taken at the average so far."""
        if budget is None:
            return True
        each = self.tokens / self.answers if self.answers else self._guess
        return self.tokens + (in_flight + 1) * each <= budget or (not self.answers and not in_flight)


class LiveProgress:
    """The progress of workers that are elsewhere, from the counts they send.

    Args:
        before: The counts of earlier runs.
        watch: Called with the progress.
        stop: Stops the job if that raises.

    Attributes:
        progress: The progress so far.
        error: The callback's exception.
    """

    def __init__(self, before: Progress, watch: Callable[[Progress], None] | None, stop: StopSignal) -> None:
        self.progress = Progress()
        self.progress.done_before = before.done_before
        self.progress.failed_before = before.failed_before
        self.error: Exception | None = None
        self._watch = watch
        self._stop = stop

    def show(self, counts: Mapping[str, int]) -> None:
        """Take in the counts of all workers, and show them."""
        progress = self.progress
        progress.rows = progress.done_before + counts.get("rows", 0)
        progress.concurrency = counts.get("in_flight", 0)
        for name in ("failed", "prompt_tokens", "completion_tokens", "estimated_tokens"):
            setattr(progress, name, counts.get(name, 0))
        if self._watch is None or self.error is not None:
            return
        try:
            self._watch(progress)
        except Exception as error:
            self.error = error
            self._stop.set(f"{type(error).__name__}: {error}")


def guess_of(job: Job) -> float:
    """Return the estimated cost of a job's call before the first one, in tokens."""
    return float(job.options.get("max_tokens") or 256)


def estimated_tokens(value: Any) -> int:
    """Return about how many tokens the texts in a value have.

    Example:
        >>> estimated_tokens([{"role": "user", "content": "How do you do?"}])
        4
    """
    if isinstance(value, str):
        return -(-len(value) // _CHARACTERS_PER_TOKEN)
    if isinstance(value, Mapping):
        # The role of a message does not count as text; everything in a tool call may.
        return sum(estimated_tokens(part) for name, part in value.items() if name != "role")
    return sum(map(estimated_tokens, value)) if isinstance(value, list) else 0


def uncounted(requests: Sequence[Any], records: Sequence[Record]) -> int:
    """Return about how many tokens a call's server has not counted, 0 if it has counted.

    Args:
        requests: The requests.
        records: Their answers.
    """
    if not requests or all(record.answer.output is None for record in records):
        # A refused call costs nothing.
        return 0
    found = 0
    if not any(record.spent[0] for record in records):
        found += sum(map(estimated_tokens, requests))
    if not any(record.spent[1] for record in records):
        found += sum(estimated_tokens(record.answer.output) for record in records)
    return found
