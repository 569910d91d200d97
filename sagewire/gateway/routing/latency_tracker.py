"""How a deployment has done lately: how long it takes, and how many tokens it has used in this minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["LatencyTracker"]

# The last answers that make up an average.
REMEMBERED = 10
MINUTE = 60.0


class LatencyTracker:
    """The durations of one deployment's answers.

    Streams are judged by the time to their first piece, whole answers by the time for each of their tokens, so that
    neither long answers nor long conversations make a deployment look slow.

    Args:
        clock: Seconds, monotonic.

    Example:
        >>> latency = LatencyTracker()
        >>> latency.took(0.2, stream=True)
        >>> latency.average(stream=True, within=3600), latency.average(stream=False, within=3600)
        (0.2, None)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: dict[bool, deque[tuple[float, float]]] = {
            True: deque(maxlen=REMEMBERED),
            False: deque(maxlen=REMEMBERED),
        }
        self._minute = 0
        self._tokens = 0

    def took(self, seconds: float, *, stream: bool) -> None:
        """Remember how long an answer took."""
        self._answers[stream].append((self._clock(), seconds))

    def average(self, *, stream: bool, within: float) -> float | None:
        """Return the mean of the last answers, `None` before the first.

        Args:
            stream: Streams, else whole answers.
            within: Older ones than this many seconds do not count.
        """
        since = self._clock() - within
        fresh = [seconds for moment, seconds in self._answers[stream] if moment >= since]
        return sum(fresh) / len(fresh) if fresh else None

    def used(self, tokens: int) -> None:
        """Count tokens of an answer that has ended."""
        minute = int(self._clock() // MINUTE)
        if minute != self._minute:
            self._minute, self._tokens = minute, 0
        self._tokens += tokens

    @property
    def tokens(self) -> int:
        """Tokens used in this minute, as this process has counted."""
        return self._tokens if int(self._clock() // MINUTE) == self._minute else 0
