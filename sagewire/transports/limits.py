"""The clock of one call: how long each wait may still take."""

from __future__ import annotations

import time

from sagewire.errors import EndpointTimeout
from sagewire.transports.base import Timeouts
from sagewire.transports.faults import timeout_error

__all__ = ["Limits"]


class Limits:
    """Time limits of a running call, all of it measured on the monotonic clock.

    Args:
        timeouts: The limits.
        where: Who is being called, for error messages.
    """

    __slots__ = ("deadline", "started", "timeouts", "where")

    def __init__(self, timeouts: Timeouts, where: str) -> None:
        self.timeouts = timeouts
        self.where = where
        self.started = time.monotonic()
        self.deadline = None if timeouts.total is None else self.started + timeouts.total

    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return time.monotonic() - self.started

    def left(self) -> float | None:
        """Return the seconds until the total limit, `None` where there is none; raise once it has passed."""
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise timeout_error("total", self.timeouts.total, self.where)
        return left

    def wait(self, limit: str) -> float | None:
        """Return how long the next wait may take, in seconds; `None` means for ever.

        Args:
            limit: `connect`, `first_byte` or `idle`.
        """
        seconds: float | None = getattr(self.timeouts, limit)
        left = self.left()
        if left is None:
            return seconds
        return left if seconds is None else min(seconds, left)

    def expired(self, limit: str) -> EndpointTimeout:
        """Return the error for a wait that took too long: the total limit's if that is what cut it short."""
        if self.deadline is not None and time.monotonic() >= self.deadline - 0.001:
            return timeout_error("total", self.timeouts.total, self.where)
        return timeout_error(limit, getattr(self.timeouts, limit), self.where)
