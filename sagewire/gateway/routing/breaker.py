"""A circuit breaker: after some failures in a row a deployment is left alone for a while, then tried once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

__all__ = ["Breaker"]


class Breaker:
    """The health of one deployment, as calls have found it.

    Args:
        failures: Failures in a row that open it.
        seconds: How long it stays open before one call may try.
        clock: Seconds, monotonic.

    Example:
        >>> breaker = Breaker(failures=1, seconds=30)
        >>> breaker.failed()
        >>> breaker.state, breaker.allows()
        ('open', False)
    """

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._in_a_row = 0
        self._until = 0.0
        self._trying = False

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        """`closed`: healthy; `open`: left alone; `half_open`: the next call, or the one under way, decides."""
        if self._in_a_row < self._limit:
            return "closed"
        return "open" if self._clock() < self._until else "half_open"

    @property
    def seconds_left(self) -> float:
        """How long it stays open."""
        return max(0.0, self._until - self._clock()) if self.state == "open" else 0.0

    def allows(self) -> bool:
        """Return whether a call may be made now."""
        state = self.state
        return state == "closed" or (state == "half_open" and not self._trying)

    def entered(self) -> None:
        """A call begins; in the half-open state it is the only one."""
        if self.state == "half_open":
            self._trying = True

    def succeeded(self) -> None:
        """A call went well."""
        self._in_a_row = 0
        self._trying = False

    def failed(self) -> None:
        """A call failed, and it was the deployment's fault."""
        self._in_a_row += 1
        self._trying = False
        if self._in_a_row >= self._limit:
            self._until = self._clock() + self._seconds

    def left(self) -> None:
        """A call ended that says nothing about the deployment: given up, or refused for what was asked."""
        self._trying = False
