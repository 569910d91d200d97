"""How soon a request is tried again."""

from __future__ import annotations

import random

from sagewire.errors import SagewireError

__all__ = ["retry_delay"]

BASE_DELAY, MAX_DELAY = 0.1, 2.0


def retry_delay(attempt: int, error: SagewireError) -> float:
    """Return the seconds to wait before another attempt at a deployment that has failed already."""
    asked = getattr(error, "retry_after", None)
    delay = random.uniform(0, min(MAX_DELAY, BASE_DELAY * 2**attempt))
    return min(MAX_DELAY, max(delay, asked)) if asked else delay
