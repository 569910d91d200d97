"""Time deadlines: what a caller allows, and the clock of one call."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from sagewire._names import explains_arguments
from sagewire.errors import EndpointTimeout, UsageError
from sagewire.http.errors import timeout_error

__all__ = ["Deadlines", "Timeouts"]


@explains_arguments(
    read="use idle= between two pieces of an answer, and first_byte= until the first",
    read_timeout="use idle= between two pieces of an answer, and first_byte= until the first",
    sock_read="use idle= between two pieces of an answer, and first_byte= until the first",
    connect_timeout="use connect=",
    sock_connect="use connect=",
    timeout="use total= for the whole call, or the client's timeout= for each wait",
    pool="leave it out: a call opens a connection of its own if none is free",
    write="leave it out: connect=, first_byte= and total= limit a call that cannot send",
)
@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time deadlines in seconds; `None` means no limit.

    Args:
        connect: To open a connection.
        first_byte: From the request's last byte to the answer's first. SageMaker itself gives a container 60 s.
        idle: Between two pieces of an answer.
        total: For the whole call, retries included.
    """

    connect: float | None = 10.0
    first_byte: float | None = 70.0
    idle: float | None = 70.0
    total: float | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not _is_duration(value):
                raise UsageError(f"timeout {name}={value!r:.60} must be a positive number of seconds, or None")

    @classmethod
    def of(cls, timeout: Timeouts | float | None) -> Timeouts:
        """Return `timeout` as it is, or the defaults with one number as the limit on every wait for the server."""
        if timeout is None:
            return cls()
        if isinstance(timeout, Timeouts):
            return timeout
        if not _is_duration(timeout):
            hint = "; each limit by itself: Timeouts(connect=..., first_byte=...)" if isinstance(timeout, tuple) else ""
            raise UsageError(f"timeout={timeout!r:.60} must be a positive number of seconds, Timeouts, or None{hint}")
        return cls(connect=min(timeout, 10.0), first_byte=timeout, idle=timeout)


def _is_duration(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 < value < math.inf


class Deadlines:
    """Time deadlines of a running call, all of it measured on the monotonic clock.

    Args:
        timeouts: The deadlines.
        where: Name of the server, for error messages.
        spent: Seconds of `total` that have passed already.
    """

    __slots__ = ("deadline", "started", "timeouts", "where")

    def __init__(self, timeouts: Timeouts, where: str, spent: float = 0.0) -> None:
        self.timeouts = timeouts
        self.where = where
        self.started = time.monotonic()
        self.deadline = None if timeouts.total is None else self.started + timeouts.total - spent

    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return time.monotonic() - self.started

    def left(self) -> float | None:
        """Return the seconds until the total limit, or `None`; raise once it has passed."""
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
        if self.deadline is None:
            return seconds
        left = self.left()
        assert left is not None, "there is a deadline"
        return left if seconds is None else min(seconds, left)

    def at(self, limit: str) -> float | None:
        """Return when a wait that begins now must be over, on the monotonic clock; `None` means never."""
        seconds: float | None = getattr(self.timeouts, limit)
        return None if seconds is None else time.monotonic() + seconds

    def expired(self, limit: str) -> EndpointTimeout:
        """Return the error for a wait that took too long: the total limit's if that is what cut it short."""
        if self.deadline is not None and time.monotonic() >= self.deadline - 0.001:
            return timeout_error("total", self.timeouts.total, self.where)
        return timeout_error(limit, getattr(self.timeouts, limit), self.where)
