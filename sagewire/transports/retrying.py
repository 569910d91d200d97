"""When to try again, and how long to wait first."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

from sagewire._forks import reset_in_child
from sagewire.errors import EndpointError, NotReady, Throttled
from sagewire.http.deadlines import Deadlines
from sagewire.transports.backoff import Backoff
from sagewire.transports.base import Retries
from sagewire.types import Invocation

__all__ = ["RetryBudget", "RetryPolicy"]

T = TypeVar("T")

_log = logging.getLogger("sagewire.transports")


class RetryBudget:
    """The retries that all calls to a server may take together, so that a failing one is not buried under them.

    The defaults are those of the AWS SDKs' standard mode: 500 tokens, 5 for a retry, one earned by a success.

    Args:
        share: The part of a retry that a call earns.
        reserve: The most retries that can be taken in a row.
    """

    def __init__(self, share: float = 0.2, reserve: float = 100.0) -> None:
        self._share = share
        self._most = reserve
        self._left = reserve
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the lock; another thread of the parent may have held it."""
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a retry; return whether there was one left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def earn(self) -> None:
        """Add a call's share."""
        self._add(self._share)

    def succeeded(self, retried: bool) -> None:
        """Pay back: the retry that worked, or the share of a call that needed none."""
        self._add(1 if retried else self._share)

    def _add(self, retries: float) -> None:
        if self._left < self._most:
            with self._lock:
                self._left = min(self._most, self._left + retries)


class RetryPolicy:
    """Runs attempts until one succeeds, its error is final, or patience ends.

    Args:
        retries: How often and how patiently.
        budget: Shared between transports if wanted.
    """

    def __init__(self, retries: Retries, budget: RetryBudget | None = None) -> None:
        self.retries = retries
        self.budget = budget or RetryBudget()

    def run(self, attempt: Callable[[], T], deadlines: Deadlines, call: Invocation) -> tuple[T, int]:
        """Return what `attempt` returns, and how many attempts that took."""
        plan = None
        for number in count(1):
            try:
                result = attempt()
            except EndpointError as error:
                plan = plan or _RetryPlan(self, deadlines, call)
                delay = plan.delay_after(number, error)
                if delay is None:
                    raise
            else:
                self.budget.succeeded(retried=number > 1)
                return result, number
            time.sleep(delay)
        raise AssertionError("the numbers never end")

    async def run_async(
        self, attempt: Callable[[], Awaitable[T]], deadlines: Deadlines, call: Invocation
    ) -> tuple[T, int]:
        """`run`, awaited."""
        plan = None
        for number in count(1):
            try:
                result = await attempt()
            except EndpointError as error:
                plan = plan or _RetryPlan(self, deadlines, call)
                delay = plan.delay_after(number, error)
                if delay is None:
                    raise
            else:
                self.budget.succeeded(retried=number > 1)
                return result, number
            await _sleep(delay)
        raise AssertionError("the numbers never end")


def _sleep(delay: float) -> Awaitable[None]:
    # Sync callers do not wait until asyncio is loaded.
    import asyncio

    return asyncio.sleep(delay)


class _RetryPlan:
    """Decides after each failed attempt of one call whether another follows, and when.

    Waking up an endpoint and trying again are counted apart: a throttle behind a long wait is the first failure.
    """

    def __init__(self, policy: RetryPolicy, deadlines: Deadlines, call: Invocation) -> None:
        self._policy = policy
        self._retries = policy.retries
        self._deadlines = deadlines
        self._call = call
        self._failures = 0
        self._wakings = 0
        self._ready_until: float | None = None

    def delay_after(self, number: int, error: EndpointError) -> float | None:
        """Return the seconds until the next attempt, `None` if it was the last."""
        if not error.retry_safe:
            return None
        delay = self._until_ready(error) if self._wakes(error) else self._until_retry(error)
        if delay is None or not self._in_time(delay):
            return None
        _log.info(
            "%s: attempt %d failed (%s, status %s, request id %s); next in %.2f s",
            self._deadlines.where,
            number,
            error.code or type(error).__name__,
            error.status,
            error.request_id,
            delay,
        )
        if self._retries.on_retry is not None:
            self._retries.on_retry(number, error, delay)
        return delay

    def _wakes(self, error: EndpointError) -> bool:
        return isinstance(error, NotReady) and self._retries.wait_for_ready > 0

    def _until_ready(self, error: EndpointError) -> float | None:
        now = time.monotonic()
        if self._ready_until is None:
            self._ready_until = now + self._retries.wait_for_ready
        left = self._ready_until - now
        if left <= 0:
            return None
        backoff = Backoff(max(self._retries.base_delay, 1.0), self._retries.max_delay, at_least_half=True)
        self._wakings += 1
        return min(backoff.seconds(self._wakings - 1, error.retry_after), left)

    def _until_retry(self, error: EndpointError) -> float | None:
        self._failures += 1
        if self._failures >= self._retries.attempts or not self._may_repeat(error) or not self._policy.budget.take():
            return None
        backoff = Backoff(self._retries.base_delay, self._retries.max_delay)
        return backoff.seconds(self._failures - 1, error.retry_after)

    def _may_repeat(self, error: EndpointError) -> bool:
        # A request that was refused or never arrived was not carried out; any other may have been.
        if isinstance(error, NotReady | Throttled) or error.code in ("connect", "connection"):
            return True
        return self._call.idempotent

    def _in_time(self, delay: float) -> bool:
        deadline = self._deadlines.deadline
        return deadline is None or time.monotonic() + delay < deadline
