"""How work is timed: the client's CPU, rates, interleaved rounds."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping

__all__ = ["Measure", "cpu_of", "interleaved", "rate_of", "seconds_of"]

Measure = Callable[[], float]


def cpu_of(work: Callable[[], object], times: int) -> Measure:
    """Return what measures the CPU milliseconds of one piece of work, all threads of this process together."""

    def measure() -> float:
        start = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - start) / times * 1e3

    return measure


def rate_of(work: Callable[[], int], clock: Callable[[], float] = time.process_time) -> Measure:
    """Return what measures how many pieces a second of the client's CPU `work`, which returns their number, gets done.

    Every candidate is bound by its CPU here, and that clock does not count what else the machine is doing.
    """

    def measure() -> float:
        start = clock()
        count = work()
        return count / (clock() - start)

    return measure


def seconds_of(work: Callable[[], float], times: int) -> Measure:
    """Return what measures the median of the milliseconds that `work` returns in seconds."""
    return lambda: statistics.median(work() for _ in range(times)) * 1e3


def interleaved(work: Mapping[str, Measure], rounds: int) -> dict[str, list[float]]:
    """Return each candidate's rounds; they take turns, so that a busy machine is busy for all."""
    for measure in work.values():
        measure()
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, measure in work.items():
            gc.collect()
            taken[name].append(measure())
    return taken
