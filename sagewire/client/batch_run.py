"""Many batches at once: which ones to send now, and how each answer changes that. Pure; the clients wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from sagewire.client.batching import Batch, BatchJob, split_batch
from sagewire.errors import EndpointError, SagewireError, Throttled, UsageError
from sagewire.transports.base import Body
from sagewire.types import Invocation

__all__ = ["MAX_CONCURRENCY", "BatchRun", "Progress"]

T = TypeVar("T")
E = TypeVar("E", bound=SagewireError)
Progress = Callable[[int, int], None]
"""A function that is given how many texts are done, and how many there are."""

MAX_CONCURRENCY = 16
_MAX_REFUSALS = 6
_LONGEST_PAUSE = 20.0


class BatchRun(Generic[T]):
    """The run of a job with several batches in flight.

    A server that refuses calls because they are too many gets half as many from then on, and one more again for each
    round that goes well, as in bulk jobs.

    Args:
        work: The job.
        max_concurrency: Batches in flight at most; `None` for 16.
        progress: Called after each finished batch.
        spent: Seconds that looking up the container took: part of the limit on a whole call, for those that begin with
            it.

    Raises:
        UsageError: `max_concurrency` is not a positive whole number.
    """

    def __init__(
        self,
        work: BatchJob[T],
        max_concurrency: int | None = None,
        progress: Progress | None = None,
        spent: float = 0.0,
    ) -> None:
        most = MAX_CONCURRENCY if max_concurrency is None else max_concurrency
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise UsageError(f"max_concurrency={max_concurrency!r} must be a positive whole number")
        self.work = work
        self._most = most
        self._limit = float(most)
        self._waiting = deque(work.batches())
        self._total = sum(len(texts) for _, texts in self._waiting)
        self._parts: list[tuple[Batch, T]] = []
        self._done = 0
        self._in_flight = 0
        self._texts_in_flight = 0
        self._refusals = 0
        self._resume_at = 0.0
        self._progress = progress
        self._spent = spent

    def invocation(self, batch: Batch) -> Invocation:
        """Return the request for a batch."""
        call = self.work.invocation(batch)
        return replace(call, spent=self._spent) if self._spent and not self._parts else call

    @property
    def workers(self) -> int:
        """How many batches can be in flight."""
        return max(min(self._most, len(self._waiting)), 1)

    @property
    def over(self) -> bool:
        """Whether every batch has been answered."""
        return not self._waiting and not self._in_flight

    @property
    def pause(self) -> float | None:
        """The seconds until more may be sent, `None` if that depends on the batches in flight."""
        if not self._waiting or self._in_flight >= int(self._limit):
            return None
        return max(self._resume_at - time.monotonic(), 0.0)

    def start(self) -> list[Batch]:
        """Return the batches to send now."""
        started: list[Batch] = []
        while self._waiting and self._in_flight < int(self._limit) and time.monotonic() >= self._resume_at:
            started.append(self._waiting.popleft())
            self._in_flight += 1
            self._texts_in_flight += len(started[-1][1])
        return started

    def answered(self, batch: Batch, body: Body) -> None:
        """Take the answer to a batch; raise `WireError`."""
        self._texts_in_flight -= len(batch[1])
        try:
            self._parts.append((batch, self.work.read(batch, body)))
        except SagewireError as error:
            self._with_counts(error)
            raise
        self._in_flight -= 1
        self._refusals = 0
        self._limit = min(self._limit + 1 / self._limit, float(self._most))
        self._done += len(batch[1])
        if self._progress is not None:
            self._progress(self._done, self._total)

    def refused(self, batch: Batch, error: EndpointError) -> None:
        """Take a refusal of a batch: it is halved or sent again later; raise the error if neither helps."""
        self._in_flight -= 1
        self._texts_in_flight -= len(batch[1])
        halves = split_batch(batch, error)
        if halves is not None:
            self._waiting.extendleft(reversed(halves))
            return
        self._refusals += 1
        alone = self._most == 1 or (self._in_flight == 0 and self._limit <= 1)
        if not isinstance(error, Throttled) or alone or self._refusals >= _MAX_REFUSALS * self._most:
            self.work.explain(batch, error)
            raise self._with_counts(error)
        self._limit = max(self._limit / 2, 1.0)
        pause = error.retry_after or min(0.1 * 2.0 ** min(self._refusals, 30), _LONGEST_PAUSE)
        self._resume_at = time.monotonic() + min(pause, _LONGEST_PAUSE)
        self._waiting.appendleft(batch)

    def _with_counts(self, error: E) -> E:
        error.texts_answered, error.texts_in_flight = self._done, self._texts_in_flight
        return error

    def result(self) -> T:
        """Return the answer to all batches, in the order of the texts; raise `WireError` if they differ in length."""
        try:
            return self.work.join(sorted(self._parts, key=lambda part: part[0][0]))
        except SagewireError as error:
            self._with_counts(error)
            raise
