"""The bounds and counts of a job whose workers are on many machines, held by one process.

A token budget is lent out: a worker spends no more than it was lent, brings back what is left, and borrows again. So
what all of them spend together stays within the budget, without a question before every call. What a worker that died
had borrowed counts as spent, for it may have been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from sagewire.bulk.job import Bounds

__all__ = ["Leave", "SharedLimits"]

# A loan is for at least this many calls, so that workers need not ask before each.
_CALLS = 8


@dataclass(frozen=True, slots=True)
class Leave:
    """The permissions of a worker.

    Args:
        tokens: How many it may spend; `None` for any number.
        seconds: How long it may begin calls; `None` for as long as it likes.
    """

    tokens: int | None = None
    seconds: float | None = None


class SharedLimits:
    """The counts of all workers of a job. On a cluster it is an actor, which works off one question at a time.

    Args:
        bounds: The bounds of the whole job.
        workers: Names of the workers.
        guess: Tokens a call is thought to cost before any was made.
        clock: Seconds; only differences count, and only this clock does: those of machines differ.
    """

    def __init__(
        self, bounds: Bounds, workers: int, guess: float = 256.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bounds = bounds
        self._workers = workers
        self._guess = guess
        self._clock = clock
        self._started = clock()
        self._failed = 0
        self._joined = 0
        self._stopped: str | None = None
        self._counts: dict[str, dict[str, int]] = {}
        self._lent = self._spent = self._answers = 0

    def join(self) -> int:
        """Count a worker that has started; return how many calls it may have in flight."""
        calls = self._bounds.concurrency or self._bounds.max_concurrency
        # A worker in place of one that has died takes over its share.
        number = self._joined % self._workers
        self._joined += 1
        return max(1, calls // self._workers + (number < calls % self._workers))

    def tell(self, worker: str, counts: dict[str, int]) -> str | None:
        """Take down what a worker has done so far; return why the job stops, if it does."""
        self._counts[worker] = counts
        return self._stopped or self.fail(0) or self.overdue()

    def totals(self) -> dict[str, int]:
        """Return what all workers have done, and how many of them have started."""
        names = dict.fromkeys(name for counts in self._counts.values() for name in counts)
        found = {name: sum(counts.get(name, 0) for counts in self._counts.values()) for name in names}
        return {**found, "workers": min(self._joined, self._workers)}

    def stop(self, reason: str) -> None:
        """Let no worker begin another call."""
        self._stopped = self._stopped or reason

    def borrow(self) -> Leave | str:
        """Return what a worker may do next, or why the job stops."""
        if (reason := self._stopped or self.fail(0)) is not None:
            return reason
        seconds, budget = self._seconds(), self._bounds.budget_tokens
        if (reason := self.overdue()) is not None:
            return reason
        if budget is None:
            return Leave(None, seconds)
        each = self._spent / self._answers if self._answers else self._guess
        left = budget - self._spent - self._lent
        if left < each and (self._answers or self._lent):
            return self._bounds.reason("budget_tokens")
        tokens = max(1, min(left, max(math.ceil(_CALLS * each), left // (2 * self._workers))))
        self._lent += tokens
        return Leave(tokens, seconds)

    def bring_back(self, leave: Leave, spent: int, answers: int) -> None:
        """Take back what a worker has not spent.

        Args:
            leave: Its share.
            spent: Tokens it has spent.
            answers: Calls that were answered for them.
        """
        self._lent -= leave.tokens or 0
        self._spent += spent
        self._answers += answers

    def overdue(self) -> str | None:
        """Return why the job stops if its time is over."""
        left = self._seconds()
        return self._bounds.reason("deadline") if left is not None and left <= 0 else None

    def fail(self, rows: int) -> str | None:
        """Count rows that have failed; return why the job stops, if it does.

        Rows that a worker had failed before it died count again when another worker does them again.
        """
        self._failed += rows
        limit = self._bounds.max_errors
        return self._bounds.reason("max_errors") if limit is not None and self._failed > limit else None

    def _seconds(self) -> float | None:
        deadline = self._bounds.deadline
        return None if deadline is None else deadline - (self._clock() - self._started)
