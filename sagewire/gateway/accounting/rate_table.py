"""Requests and tokens of the current minute: the steps, and where they are counted without Redis.

A minute is one of a clock that nobody sets: of PostgreSQL's, which all machines share, or of this process's. Whoever
sets a clock ahead and back again must not shut out callers until that time has come.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.tables import RATES

__all__ = ["Count", "Counted", "GiveBack", "RateMemory", "RateTable", "Step", "Take", "Taken"]

MINUTE = 60
# Seconds between two deletions of counters that nobody uses any more.
PURGE_SECONDS = 600.0
# Seconds after which the database is asked for the time again.
CLOCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What one step has done.

    Args:
        taken: How many requests or tokens were counted, 0 if the limit is reached.
        reset: When there will be more, as a Unix time.
        left: How many are left.
    """

    taken: int
    reset: float
    left: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What one request has taken.

    Args:
        tokens: Its tokens, `None` if they have no limit.
        requests: As how many requests it counts, `None` if they have no limit, or if no tokens were left.
        minute: When that was, in minutes of Unix time.
    """

    tokens: Counted | None = None
    requests: Counted | None = None
    minute: int = 0


@dataclass(slots=True)
class _Row:
    minute: int
    count: int
    previous: int


# Counters by kind and name.
_Rows = Mapping[tuple[str, str], _Row]


@dataclass(frozen=True, slots=True)
class Take:
    """Count a request, and as many of its tokens as there are left; both or neither.

    Args:
        name: The quota.
        tokens: Their limit, and how many are wanted; `None` counts none.
        requests: Their limit, and as how many it counts: all of them, or it is not admitted; `None` counts none.
    """

    name: str
    tokens: tuple[int, int] | None = None
    requests: tuple[int, int] | None = None

    def counters(self) -> list[tuple[str, str]]:
        """Return the counters that this changes."""
        kinds = {"tokens": self.tokens, "requests": self.requests}
        return [(kind, self.name) for kind, asked in kinds.items() if asked is not None]

    def apply(self, rows: _Rows, now: float) -> Taken:
        """Change them."""
        tokens, requests, minute = None, None, int(now // MINUTE)
        if self.tokens is not None:
            row, (limit, wanted) = rows["tokens", self.name], self.tokens
            taken = max(0, min(max(1, wanted), min(limit, 2**62) - row.count))
            tokens, minute = Counted(taken, (row.minute + 1) * MINUTE, max(0, limit - row.count - taken)), row.minute
        if self.requests is not None and (tokens is None or tokens.taken):
            row, (limit, cost) = rows["requests", self.name], self.requests
            requests, minute = _request(row, limit, cost, now), row.minute
            row.count += requests.taken
        if tokens is not None and (requests is None or requests.taken):
            rows["tokens", self.name].count += tokens.taken
        return Taken(tokens, requests, minute)


@dataclass(frozen=True, slots=True)
class Count:
    """Count tokens, also beyond the limit, or give them back if the number is negative.

    Args:
        name: The quota.
        tokens: How many.
    """

    name: str
    tokens: int

    def counters(self) -> list[tuple[str, str]]:
        """Return the counters that this changes."""
        return [("tokens", self.name)]

    def apply(self, rows: _Rows, now: float) -> Taken:
        """Change them."""
        row = rows["tokens", self.name]
        row.count = min(2**62, max(0, row.count + self.tokens))
        return Taken()


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give back what a request has taken that nobody waits for any more.

    Args:
        name: The quota.
        taken: The requests and tokens it has taken.
    """

    name: str
    taken: Taken

    def counters(self) -> list[tuple[str, str]]:
        """Return the counters that this changes."""
        kinds = {"tokens": self.taken.tokens, "requests": self.taken.requests}
        return [(kind, self.name) for kind, counted in kinds.items() if counted is not None]

    def apply(self, rows: _Rows, now: float) -> Taken:
        """Change them; what was taken in a minute that is over counts no more, except for requests, which slide."""
        tokens, requests = self.taken.tokens, self.taken.requests
        if tokens is not None and (requests is None or requests.taken):
            row = rows["tokens", self.name]
            if row.minute == self.taken.minute:
                row.count = max(0, row.count - tokens.taken)
        if requests is not None:
            row = rows["requests", self.name]
            if row.minute == self.taken.minute:
                row.count = max(0, row.count - requests.taken)
            elif row.minute == self.taken.minute + 1:
                row.previous = max(0, row.previous - requests.taken)
        return Taken()


Step = Take | Count | GiveBack


