"""How often, and how soon, a request is tried again."""

from __future__ import annotations

import random

from sagewire.errors import SagewireError

__all__ = ["RetryBudget", "retry_delay"]

BASE_DELAY, MAX_DELAY = 0.1, 2.0


class RetryBudget:
    """Limits retries to a share of requests, so that a failing backend is not buried under them.

    Args:
        share: Retries per request, in the long run.
        reserve: Retries that are always possible in a row.
    """

    def __init__(self, share: float = 0.2, reserve: float = 20.0) -> None:
        self._share = share
        self._most = reserve
        self._left = reserve

    def deposit(self) -> None:
        """Note that a request arrived."""
        self._left = min(self._most, self._left + self._share)

    def withdraw(self) -> bool:
        """Return whether one more retry is allowed, and count it."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def retry_delay(attempt: int, error: SagewireError) -> float:
    """Return the seconds to wait before another attempt at a deployment that has failed already."""
    asked = getattr(error, "retry_after", None)
    delay = random.uniform(0, min(MAX_DELAY, BASE_DELAY * 2**attempt))
    return min(MAX_DELAY, max(delay, asked)) if asked else delay
