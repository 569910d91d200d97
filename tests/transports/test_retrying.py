"""How long the waits between attempts are, and what they cost the budget that all calls share."""

from __future__ import annotations

import pytest

from sagewire.errors import NotReady, Throttled
from sagewire.http.deadlines import Deadlines, Timeouts
from sagewire.transports import backoff, retrying
from sagewire.transports.base import Retries
from sagewire.transports.retrying import RetryBudget, RetryPolicy
from sagewire.types import Invocation

CALL = Invocation(b"{}")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The bounds between which each wait was drawn; the longest is always taken, and takes no time."""
    drawn: list[tuple[float, float]] = []

    def draw(least: float, most: float) -> float:
        drawn.append((least, most))
        return most

    monkeypatch.setattr(backoff.random, "uniform", draw)
    monkeypatch.setattr(retrying.time, "sleep", lambda seconds: None)
    return drawn


def fails_first(times: int, error: Exception):
    left = [times]

    def attempt() -> str:
        if left[0]:
            left[0] -= 1
            raise error
        return "answer"

    return attempt


def run(policy: RetryPolicy, attempt) -> tuple[str, int]:
    return policy.run(attempt, Deadlines(Timeouts(), "endpoint 'e'"), CALL)


def test_waits_double_up_to_the_longest(waits) -> None:
    policy = RetryPolicy(Retries(attempts=7, base_delay=0.5, max_delay=5.0))
    assert run(policy, fails_first(6, Throttled("slow down", retry_safe=True))) == ("answer", 7)
    assert waits == [(0.0, 0.5), (0.0, 1.0), (0.0, 2.0), (0.0, 4.0), (0.0, 5.0), (0.0, 5.0)]


def test_an_endpoint_that_wakes_up_is_asked_after_a_second_at_first_and_never_at_once(waits) -> None:
    policy = RetryPolicy(Retries(attempts=1, base_delay=0.1, max_delay=8.0, wait_for_ready=600.0))
    assert run(policy, fails_first(5, NotReady("loading", retry_safe=True))) == ("answer", 6)
    assert waits == [(0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (4.0, 8.0)]


def test_what_the_server_says_is_waited_for_but_not_beyond_the_longest(waits) -> None:
    told: list[float] = []
    retries = Retries(attempts=2, max_delay=5.0, on_retry=lambda number, error, seconds: told.append(seconds))
    for seconds in (3.0, 60.0):
        error = Throttled("slow down", retry_safe=True)
        error.retry_after = seconds
        run(RetryPolicy(retries), fails_first(1, error))
    assert told == [3.0, 5.0]


def test_a_retry_that_works_is_paid_back_whole_and_another_call_in_part(waits) -> None:
    budget = RetryBudget(share=0.25, reserve=1.0)
    policy = RetryPolicy(Retries(attempts=2), budget)
    for _ in range(5):
        assert run(policy, fails_first(1, Throttled("slow down", retry_safe=True))) == ("answer", 2)
    with pytest.raises(Throttled):
        run(policy, fails_first(2, Throttled("slow down", retry_safe=True)))
    for calls in range(4):
        # The retry above failed and is gone: four calls earn the next.
        with pytest.raises(Throttled):
            run(policy, fails_first(2, Throttled("slow down", retry_safe=True)))
        assert run(policy, fails_first(0, Throttled("slow down", retry_safe=True))) == ("answer", 1), calls
    assert run(policy, fails_first(1, Throttled("slow down", retry_safe=True))) == ("answer", 2)
