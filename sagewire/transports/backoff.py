"""The wait before a call is sent again, computed once for transports, the gateway's router and bulk jobs."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double with each failure, with full jitter, as the AWS SDKs wait.

    Args:
        base: Longest wait after the first failure, in seconds.
        longest: Longest wait after any failure, in seconds.
        at_least_half: Wait at least half of each longest wait, for states that take their time.

    Example:
        >>> 0 <= Backoff(base=0.1, longest=20.0).seconds(3) <= 0.8
        True
    """

    base: float
    longest: float
    at_least_half: bool = False

    def seconds(self, before: int, asked: float | None = None, longest_asked: float | None = None) -> float:
        """Return the seconds to wait.

        Args:
            before: Number of failures before this one.
            asked: Seconds that the server asked for (`Retry-After`), if any.
            longest_asked: Longest wait a server may ask for; default: `longest`.
        """
        # The exponent is bounded because waiting for an endpoint to wake up may take hundreds of attempts.
        most = min(self.longest, self.base * 2.0 ** min(before, 30))
        delay = random.uniform(most / 2 if self.at_least_half else 0.0, most)
        if not asked:
            return delay
        return max(delay, min(asked, self.longest if longest_asked is None else longest_asked))