class RateMemory:
    """Counters of this process.

    Args:
        clock: The time, in seconds; default: as it was when the process started, and then what has passed.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        began = time.time() - time.monotonic()
        self._clock = clock or (lambda: began + time.monotonic())
        self._rows: dict[tuple[str, str], _Row] = {}
        self._purge_at = 0.0

    def run(self, step: Step) -> Taken:
        """Do a step."""
        now = self._clock()
        minute = int(now // MINUTE)
        if now >= self._purge_at:
            self._purge_at = now + PURGE_SECONDS
            self._rows = {counter: row for counter, row in self._rows.items() if row.minute >= minute - 1}
        rows = {counter: self._row(counter, minute) for counter in step.counters()}
        return _moved(step.apply(rows, now), time.time() - now)

    def _row(self, counter: tuple[str, str], minute: int) -> _Row:
        row = self._rows.get(counter)
        if row is None or row.minute != minute:
            previous = row.count if row is not None and row.minute == minute - 1 else 0
            row = self._rows[counter] = _Row(minute, 0, previous)
        return row


class RateTable:
    """Counters that all processes share, in the database. Every call blocks.

    Args:
        store: The database.
        clock: The time, as a Unix time; default: PostgreSQL's, or with SQLite that of this machine.
    """

    def __init__(self, store: Store, clock: Callable[[], float] | None = None) -> None:
        self._store = store
        self._clock = clock or (_DatabaseClock(store) if store.on_network else time.time)
        self._purge_at = 0.0

    def run(self, steps: Sequence[Step]) -> list[Taken]:
        """Do steps one after the other, in one transaction.

        Raises:
            StoreError: The database does not answer.
        """
        self._purge()
        # Names have any length. In one order everywhere, so that two workers never wait for each other's rows.
        hashed = {counter: _hashed(*counter) for step in steps for counter in step.counters()}
        clock = self._clock
        if isinstance(clock, _DatabaseClock):
            clock.refresh()
        with self._store.transaction("count rates in") as connection:
            minute = int(clock() // MINUTE)
            ordered = sorted(hashed, key=hashed.__getitem__)
            rows = {counter: self._locked(connection, hashed[counter], minute) for counter in ordered}
            now = clock()
            found = [step.apply(rows, now) for step in steps]
            for counter, row in rows.items():
                values = {"minute": row.minute, "count": row.count, "previous": row.previous}
                connection.execute(sa.update(RATES).where(RATES.c.counter == hashed[counter]).values(**values))
        return [_moved(one, time.time() - now) for one in found] if isinstance(clock, _DatabaseClock) else found

    def _purge(self) -> None:
        if time.monotonic() >= self._purge_at:
            now, self._purge_at = self._clock(), time.monotonic() + PURGE_SECONDS
            with self._store.transaction("delete rate counts from") as connection:
                connection.execute(sa.delete(RATES).where(RATES.c.minute < now // MINUTE - 1))

    def _locked(self, connection: sa.Connection, counter: str, minute: int) -> _Row:
        """Return a counter as it is in this minute; it is locked until the transaction ends."""
        first = self._store.insert(RATES).values(counter=counter, minute=minute, count=0, previous=0)
        found = first.on_conflict_do_update(index_elements=["counter"], set_={"counter": first.excluded.counter})
        before = connection.execute(found.returning(RATES)).mappings().one()
        row = _Row(before["minute"], before["count"], before["previous"])
        if row.minute < minute:
            row = _Row(minute, 0, row.count if row.minute == minute - 1 else 0)
        elif row.minute > minute + 1:
            # The clock was set back: without this the counter would stay full until that minute comes.
            row = _Row(minute, row.count, 0)
        return row


class _DatabaseClock:
    """The time of the database's machine, which this one's clock is not asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ahead = 0.0
        self._refresh_at = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def refresh(self) -> None:
        """Ask for the time, every now and then; it blocks."""
        if time.monotonic() >= self._refresh_at:
            query = sa.select(sa.extract("epoch", sa.func.clock_timestamp()).label("now"))
            self._ahead = float(self._store.rows(query, "read the time from")[0]["now"]) - time.monotonic()
            self._refresh_at = time.monotonic() + CLOCK_SECONDS


def _moved(taken: Taken, seconds: float) -> Taken:
    """Return what was taken with its times on this machine's clock."""
    tokens, requests = taken.tokens, taken.requests
    return replace(
        taken,
        tokens=None if tokens is None else replace(tokens, reset=tokens.reset + seconds),
        requests=None if requests is None else replace(requests, reset=requests.reset + seconds),
    )


def _hashed(kind: str, name: str) -> str:
    return hashlib.blake2b(f"{kind} {name}".encode(), digest_size=16).hexdigest()


def _request(row: _Row, limit: int, cost: int, now: float) -> Counted:
    """Return what a request would take; the minute slides, so that no two bursts meet at its end."""
    share = 1 - min(1.0, max(0.0, now / MINUTE - row.minute))
    used = math.floor(row.previous * share) + row.count
    taken = cost if used + cost <= limit else 0
    # When one more of the minute before no longer counts, else at the end of this one.
    left = MINUTE * share % (MINUTE / row.previous) if row.previous else MINUTE * share
    return Counted(taken, now + left, max(0, limit - used - taken))
