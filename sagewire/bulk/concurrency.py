"""How many calls to have in flight: as many as the endpoint works off, found from its throughput, latency and refusals.

The number grows while more of it brings more answers (doubling at first, then by steps), and is cut when the endpoint
refuses calls, or when answers only take longer: additive increase, multiplicative decrease.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Call", "ConcurrencyController"]

START = 8
# How much of the concurrency is kept after a refusal; TCP halves, queues at an endpoint empty faster than the net's.
AFTER_REFUSAL = 0.7
AFTER_DELAY = 0.85
# More answers per second by less than this is noise.
GAIN = 1.05
# Answers that take this many times as long as the quickest round's say that calls wait in a queue.
DELAYED = 2.0
UNDELAYED = 1.25


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is under way."""

    started: float
    round: int


class ConcurrencyController:
    """Lets calls begin, and learns from how they end. For one event loop.

    Args:
        fixed: Always this many in flight; `None` adapts.
        most: The most to try.
        start: How many to begin with.
        clock: Seconds.
    """

    def __init__(
        self,
        fixed: int | None = None,
        *,
        most: int = 256,
        start: int = START,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._adapts = fixed is None
        self._limit = float(fixed if fixed is not None else min(start, most))
        self._most = most
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._doubling = True
        self._quickest: float | None = None
        self._best = 0.0
        self._round = 0
        self._peak = 0
        self.in_flight = 0
        self.calls = 0
        self.refused = 0
        self._begin_round()

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return max(1, int(self._limit))

    async def enter(self) -> Call:
        """Wait until a call may begin."""
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
        else:
            # Whoever lets a call in counts it, so that no place is given away twice.
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._give_back()
                raise
        try:
            while (delay := self._paused_until - self._clock()) > 0:  # noqa: ASYNC110 - other calls move the end
                await asyncio.sleep(delay)
        except asyncio.CancelledError:
            self._give_back()
            raise
        self.calls += 1
        self._peak = max(self._peak, self.in_flight)
        return Call(self._clock(), self._round)

    def leave(
        self,
        call: Call,
        *,
        refused: bool = False,
        failed: bool = False,
        retry_after: float | None = None,
        made: bool = True,
    ) -> None:
        """A call ended.

        Args:
            call: Which one.
            refused: The endpoint said that it had too much to do.
            failed: It ended in another error, which says nothing about capacity.
            retry_after: Seconds the endpoint asked to wait.
            made: Whether the call was made at all.
        """
        self.calls -= not made
        if refused:
            self.refused += 1
            if retry_after:
                self._paused_until = max(self._paused_until, self._clock() + min(retry_after, 60.0))
            # One refusal of a round speaks for all of them.
            if self._adapts and call.round == self._round:
                self._cut(AFTER_REFUSAL)
        elif self._adapts and not failed and call.round == self._round:
            self._answered += 1
            self._latency += self._clock() - call.started
            if self._answered >= max(8, 2 * self.limit):
                self._judge()
        self._give_back()

    def _give_back(self) -> None:
        self.in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    def _begin_round(self) -> None:
        self._round += 1
        self._began = self._clock()
        self._answered = 0
        self._latency = 0.0
        self._peak = self.in_flight

    def _cut(self, factor: float) -> None:
        self._doubling = False
        self._limit = max(1.0, self._limit * factor)
        # What was reached at the old number is no measure for the new one.
        self._best = 0.0
        self._begin_round()

    def _judge(self) -> None:
        elapsed = max(self._clock() - self._began, 1e-9)
        rate, latency = self._answered / elapsed, self._latency / self._answered
        self._quickest = latency if self._quickest is None else min(self._quickest, latency)
        if self._peak < self.limit:
            # The input or the disk is what is slow.
            self._begin_round()
            return
        if rate >= self._best * GAIN:
            self._best = rate
            step = self._limit if self._doubling else max(1.0, self._limit * 0.05)
            self._limit = min(float(self._most), self._limit + step)
        elif latency > self._quickest * DELAYED and self._limit > 1:
            self._cut(AFTER_DELAY)
            return
        elif latency <= self._quickest * UNDELAYED:
            # Nothing waits, so the answers of this round were merely fewer by chance.
            self._doubling = False
            self._limit = min(float(self._most), self._limit + max(1.0, self._limit * 0.1))
        else:
            self._doubling = False
            # The endpoint may get faster again, or more replicas: old records fade.
            self._best *= 0.97
        self._begin_round()
