"""A circuit breaker: after some failures in a row a deployment gets no requests for a while, then one as a probe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["SEVERAL", "Breaker", "Passage"]

# So many callers fail because of the server, not of what they ask.
SEVERAL = 3


@dataclass(slots=True)
class Passage:
    """One call that the breaker let through.

    Args:
        era: The breaker's era when the call began. Results from an earlier era say nothing about the present one.
        probe: The call decides whether an open breaker closes.
    """

    era: int
    probe: bool = False


class Breaker:
    """The health of one deployment, as the calls to it show.

    An open breaker refuses the callers whose requests failed: a request that makes a server fail is the problem of its
    sender only. Other callers are served as ever, until requests of `SEVERAL` callers have failed; then they may
    send a probe, one at a time. When `seconds` have passed, any caller may send the probe.

    Args:
        failures: Failures in a row that open it.
        seconds: How long it stays open before a caller whose request failed may try again.
        clock: Seconds, monotonic.
        changed: Called with whether the breaker is closed, when that changes.

    Example:
        >>> breaker = Breaker(failures=1, seconds=30)
        >>> breaker.failed(breaker.entered(), caller="alice")
        >>> breaker.state, breaker.allows("alice"), breaker.allows("bob")
        ('open', False, True)
    """

    def __init__(
        self,
        failures: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[bool], None] = lambda closed: None,
    ) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._changed = changed
        self._in_a_row = 0
        self._until = 0.0
        self._era = 0
        self._probe: Passage | None = None
        self._callers: set[str] = set()

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        """`closed`: healthy; `open`: gets no requests; `half_open`: a probe is running, or the next request is one."""
        if self._in_a_row < self._limit:
            return "closed"
        return "open" if self._clock() < self._until and self._probe is None else "half_open"

    @property
    def seconds_left(self) -> float:
        """How long it stays open, 0 when it is not."""
        return max(0.0, self._until - self._clock()) if self._is_open else 0.0

    @property
    def _is_open(self) -> bool:
        return self._in_a_row >= self._limit

    def allows(self, caller: str = "") -> bool:
        """Return whether a caller may make a call now."""
        if not self._is_open:
            return True
        if caller in self._callers:
            return self._probe is None and self._clock() >= self._until
        return self._probe is None or len(self._callers) < SEVERAL

    def entered(self) -> Passage:
        """Let a call through, as the probe if the breaker is open."""
        passage = Passage(self._era)
        if self._is_open and self._probe is None:
            passage.probe = True
            self._probe = passage
        return passage

    def succeeded(self, passage: Passage | None = None) -> None:
        """Note that a call went well: a success of the present era closes the breaker."""
        passage = passage or self._probe or Passage(self._era)
        self.left(passage)
        if passage.era != self._era and self._is_open:
            return
        was_open = self._is_open
        self._in_a_row = 0
        self._callers.clear()
        if was_open:
            self._era += 1
            self._changed(True)

    def failed(self, passage: Passage | None = None, *, caller: str = "") -> None:
        """Note that a call failed, and that it was the deployment's fault."""
        passage = passage or self._probe or Passage(self._era)
        self.left(passage)
        if passage.era != self._era:
            # It began before the breaker opened or closed: counted then, or out of date now.
            return
        self._callers.add(caller)
        if self._is_open:
            if passage.probe:
                self._until = self._clock() + self._seconds
            return
        self._in_a_row += 1
        if self._is_open:
            self._era += 1
            self._until = self._clock() + self._seconds
            self._changed(False)

    def detach(self) -> None:
        """Tell nobody about changes any more."""
        self._changed = lambda closed: None

    def left(self, passage: Passage | None = None) -> None:
        """Note that a call ended without saying anything about the deployment."""
        if passage is None or self._probe is passage:
            self._probe = None
