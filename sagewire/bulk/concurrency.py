"""How many calls to have in flight, found from the endpoint's throughput and refusals.

The number doubles while that brings more answers per second. From then on a larger and a smaller number are tried in
turn, each between two rounds of the current one, so that rows that get longer or shorter on the way are not mistaken
for an endpoint that gets slower or faster. Latency does not measure it: longer rows take longer without any queue.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["Call", "ConcurrencyController"]

START = 8
# How much of the concurrency is kept after a refusal: while it still doubles, and later.
AFTER_FIRST_REFUSAL = 0.7
AFTER_REFUSAL = 0.85
# Twice the calls have to bring so many times the answers for the doubling to go on.
DOUBLING_GAIN = 1.3
# More or fewer answers per second by less than this are noise.
NOISE = 0.04
# By how much a trial differs from the current number, and how little after trials that were refused.
STEP_UP = 0.5
STEP_DOWN = 0.2
SMALLEST_STEP = 0.04
# A trial that has failed is repeated after twice as many rounds, but never after more than these.
LONGEST_PAUSE = 16
# Answers that make a round, at least.
ROUND = 16


@dataclass(frozen=True, slots=True)
class Call:
    """A call in flight."""

    started: float
    round: int


class _Phase(Enum):
    DOUBLING = auto()
    BASE = auto()
    TRIAL = auto()


class _Trials:
    """The schedule of trials with a larger (or smaller) number, and their size.

    Args:
        direction: 1 for larger, -1 for smaller.
    """

    def __init__(self, direction: int) -> None:
        self._direction = direction
        self._largest = self._step = STEP_UP if direction > 0 else STEP_DOWN
        self._pause = 1
        self._left = 1

    def due(self) -> bool:
        """Count a round; return whether it is time for a trial."""
        self._left -= 1
        return self._left <= 0

    def number(self, base: float) -> float:
        """Return the number to try."""
        return base + self._direction * max(1.0, base * self._step)

    def succeeded(self) -> None:
        self._pause = self._left = 1
        self._step = min(self._largest, self._step * 2)

    def failed(self, *, refused: bool = False) -> None:
        self._pause = self._left = min(LONGEST_PAUSE, self._pause * 2)
        if refused:
            # The limit is near.
            self._step = max(SMALLEST_STEP, self._step / 2)


class ConcurrencyController:
    """The number of calls in flight, learned from how calls end. For one event loop.

    A call that the endpoint has refused can keep its place until the caller releases it: the endpoint asked for a
    pause, and another call in its place would be refused as well.

    Args:
        fixed: Always this many in flight; `None` adapts.
        most: The largest number to try.
        start: The number to begin with.
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
        self._limit = self._base = float(fixed if fixed is not None else min(start, most))
        self._most = float(most)
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._phase = _Phase.DOUBLING
        self._up, self._down = _Trials(1), _Trials(-1)
        self._trial = self._up
        # Answers per second at the current number before the trial, and in the trial.
        self._before: float | None = None
        self._tried: float | None = None
        self._round = 0
        self._peak = 0
        self.in_flight = 0
        self.calls = 0
        self.refused = 0
        self._begin_round(self._limit)

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return max(1, int(self._limit))

    async def enter(self) -> Call:
        """Wait until a call may begin."""
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
        else:
            # A call is counted when it is let in, so that no place is given away twice.
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.release()
                raise
        self.calls += 1
        self._peak = max(self._peak, self.in_flight)
        return Call(self._clock(), self._round)

    def leave(
        self, call: Call, *, refused: bool = False, failed: bool = False, made: bool = True, keep: bool = False
    ) -> bool:
        """Count the end of a call; return whether it keeps its place, which `release` then gives back.

        Args:
            call: Which one.
            refused: The endpoint said that it had too much to do.
            failed: It ended in another error, which says nothing about capacity.
            made: Whether the call was made at all.
            keep: Let a refused call keep its place, unless a smaller number has made up for it.
        """
        self.calls -= not made
        if refused:
            self.refused += 1
            # One refusal of a round counts for all of them.
            if self._adapts and call.round == self._round:
                keep = keep and not self._tries_more
                self._back_off()
            else:
                keep = keep and not self._adapts
        else:
            keep = False
            if self._adapts and not failed:
                self._count(self._clock())
        if not keep:
            self.release()
        return keep

    def release(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    @property
    def _tries_more(self) -> bool:
        return self._phase is _Phase.TRIAL and self._trial is self._up

    def _begin_round(self, limit: float) -> None:
        self._limit = min(self._most, max(1.0, limit))
        self._round += 1
        # Answers to calls that began at the old number do not measure this one.
        self._ignored = self.in_flight
        self._wanted = max(ROUND, self.limit // 2) if self._phase is _Phase.DOUBLING else max(ROUND, 2 * self.limit)
        self._answered = 0
        self._began = self._clock()
        self._peak = self.in_flight

    def _count(self, now: float) -> None:
        if self._ignored > 0:
            self._ignored -= 1
            self._began = now
            return
        self._answered += 1
        if self._answered < self._wanted:
            return
        if self._peak < self.limit:
            # The input or the disk is what is slow; the number says nothing.
            self._begin_round(self._limit)
            return
        self._judge(self._answered / max(now - self._began, 1e-9))

    def _judge(self, rate: float) -> None:
        if self._phase is _Phase.DOUBLING:
            self._double(rate)
        elif self._phase is _Phase.TRIAL:
            self._tried = rate
            self._phase = _Phase.BASE
            self._begin_round(self._base)
        else:
            self._compare(rate)

    def _double(self, rate: float) -> None:
        before, self._before = self._before, rate
        if before is not None and rate < before * DOUBLING_GAIN:
            self._phase = _Phase.BASE
            # Less than noise more: the half was enough.
            self._base = self._limit / 2 if rate < before * (1 + NOISE) else self._limit
            self._before = None
            self._begin_round(self._base)
            return
        self._base = self._limit
        if self._limit >= self._most:
            self._phase = _Phase.BASE
        self._begin_round(self._limit * 2)

    def _compare(self, rate: float) -> None:
        """Judge a trial by the rounds before and after it, and begin the next one when it is due."""
        before, tried = self._before, self._tried
        self._before, self._tried = rate, None
        if tried is not None and before is not None:
            # In a trend, the trial in the middle is compared with the middle of both.
            usual = math.sqrt(before * rate)
            better = tried > usual * (1 + NOISE) if self._trial is self._up else tried > usual * (1 - NOISE)
            if better:
                self._base = self._trial.number(self._base)
                self._base = min(self._most, max(1.0, self._base))
                self._trial.succeeded()
                self._before = None
            else:
                self._trial.failed()
        if self._before is not None and self._next_trial():
            self._phase = _Phase.TRIAL
            self._begin_round(self._trial.number(self._base))
        else:
            self._begin_round(self._base)

    def _next_trial(self) -> bool:
        order = (self._down, self._up) if self._trial is self._up else (self._up, self._down)
        for trial in order:
            possible = self._base < self._most if trial is self._up else self._base > 1
            if possible and trial.due():
                self._trial = trial
                return True
        return False

    def _back_off(self) -> None:
        if self._tries_more:
            self._up.failed(refused=True)
        elif self._phase is _Phase.DOUBLING:
            self._base = self._limit * AFTER_FIRST_REFUSAL
        else:
            self._base = self._limit * AFTER_REFUSAL
        self._phase = _Phase.BASE
        self._before = self._tried = None
        self._begin_round(self._base)
