"""Answers of the Responses API in the database, each for the key that it was made for. Every call here blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
import sqlalchemy as sa

from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.tables import RESPONSE_ITEMS, RESPONSES

__all__ = ["MAX_ID", "Chain", "ResponseTable", "StoredItem", "StoredResponse"]

JSON = dict[str, Any]
MAX_ID = 80
# Answers that one may refer back to, one after the other.
MAX_TURNS = 10_000
# Rows of one statement, which in all databases may have some tens of thousands of values.
_AT_ONCE = 500
# Answers that one transaction deletes: others wait for it.
_DELETED = 100


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A message, a tool call or the like.

    Args:
        body: The item.
        output: It is of the answer, not of the request.
        made_here: Its id was made here: requests may refer to it.
    """

    body: JSON
    output: bool = False
    made_here: bool = True


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer to be kept.

    Args:
        id: Its id.
        body: The `response` object without its output.
        items: The new input, followed by the output.
        previous_id: The answer it goes on from.
    """

    id: str
    body: JSON
    items: Sequence[StoredItem]
    previous_id: str | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A conversation as far as it is stored.

    Args:
        items: Its items from the first one on.
        size: The bytes that they and what goes with them have; more than was allowed if they were not read.
        missing: The id of an earlier answer that is not there, so that the beginning is unknown.
        too_many: It has more items or answers than are read, and none was.
    """

    items: list[JSON]
    size: int = 0
    missing: str | None = None
    too_many: bool = False


