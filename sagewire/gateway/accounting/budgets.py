"""Budgets of keys: reserved before a request is served, settled after it, in the database that all workers share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from sagewire.gateway.accounting.costs import nanodollars
from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.database_calls import DatabaseCalls
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.accounting.tables import COSTS, KEYS, MOST, RESERVED, SPEND, as_utc
from sagewire.gateway.durations import after
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key

__all__ = ["BudgetReservation", "Budgets", "Spend", "SpendTable"]

_log = logging.getLogger("sagewire.gateway")
Now = Callable[[], datetime]
# After so long, what is set aside for a request is given back if another one needs it.
_LONGEST = timedelta(minutes=15)
# So many keys are asked for by their accounts; of more, all rows are read.
_FEW = 200


@dataclass(frozen=True, slots=True)
class Spend:
    """What a key has spent.

    Args:
        nanodollars: The amount.
        resets_at: When it starts anew, `None` for never.
    """

    nanodollars: int
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BudgetReservation:
    """A part of a key's budget that is set aside for one request.

    Args:
        key: The key.
        nanodollars: How much; 0 if nothing is left.
        spend: The dollars spent by then, reservations included.
        id: Its row in the database.
    """

    key: Key
    nanodollars: int
    spend: Spend
    id: str = ""


class SpendTable:
    """What keys have spent, in the database. Every call blocks.

    Args:
        store: The database.
        now: The time of day.
    """

    def __init__(self, store: Store, now: Now = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now

    def reserve(self, key: Key, wanted: int) -> BudgetReservation:
        """Set aside up to an amount, as far as the budget goes.

        Raises:
            StoreError: The database does not answer.
        """
        with self._store.transaction("reserve a budget in") as connection:
            _, before = self._locked(connection, key, make=True)
            most, wanted = nanodollars(key.max_budget or 0.0), max(1, wanted)
            if most - before.nanodollars < wanted:
                before = self._without_old(connection, key, before)
            taken = max(0, min(wanted, most - before.nanodollars))
            found = BudgetReservation(key, taken, Spend(before.nanodollars + taken, before.resets_at), uuid4().hex)
            self._write(connection, key.account, found.spend)
            if taken:
                row = {"id": found.id, "key_name": key.account, "nanodollars": taken, "resets_at": before.resets_at}
                connection.execute(sa.insert(RESERVED).values(**row, until=self._now() + _LONGEST))
        return found

    def settle(self, reservation: BudgetReservation, cost: int) -> None:
        """Count the cost of a finished request in place of what was set aside for it.

        Raises:
            StoreError: The database does not answer.
        """
        key = reservation.key
        with self._store.transaction("settle a budget in") as connection:
            here = RESERVED.c.id == reservation.id
            # The row of the key first, as everywhere; the key may have another name by now.
            now_named = sa.func.coalesce(sa.select(RESERVED.c.key_name).where(here).scalar_subquery(), key.account)
            name, before = self._locked(connection, key, now_named)
            kept = connection.execute(sa.delete(RESERVED).where(here).returning(RESERVED.c.id)).first() is not None
            if not kept and key.digest and key.owned is None and self._has_another(connection, name, key.digest):
                # Made under the name of a key that was revoked while it answered.
                return
            # Reservations of a period that is over no longer count, nor those given back after a while.
            current = kept and before.resets_at == reservation.spend.resets_at
            spent = before.nanodollars - (reservation.nanodollars if current else 0)
            self._write(connection, name, Spend(min(MOST, max(0, spent) + cost), before.resets_at))

    @staticmethod
    def _has_another(connection: sa.Connection, name: str, digest: str) -> bool:
        """Return whether a name belongs to another key by now."""
        found = connection.execute(sa.select(KEYS.c.digest).where(KEYS.c.name == name)).scalar()
        return found is not None and found != digest

    def of(self, key: Key) -> Spend:
        """Return what a key has spent: of its budget, or in all if it has none.

        Raises:
            StoreError: The database does not answer.
        """
        return self.of_all([key])[0]

    def of_all(self, keys: Sequence[Key]) -> list[Spend]:
        """Return what keys have spent.

        Raises:
            StoreError: The database does not answer.
        """
        spend, costs = sa.select(SPEND), sa.select(COSTS)
        if len(keys) <= _FEW:
            accounts = [key.account for key in keys]
            spend, costs = spend.where(SPEND.c.key_name.in_(accounts)), costs.where(COSTS.c.account.in_(accounts))
        budgets = {row["key_name"]: row for row in self._store.rows(spend, "read budgets from")}
        in_all = {row["account"]: int(row["nanodollars"]) for row in self._store.rows(costs, "read costs from")}
        now = self._now()
        return [_spend_of(key, budgets.get(key.account), in_all.get(key.account, 0), now) for key in keys]

    def reset(self, key: Key, spent: int) -> None:
        """Let a key have spent an amount; what is set aside for requests in flight comes on top.

        Raises:
            StoreError: The database does not answer.
        """
        with self._store.transaction("reset a budget in") as connection:
            if key.max_budget is not None:
                _, before = self._locked(connection, key, make=True)
                held = sa.select(RESERVED.c.nanodollars, RESERVED.c.resets_at).where(RESERVED.c.key_name == key.account)
                open_now = sum(
                    int(amount)
                    for amount, period in connection.execute(held)
                    if (None if period is None else as_utc(period)) == before.resets_at
                )
                self._write(connection, key.account, Spend(min(MOST, spent + open_now), before.resets_at))
            first = self._store.insert(COSTS).values(account=key.account, nanodollars=spent)
            connection.execute(first.on_conflict_do_update(index_elements=["account"], set_={"nanodollars": spent}))

    def _without_old(self, connection: sa.Connection, key: Key, spend: Spend) -> Spend:
        """Give back what is set aside for requests that must have ended: their processes were killed."""
        old = sa.delete(RESERVED).where(RESERVED.c.key_name == key.account, RESERVED.c.until <= self._now())
        rows = connection.execute(old.returning(RESERVED.c.nanodollars, RESERVED.c.resets_at)).all()
        given_back = sum(
            int(amount) for amount, period in rows if (None if period is None else as_utc(period)) == spend.resets_at
        )
        return Spend(max(0, spend.nanodollars - given_back), spend.resets_at)

    def _locked(
        self, connection: sa.Connection, key: Key, name: Any = None, *, make: bool = False
    ) -> tuple[str, Spend]:
        """Return the key's account and its spend of this period; the row stays locked until the transaction ends.

        Args:
            connection: In a transaction.
            key: The key.
            name: An expression for its account, if that may have changed: it is the name of older keys.
            make: Make the row if it is missing.
        """
        same = {"nanodollars": SPEND.c.nanodollars}
        here = SPEND.c.key_name == (key.account if name is None else name)
        row = connection.execute(sa.update(SPEND).where(here).values(same).returning(SPEND)).mappings().first()
        if row is None and make:
            first = self._store.insert(SPEND).values(key_name=key.account, nanodollars=_before(key), resets_at=None)
            again = first.on_conflict_do_update(index_elements=["key_name"], set_=same)
            row = connection.execute(again.returning(SPEND)).mappings().first()
        if row is None:
            return key.account, Spend(0)
        return row["key_name"], _in_period(key, row, self._now())

    @staticmethod
    def _write(connection: sa.Connection, name: str, spend: Spend) -> None:
        values = {"nanodollars": spend.nanodollars, "resets_at": spend.resets_at}
        connection.execute(sa.update(SPEND).where(SPEND.c.key_name == name).values(**values))


def _in_period(key: Key, row: Mapping[Any, Any], now: datetime) -> Spend:
    resets_at = None if row["resets_at"] is None else as_utc(row["resets_at"])
    if resets_at is not None and resets_at <= now:
        return Spend(0, _next_reset(key, now))
    return Spend(int(row["nanodollars"]), _reset(key, resets_at, now))


def _spend_of(key: Key, row: Mapping[Any, Any] | None, in_all: int, now: datetime) -> Spend:
    if key.max_budget is None:
        return Spend(in_all)
    if row is None:
        # As it will begin with the first request.
        return Spend(0 if key.budget_duration else in_all, _next_reset(key, now))
    return _in_period(key, row, now)


def _next_reset(key: Key, now: datetime) -> datetime | None:
    return after(key.budget_duration, now) if key.budget_duration else None


def _reset(key: Key, known: datetime | None, now: datetime) -> datetime | None:
    """Return when the budget starts anew, also if its duration has changed."""
    latest = _next_reset(key, now)
    return latest if known is None or latest is None else min(known, latest)


def _costs_of(key: Key) -> sa.ColumnElement[int]:
    costs = sa.select(COSTS.c.nanodollars).where(COSTS.c.account == key.account).scalar_subquery()
    return sa.func.coalesce(costs, 0)


def _before(key: Key) -> sa.ColumnElement[int]:
    """Return what counts as spent when a budget begins: all since the key was made if it never starts anew."""
    return sa.literal(0) if key.budget_duration else _costs_of(key)


class Budgets:
    """The budgets of keys, as requests use them.

    While the database does not answer, requests of keys with a budget are refused.

    Args:
        store: The database.
        now: The time of day.
    """

    def __init__(self, store: Store, now: Now = lambda: datetime.now(UTC)) -> None:
        self._table = SpendTable(store, now)
        self._calls = DatabaseCalls(store)
        self._now = now
        self._late: deque[_Settling] = deque()

    async def reserve(self, key: Key, wanted: int) -> BudgetReservation:
        """Set aside what a request may cost.

        A request that alone costs more than is left is served once: what is left is set aside for it.

        Raises:
            GatewayError: 429 if nothing is left, 503 if the database does not answer.
        """
        asked = _Reserving(self._table, key, wanted, self._late)
        try:
            await self._settle_late()
            found = await self._calls.run(asked.run)
        except StoreError:
            asked.give_up()
            raise GatewayError(
                503, "budget_unavailable", "budgets cannot be checked now; try again", headers={"retry-after": "5"}
            ) from None
        except BaseException:
            asked.give_up()
            raise
        if not found.nanodollars:
            raise self._spent(key, found.spend)
        return found

    async def settle(self, reservation: BudgetReservation, cost: int) -> None:
        """Count the cost of a finished request; at once, or as soon as the database answers."""
        self._late.append(_Settling(self._table, reservation, cost))
        await self.close()

    async def close(self) -> None:
        """Settle the open reservations. One that cannot be settled stays set aside."""
        with contextlib.suppress(StoreError):
            await self._settle_late()

    async def _settle_late(self) -> None:
        while self._late:
            settling = self._late.popleft()
            try:
                await self._calls.run(settling.run)
            except (StoreError, asyncio.CancelledError):
                self._late.appendleft(settling)
                raise
            except Exception as error:
                # Another try would fail, too, and stop all requests that come after it.
                _log.error(
                    "the cost of a request of key %r is not counted: %s", settling.key_name, type(error).__name__
                )

    def _spent(self, key: Key, spend: Spend) -> GatewayError:
        limit = key.max_budget or 0.0
        headers = {"x-should-retry": "false"}
        until = "a new budget"
        if spend.resets_at is not None:
            wait = max(1, math.ceil((spend.resets_at - self._now()).total_seconds()))
            headers["retry-after"] = str(wait)
            until = f"{spend.resets_at:%Y-%m-%d %H:%M} UTC"
        return GatewayError(
            429,
            "budget_exceeded",
            f"key '{key.name}' has spent its budget of ${limit:g}; wait for {until}",
            headers=headers,
        )


class _Reserving:
    """A reservation in a thread, which is given back if nobody waits for it any more."""

    def __init__(self, table: SpendTable, key: Key, wanted: int, late: deque[_Settling]) -> None:
        self._table, self._key, self._wanted, self._late = table, key, wanted, late
        self._lock = threading.Lock()
        self._given_up = False
        self._found: BudgetReservation | None = None

    def run(self) -> BudgetReservation:
        found = self._table.reserve(self._key, self._wanted)
        with self._lock:
            self._found = found
            if not self._given_up:
                return found
        self._give_back(found)
        return found

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            if self._found is None:
                return
        self._late.append(_Settling(self._table, self._found, 0))

    def _give_back(self, found: BudgetReservation) -> None:
        settling = _Settling(self._table, found, 0)
        try:
            settling.run()
        except StoreError:
            self._late.append(settling)


class _Settling:
    """A settlement in a thread, done once however often it is tried: one that came too late may still be done."""

    def __init__(self, table: SpendTable, reservation: BudgetReservation, cost: int) -> None:
        self._table, self._reservation, self._cost = table, reservation, cost
        self._lock = threading.Lock()
        self._done = False

    @property
    def key_name(self) -> str:
        return self._reservation.key.name

    def run(self) -> None:
        with self._lock:
            if not self._done:
                self._table.settle(self._reservation, self._cost)
                self._done = True
