"""When to try again, and how long to wait first; tenacity drives the attempts."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from sagewire._forks import reset_in_child
from sagewire.errors import EndpointError, NotReady, Throttled
from sagewire.http.deadlines import Deadlines
from sagewire.transports.base import Retries

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["RetryBudget", "RetryPolicy"]

T = TypeVar("T")

_log = logging.getLogger("sagewire.transports")


class RetryBudget:
    """A bucket of tokens shared by all calls of a transport: when a server is down, retries must not be its doom.

    The numbers are those of the AWS SDKs' standard mode: 500 tokens, 5 for a retry, what was paid back on success.
    """

    CAPACITY = 500
    COST = 5

    def __init__(self) -> None:
        self._tokens = self.CAPACITY
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the lock; another thread of the parent may have held it."""
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Pay for a retry; return whether there was enough."""
        with self._lock:
            if self._tokens < self.COST:
                return False
            self._tokens -= self.COST
            return True

    def succeeded(self, retried: bool) -> None:
        """Pay back: the price of the retry that worked, or one token for a call that needed none."""
        if self._tokens < self.CAPACITY:
            with self._lock:
                self._tokens = min(self.CAPACITY, self._tokens + (self.COST if retried else 1))


class RetryPolicy:
    """Runs attempts until one succeeds, its error is final, or patience ends.

    Args:
        retries: How often and how patiently.
        budget: Shared between transports where that is wanted.
    """

    def __init__(self, retries: Retries, budget: RetryBudget | None = None) -> None:
        self.retries = retries
        self.budget = budget or RetryBudget()

    def run(self, attempt: Callable[[int], T], deadlines: Deadlines, idempotent: bool) -> T:
        """Return what `attempt(number)` returns; the first attempt has number 1."""
        try:
            result = attempt(1)
        except EndpointError as error:
            if not self._worth(error, idempotent):
                raise
            return self._again(error, attempt, deadlines, idempotent)
        self.budget.succeeded(retried=False)
        return result

    async def run_async(self, attempt: Callable[[int], Awaitable[T]], deadlines: Deadlines, idempotent: bool) -> T:
        """`run`, awaited."""
        try:
            result = await attempt(1)
        except EndpointError as error:
            if not self._worth(error, idempotent):
                raise
            return await self._again_async(error, attempt, deadlines, idempotent)
        self.budget.succeeded(retried=False)
        return result

    def _again(self, first: EndpointError, attempt: Callable[[int], T], deadlines: Deadlines, idempotent: bool) -> T:
        # tenacity costs 20 us a call, so calls that succeed at once never meet it: it is handed the first error.
        from tenacity import Retrying, retry_if_exception

        run = _Run(self, deadlines)
        for step in Retrying(
            retry=retry_if_exception(lambda error: self._worth(error, idempotent)),
            stop=run.stop,
            wait=run.wait,
            before_sleep=run.log,
            reraise=True,
        ):
            with step:
                number = step.retry_state.attempt_number
                if number == 1:
                    raise first
                result = attempt(number)
                self.budget.succeeded(retried=True)
        return result

    async def _again_async(
        self, first: EndpointError, attempt: Callable[[int], Awaitable[T]], deadlines: Deadlines, idempotent: bool
    ) -> T:
        from tenacity import AsyncRetrying, retry_if_exception

        run = _Run(self, deadlines)
        async for step in AsyncRetrying(
            retry=retry_if_exception(lambda error: self._worth(error, idempotent)),
            stop=run.stop,
            wait=run.wait,
            before_sleep=run.log,
            reraise=True,
        ):
            with step:
                number = step.retry_state.attempt_number
                if number == 1:
                    raise first
                result = await attempt(number)
                self.budget.succeeded(retried=True)
        return result

    def _worth(self, error: BaseException, idempotent: bool) -> bool:
        if not isinstance(error, EndpointError) or not error.retry_safe:
            return False
        if isinstance(error, NotReady) and self.retries.wait_for_ready > 0:
            return True
        if self.retries.attempts <= 1:
            return False
        # What was refused or never arrived was not carried out; anything else may have been.
        return idempotent or isinstance(error, NotReady | Throttled) or error.code in ("connect", "connection")


class _Run:
    """The waits of one call."""

    def __init__(self, policy: RetryPolicy, deadlines: Deadlines) -> None:
        self._policy = policy
        self._deadlines = deadlines
        self._ready_until: float | None = None

    def wait(self, state: RetryCallState) -> float:
        retries, error = self._policy.retries, _error(state)
        waking = isinstance(error, NotReady) and retries.wait_for_ready > 0
        base = max(retries.base_delay, 1.0) if waking else retries.base_delay
        # The exponent is bounded because waiting for an endpoint to wake up may take hundreds of attempts.
        longest = min(retries.max_delay, base * 2.0 ** min(state.attempt_number - 1, 30))
        delay = random.uniform(0.0, longest)
        if waking:
            delay = longest / 2 + delay / 2
        return min(max(delay, error.retry_after or 0.0), retries.max_delay)

    def stop(self, state: RetryCallState) -> bool:
        policy, error = self._policy, _error(state)
        left = None if self._deadlines.deadline is None else self._deadlines.deadline - time.monotonic()
        if left is not None and state.upcoming_sleep >= left:
            return True
        if isinstance(error, NotReady) and policy.retries.wait_for_ready > 0:
            now = time.monotonic()
            if self._ready_until is None:
                self._ready_until = now + policy.retries.wait_for_ready
            return now + state.upcoming_sleep > self._ready_until
        return state.attempt_number >= policy.retries.attempts or not policy.budget.take()

    def log(self, state: RetryCallState) -> None:
        error = _error(state)
        _log.info(
            "%s: attempt %d failed (%s, status %s, request id %s); next in %.2f s",
            self._deadlines.where,
            state.attempt_number,
            error.code or type(error).__name__,
            error.status,
            error.request_id,
            state.upcoming_sleep,
        )
        if self._policy.retries.on_retry is not None:
            self._policy.retries.on_retry(state.attempt_number, error, state.upcoming_sleep)


def _error(state: RetryCallState) -> EndpointError:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, EndpointError)
    return error