class ResponseTable:
    """The answers that are stored.

    Args:
        store: The database.
        now: The time of day.
    """

    def __init__(self, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now

    def add(self, owner: str, response: StoredResponse, expires: datetime, most: int) -> int:
        """Keep an answer; return its size in bytes, 0 if it is larger than `most` and is not kept.

        Raises:
            StoreError: The database does not answer.
        """
        body = orjson.dumps(response.body)
        bodies = [orjson.dumps(item.body) for item in response.items]
        size = len(body) + sum(map(len, bodies))
        if size > most:
            return 0
        row = {
            "owner": owner,
            "id": response.id,
            "previous_id": response.previous_id,
            "created": self._now(),
            "expires": expires,
            "size": size,
            "body": body,
        }
        with self._store.transaction("store a response in") as connection:
            made = connection.execute(sa.insert(RESPONSES).values(**row).returning(RESPONSES.c.number)).scalar_one()
            rows = [
                {
                    "response": made,
                    "position": position,
                    "owner": owner,
                    "item_id": item.body["id"] if item.made_here else None,
                    "output": item.output,
                    "size": len(data),
                    "body": data,
                }
                for position, (item, data) in enumerate(zip(response.items, bodies, strict=True))
            ]
            if rows:
                connection.execute(sa.insert(RESPONSE_ITEMS), rows)
        return size

    def get(self, owner: str, id: str) -> JSON | None:
        """Return an answer with its output.

        Raises:
            StoreError: The database does not answer.
        """
        found = self._store.rows(
            sa.select(RESPONSES.c.number, RESPONSES.c.body).where(*self._current(owner, id)), "read a response from"
        )
        if not found:
            return None
        here = RESPONSE_ITEMS.c.response == found[0]["number"]
        query = sa.select(RESPONSE_ITEMS.c.body).where(here, RESPONSE_ITEMS.c.output)
        output = self._store.rows(query.order_by(RESPONSE_ITEMS.c.position), "read a response from")
        return {**orjson.loads(found[0]["body"]), "output": [orjson.loads(row["body"]) for row in output]}

    def chain(self, owner: str, id: str, most: int, most_items: int, *, output: bool = True) -> Chain | None:
        """Return the conversation up to an answer, `None` if there is no such answer.

        Args:
            owner: Whose it is.
            id: The answer.
            most: Bytes; a conversation that has more is not read.
            most_items: Items; likewise.
            output: With that answer's own output.

        Raises:
            StoreError: The database does not answer.
        """
        turns = self._store.rows(self._back_from(owner, id, most), "read a conversation from")
        if not turns:
            return None
        size = int(turns[-1]["total"])
        missing = turns[-1]["previous_id"]
        if size > most:
            return Chain([], size)
        if missing is not None:
            # It may be there, and only be farther back than is looked.
            far = int(turns[-1]["depth"]) >= MAX_TURNS
            return Chain([], size, None if far else missing, far)
        items: list[JSON] = []
        last = turns[0]["number"]
        # An answer is stored after the one that it goes on from, and has the higher number.
        numbers = sorted(turn["number"] for turn in turns)
        parts = [RESPONSE_ITEMS.c.response.in_(some) for some in _in_parts(numbers)]
        wanted = [here if output else here & self._asked(last) for here in parts]
        # Bytes do not bound their number: an item can be very small.
        count = 0
        for here in wanted:
            query = sa.select(sa.func.count().label("count")).select_from(RESPONSE_ITEMS).where(here)
            count += int(self._store.rows(query, "read a conversation from")[0]["count"])
            if count > most_items:
                return Chain([], size, too_many=True)
        for here in wanted:
            bodies = sa.select(RESPONSE_ITEMS.c.body).where(here)
            rows = self._store.rows(
                bodies.order_by(RESPONSE_ITEMS.c.response, RESPONSE_ITEMS.c.position), "read a conversation from"
            )
            items += [orjson.loads(row["body"]) for row in rows]
        return Chain(items, size)

    @staticmethod
    def _asked(last: int) -> sa.ColumnElement[bool]:
        return (RESPONSE_ITEMS.c.response != last) | sa.not_(RESPONSE_ITEMS.c.output)

    def _back_from(self, owner: str, id: str, most: int) -> sa.Select[Any]:
        """Return the query for the answers from one back to the first, as far as `most` bytes go."""
        own = RESPONSES.c
        first = sa.select(own.number, own.previous_id, own.size.label("total"), sa.literal(0).label("depth"))
        turns = first.where(*self._current(owner, id)).cte("turns", recursive=True)
        before = sa.select(own.number, own.previous_id, turns.c.total + own.size, turns.c.depth + 1)
        before = before.join(turns, own.id == turns.c.previous_id).where(
            own.owner == owner, own.expires > self._now(), turns.c.total <= most, turns.c.depth < MAX_TURNS
        )
        whole = turns.union_all(before)
        return sa.select(whole).order_by(whole.c.depth)

    def items(self, owner: str, ids: Collection[str], most: int) -> dict[str, JSON] | None:
        """Return items by their ids, as far as there are; `None` if they have more than `most` bytes.

        Raises:
            StoreError: The database does not answer.
        """
        own, found, size = RESPONSE_ITEMS.c, dict[str, JSON](), 0
        for some in _in_parts(ids):
            here = sa.select(own.item_id, own.size, own.response, own.position).join(
                RESPONSES, RESPONSES.c.number == own.response
            )
            here = here.where(own.owner == owner, own.item_id.in_(some), RESPONSES.c.expires > self._now())
            places = self._store.rows(here, "read items from")
            size += sum(int(place["size"]) for place in places)
            if size > most:
                return None
            wanted = sa.tuple_(own.response, own.position).in_([(one["response"], one["position"]) for one in places])
            for row in self._store.rows(sa.select(own.item_id, own.body).where(wanted), "read items from"):
                found[row["item_id"]] = orjson.loads(row["body"])
        return found

    def delete(self, owner: str, id: str) -> bool:
        """Delete an answer; return whether there was one.

        Raises:
            StoreError: The database does not answer.
        """
        query = sa.select(RESPONSES.c.number).where(*self._current(owner, id))
        found = [row["number"] for row in self._store.rows(query, "find a response in")]
        self.remove(found)
        return bool(found)

    def oldest(self, owner: str, most: int) -> list[int]:
        """Return the numbers of a key's oldest answers, without which the others have no more than `most` bytes.

        Raises:
            StoreError: The database does not answer.
        """
        own = RESPONSES.c
        total = sa.func.sum(own.size).over(order_by=own.number.desc()).label("total")
        sums = sa.select(own.number, total).where(own.owner == owner).subquery()
        query = sa.select(sums.c.number).where(sums.c.total > most).order_by(sums.c.number)
        return [row["number"] for row in self._store.rows(query, "find old responses in")]

    def expired(self) -> list[int]:
        """Return the numbers of some answers that have expired, none if there are none.

        Raises:
            StoreError: The database does not answer.
        """
        query = sa.select(RESPONSES.c.number).where(RESPONSES.c.expires <= self._now()).limit(_AT_ONCE)
        return [row["number"] for row in self._store.rows(query, "find old responses in")]

    def remove(self, numbers: Collection[int]) -> None:
        """Delete answers by their numbers, in parts.

        Raises:
            StoreError: The database does not answer.
        """
        for some in _in_parts(numbers, _DELETED):
            self._store.remove_responses(some)

    def _current(self, owner: str, id: str) -> tuple[sa.ColumnElement[bool], ...]:
        return RESPONSES.c.owner == owner, RESPONSES.c.id == id, RESPONSES.c.expires > self._now()


def _in_parts(values: Collection[Any], most: int = _AT_ONCE) -> Iterator[list[Any]]:
    left = iter(values)
    while some := list(islice(left, most)):
        yield some
