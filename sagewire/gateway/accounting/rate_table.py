"""Requests and tokens of the current minute in the database, for workers without Redis. Every call blocks."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.tables import RATES

__all__ = ["Counted", "RateTable"]

MINUTE = 60
# Seconds between two deletions of counters that nobody uses any more.
PURGE_SECONDS = 600.0


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


@dataclass(slots=True)
class _Row:
    minute: int
    count: int
    previous: int


class RateTable:
    """Counters that all processes share.

    Args:
        store: The database.
        clock: The time, as a Unix time.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._purge_at = 0.0

    def reserve(self, name: str, limit: int, tokens: int) -> Counted:
        """Count up to so many tokens, as far as the limit of this minute goes.

        Raises:
            StoreError: The database does not answer.
        """
        with self._locked("tokens", name) as row:
            taken = max(0, min(max(1, tokens), limit - row.count))
            row.count += taken
        return Counted(taken, (row.minute + 1) * MINUTE, max(0, limit - row.count))

    def count(self, name: str, tokens: int) -> None:
        """Count tokens, also beyond the limit, or give them back if the number is negative.

        Raises:
            StoreError: The database does not answer.
        """
        with self._locked("tokens", name) as row:
            row.count = min(2**62, max(0, row.count + tokens))

    def request(self, name: str, limit: int, cost: int) -> Counted:
        """Count requests, all of them or none; the minute slides, so that no two bursts meet at its end.

        Raises:
            StoreError: The database does not answer.
        """
        with self._locked("requests", name) as row:
            now = self._clock()
            share = 1 - min(1.0, max(0.0, now / MINUTE - row.minute))
            used = math.floor(row.previous * share) + row.count
            taken = cost if used + cost <= limit else 0
            row.count += taken
        # When one more of the minute before no longer counts, else at the end of this one.
        left = MINUTE * share % (MINUTE / row.previous) if row.previous else MINUTE * share
        return Counted(taken, now + left, max(0, limit - used - taken))

    @contextmanager
    def _locked(self, kind: str, name: str) -> Iterator[_Row]:
        """Return a counter as it is in this minute; it is written at the end of the block, and locked until then."""
        now = self._clock()
        if now >= self._purge_at:
            self._purge_at = now + PURGE_SECONDS
            with self._store.transaction("delete rate counts from") as connection:
                connection.execute(sa.delete(RATES).where(RATES.c.minute < now // MINUTE - 1))
        # Names have any length.
        counter = hashlib.blake2b(f"{kind} {name}".encode(), digest_size=16).hexdigest()
        minute = int(now // MINUTE)
        with self._store.transaction("count rates in") as connection:
            first = self._store.insert(RATES).values(counter=counter, minute=minute, count=0, previous=0)
            found = first.on_conflict_do_update(index_elements=["counter"], set_={"counter": first.excluded.counter})
            before = connection.execute(found.returning(RATES)).mappings().one()
            row = _Row(before["minute"], before["count"], before["previous"])
            # The clock of another machine may be ahead.
            if row.minute < minute:
                row = _Row(minute, 0, row.count if row.minute == minute - 1 else 0)
            yield row
            values = {"minute": row.minute, "count": row.count, "previous": row.previous}
            connection.execute(sa.update(RATES).where(RATES.c.counter == counter).values(**values))
