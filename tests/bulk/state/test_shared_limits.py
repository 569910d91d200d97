"""Lending out a budget, and counting for workers that are elsewhere."""

from sagewire.bulk import Bounds
from sagewire.bulk.state.shared_limits import Leave, Ledger


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_what_is_lent_never_exceeds_the_budget():
    ledger = Ledger(Bounds(budget_tokens=10_000), workers=2, guess=100.0)
    loans = []
    while isinstance(leave := ledger.borrow(), Leave):
        loans.append(leave)
    assert leave == "the budget of 10,000 tokens is spent"
    assert 9_900 < sum(loan.tokens for loan in loans) <= 10_000
    # The first is not given all of it, and nobody is given crumbs.
    assert loans[0].tokens == 2_500
    assert min(loan.tokens for loan in loans[:-1]) >= 800


def test_what_is_brought_back_is_lent_again():
    ledger = Ledger(Bounds(budget_tokens=1_000), workers=1, guess=500.0)
    leave = ledger.borrow()
    assert leave.tokens == 1_000
    assert isinstance(ledger.borrow(), str)
    ledger.bring_back(leave, spent=100, answers=10)
    assert ledger.borrow().tokens == 450
    ledger.borrow()
    # Whoever borrowed and died may have spent it.
    assert sum(1 for _ in range(20) if isinstance(ledger.borrow(), Leave)) < 8


def test_a_first_call_is_let_in_however_small_the_budget():
    ledger = Ledger(Bounds(budget_tokens=5), workers=4)
    leave = ledger.borrow()
    assert leave.tokens == 5
    assert isinstance(ledger.borrow(), str)


def test_time_is_that_of_one_clock():
    clock = Clock()
    ledger = Ledger(Bounds(deadline=60.0), workers=2, clock=clock)
    clock.now += 20
    assert ledger.borrow() == Leave(None, 40.0)
    assert ledger.overdue() is None
    clock.now += 40
    assert ledger.borrow() == ledger.overdue() == "the deadline of 60 s has passed"


def test_failures_of_all_workers_are_counted_together():
    ledger = Ledger(Bounds(max_errors=5), workers=2)
    assert ledger.fail(3) is None
    assert ledger.fail(2) is None
    assert isinstance(ledger.borrow(), Leave)
    assert ledger.fail(1) == ledger.borrow() == "more than 5 rows have failed"


def test_without_bounds_anything_goes():
    assert Ledger(Bounds(), workers=1).borrow() == Leave()
