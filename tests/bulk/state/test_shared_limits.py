"""Lending out a budget, and counting for workers that are elsewhere."""

from sagewire.bulk import Bounds
from sagewire.bulk.state.shared_limits import Leave, SharedLimits


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_what_is_lent_never_exceeds_the_budget():
    shared_limits = SharedLimits(Bounds(budget_tokens=10_000), workers=2, guess=100.0)
    loans = []
    while isinstance(leave := shared_limits.borrow(), Leave):
        loans.append(leave)
    assert leave == "the budget of 10,000 tokens is spent"
    assert 9_900 < sum(loan.tokens for loan in loans) <= 10_000
    # The first is not given all of it, and nobody is given crumbs.
    assert loans[0].tokens == 2_500
    assert min(loan.tokens for loan in loans[:-1]) >= 800


def test_what_is_brought_back_is_lent_again():
    shared_limits = SharedLimits(Bounds(budget_tokens=1_000), workers=1, guess=500.0)
    leave = shared_limits.borrow()
    assert leave.tokens == 1_000
    assert isinstance(shared_limits.borrow(), str)
    shared_limits.bring_back(leave, spent=100, answers=10)
    assert shared_limits.borrow().tokens == 450
    shared_limits.borrow()
    # Whoever borrowed and died may have spent it.
    assert sum(1 for _ in range(20) if isinstance(shared_limits.borrow(), Leave)) < 8


def test_a_first_call_is_let_in_however_small_the_budget():
    shared_limits = SharedLimits(Bounds(budget_tokens=5), workers=4)
    leave = shared_limits.borrow()
    assert leave.tokens == 5
    assert isinstance(shared_limits.borrow(), str)


def test_time_is_that_of_one_clock():
    clock = Clock()
    shared_limits = SharedLimits(Bounds(deadline=60.0), workers=2, clock=clock)
    clock.now += 20
    assert shared_limits.borrow() == Leave(None, 40.0)
    assert shared_limits.overdue() is None
    clock.now += 40
    assert shared_limits.borrow() == shared_limits.overdue() == "the deadline of 60 s has passed"


def test_failures_of_all_workers_are_counted_together():
    shared_limits = SharedLimits(Bounds(max_errors=5), workers=2)
    assert shared_limits.fail(3) is None
    assert shared_limits.fail(2) is None
    assert isinstance(shared_limits.borrow(), Leave)
    assert shared_limits.fail(1) == shared_limits.borrow() == "more than 5 rows have failed"


def test_without_bounds_anything_goes():
    assert SharedLimits(Bounds(), workers=1).borrow() == Leave()


def test_shares_add_up_to_the_concurrency():
    shared_limits = SharedLimits(Bounds(concurrency=7), workers=3)
    shares = [shared_limits.join() for _ in range(3)]
    assert sorted(shares) == [2, 2, 3]
    # In place of the first, which has died.
    assert shared_limits.join() == shares[0]


def test_counts_are_summed_and_a_stop_reaches_everyone():
    shared_limits = SharedLimits(Bounds(), workers=2)
    for worker in ("a", "b"):
        shared_limits.join()
        assert shared_limits.tell(worker, {"calls": 2, "throttled": 1}) is None
    shared_limits.tell("a", {"calls": 5, "throttled": 1})
    assert shared_limits.totals() == {"calls": 7, "throttled": 2, "workers": 2}
    shared_limits.stop("interrupted")
    assert shared_limits.tell("b", {}) == shared_limits.borrow() == "interrupted"
