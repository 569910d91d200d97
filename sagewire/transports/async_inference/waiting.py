"""The wait for one answer: how long it may last, when to look next, and which failures of a look are passing."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from sagewire.errors import EndpointError, EndpointTimeout
from sagewire.http.deadlines import Deadlines
from sagewire.transports.async_inference.polling import Ticket, poll_delays
from sagewire.transports.base import Body
from sagewire.types import Timings

__all__ = ["Looking"]

_log = logging.getLogger("sagewire.transports")
_LOOKS_THAT_MAY_FAIL = 5


class Looking:
    """The wait for one answer."""

    def __init__(self, ticket: Ticket, deadlines: Deadlines, poll: tuple[float, float]) -> None:
        self._ticket = ticket
        self._deadlines = deadlines
        self._delays = poll_delays(*poll)
        self._failures = 0

    def left(self) -> float:
        """Return the seconds left; raise once the time is up."""
        left = None if self._deadlines.deadline is None else self._deadlines.deadline - time.monotonic()
        if left is None or left <= 0:
            raise self.expired()
        return left

    def expired(self) -> EndpointTimeout:
        """Return the error for a wait that took too long."""
        return EndpointTimeout(
            f"no answer at {self._ticket.output} within {self._deadlines.timeouts.total:g} s; it may still come: keep "
            f"{self._ticket} for collect(). It also looks like this if the object was deleted or may not be read"
            + ("" if self._ticket.failure else ", or if the model failed: this endpoint has no S3FailurePath"),
            code="total",
        )

    def absent(self) -> None:
        """Note a look that went well: over hours, passing failures add up, and only those in a row count."""
        self._failures = 0

    def failed(self, error: EndpointError) -> None:
        """Bear with a look that failed for a passing reason: the answer may be hours away, or there already."""
        self._failures += 1
        if not error.retry_safe or self._failures >= _LOOKS_THAT_MAY_FAIL:
            raise error
        _log.info("%s: %s; looking again", self._ticket.output, error)

    def delay(self) -> float:
        """Return the seconds until the next look."""
        return min(next(self._delays), self.left())

    def found(self, body: Body) -> Body:
        """Return an answer with the time it took."""
        waited = self._deadlines.elapsed()
        return replace(body, info=replace(body.info, timings=Timings(first_byte=waited, total=waited)))
