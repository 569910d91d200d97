"""Where requests and tokens of the current minute are counted: in this process, in Redis, or in the database."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Any, Protocol

from limits import RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter

from sagewire._extras import install_command
from sagewire.errors import UsageError
from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.database_calls import LONGEST_QUEUE, DatabaseCalls
from sagewire.gateway.accounting.rate_table import Count, Counted, GiveBack, RateMemory, RateTable, Step, Take, Taken
from sagewire.gateway.accounting.store_errors import StoreBusy, StoreError

__all__ = ["Counters", "CountersInDatabase", "CountersInMemory", "CountersInRedis", "redis_storage"]

# Steps in one transaction of the database, which others wait for.
STEPS = 200


class Counters(Protocol):
    """The counts of one place; each step is done as a whole, however many are at it."""

    async def take(self, asked: Take) -> Taken:
        """Count a request and its tokens, both or neither."""
        ...

    async def count(self, name: str, limit: int, tokens: int) -> None:
        """Count tokens, also beyond the limit, or give them back if the number is negative."""
        ...


class _Waiting:
    """A step that waits for its transaction."""

    def __init__(self, step: Step) -> None:
        loop = asyncio.get_running_loop()
        self.step = step
        self.since = loop.time()
        self.answer: asyncio.Future[Taken] = loop.create_future()
        # Both are set under the lock of the counters.
        self.given_up = False
        self.taken: Taken | None = None

    def failed(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class CountersInDatabase:
    """Both limits in the database. Steps that wait while one transaction runs are done together in the next one."""

    def __init__(self, store: Store) -> None:
        self._table = RateTable(store)
        self._calls = DatabaseCalls(store, consequence="rate limits count per process")
        self._waiting: deque[_Waiting] = deque()
        self._late: deque[Step] = deque()
        self._lock = threading.Lock()
        self._working: asyncio.Task[None] | None = None

    async def take(self, asked: Take) -> Taken:
        """Count a request and its tokens, both or neither."""
        return await self._done(asked)

    async def count(self, name: str, limit: int, tokens: int) -> None:
        """Count tokens, also beyond the limit; a negative number gives them back."""
        await self._done(Count(name, tokens))

    async def _done(self, step: Step) -> Taken:
        waiting = _Waiting(step)
        self._waiting.append(waiting)
        self._begin()
        try:
            return await waiting.answer
        except BaseException:
            self._give_up(waiting)
            raise

    def _begin(self) -> None:
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())

    def _give_up(self, waiting: _Waiting) -> None:
        """Give back what a step has taken or will take; its caller is gone, or counts elsewhere."""
        with self._lock:
            waiting.given_up = True
            if waiting.taken is None or not isinstance(waiting.step, Take):
                return
        self._late.append(GiveBack(waiting.step.name, waiting.taken))
        self._begin()

    async def _work(self) -> None:
        batch: list[_Waiting] = []
        try:
            while True:
                batch = self._next()
                try:
                    found = await self._calls.run(self._run, batch)
                except Exception as error:
                    for one in batch:
                        one.failed(error)
                else:
                    for one, taken in zip(batch, found, strict=True):
                        if not one.answer.done():
                            one.answer.set_result(taken)
                if not self._waiting:
                    return
        except BaseException:
            # They would wait without an answer.
            for one in (*batch, *self._waiting):
                one.answer.cancel()
            self._waiting.clear()
            raise

    def _next(self) -> list[_Waiting]:
        """Return the steps of the next transaction, without those that nobody waits for or that waited too long."""
        batch: list[_Waiting] = []
        now = asyncio.get_running_loop().time()
        while self._waiting and len(batch) < STEPS:
            one = self._waiting.popleft()
            # Tokens that were used are counted in any case.
            if isinstance(one.step, Take):
                if now - one.since > LONGEST_QUEUE:
                    one.failed(StoreBusy("the database has too much to do"))
                if one.answer.done():
                    continue
            batch.append(one)
        return batch

    def _run(self, batch: list[_Waiting]) -> list[Taken]:
        """Do steps, in a thread; what nobody waits for any more is given back."""
        late = self._pop_late()
        try:
            found = self._table.run([*late, *(one.step for one in batch)])[len(late) :]
        except StoreError:
            # Their turn comes with the next step.
            self._late.extend(late)
            raise
        with self._lock:
            for one, taken in zip(batch, found, strict=True):
                one.taken = taken
                if one.given_up and isinstance(one.step, Take):
                    self._late.append(GiveBack(one.step.name, taken))
        late = self._pop_late()
        if late:
            try:
                self._table.run(late)
            except StoreError:
                self._late.extend(late)
        return found

    def _pop_late(self) -> list[Step]:
        with self._lock:
            late = list(self._late)
            self._late.clear()
        return late


class CountersInMemory:
    """Both limits in this process."""

    def __init__(self) -> None:
        self._memory = RateMemory()

    async def take(self, asked: Take) -> Taken:
        """Count a request and its tokens, both or neither."""
        return self._memory.run(asked)

    async def count(self, name: str, limit: int, tokens: int) -> None:
        """Count tokens, also beyond the limit; a negative number gives them back."""
        self._memory.run(Count(name, tokens))


class CountersInRedis:
    """Both limits over Redis, as a storage of the `limits` library.

    Requests slide, so that no two bursts meet at a minute's end. Tokens count also beyond the limit, and are given back
    if more were reserved than used, which a fixed window can do.
    """

    def __init__(self, storage: Storage) -> None:
        self._requests = SlidingWindowCounterRateLimiter(storage)
        self._tokens = FixedWindowRateLimiter(storage)
        self.storage = storage

    async def take(self, asked: Take) -> Taken:
        """Count a request and its tokens, both or neither."""
        tokens = None if asked.tokens is None else await self._reserve(asked.name, *asked.tokens)
        if asked.requests is None or (tokens is not None and not tokens.taken):
            return Taken(tokens)
        try:
            requests = await self._request(asked.name, *asked.requests)
        except BaseException:
            # Also if the caller was cancelled. Counts that cannot be given back end with the minute.
            with contextlib.suppress(Exception):
                await self._give_back(asked, tokens)
            raise
        if not requests.taken:
            await self._give_back(asked, tokens)
        return Taken(tokens, requests)

    async def _give_back(self, asked: Take, tokens: Counted | None) -> None:
        if asked.tokens is not None and tokens is not None:
            await self.count(asked.name, asked.tokens[0], -tokens.taken)

    async def _reserve(self, name: str, limit: int, tokens: int) -> Counted:
        item = RateLimitItemPerMinute(limit)
        key, expiry = item.key_for("tokens", name), item.get_expiry()
        wanted = max(1, min(tokens, item.amount))
        # One step, so that of requests at the same time only one gets the last tokens.
        total = await self.storage.incr(key, expiry, amount=wanted)
        beyond = min(wanted, max(0, total - item.amount))
        if beyond:
            await self.storage.incr(key, expiry, amount=-beyond)
        stats = await self._tokens.get_window_stats(item, "tokens", name)
        return Counted(wanted - beyond, stats[0], stats[1])

    async def count(self, name: str, limit: int, tokens: int) -> None:
        """Count tokens, also beyond the limit; a negative number gives them back."""
        item = RateLimitItemPerMinute(limit)
        key = item.key_for("tokens", name)
        if tokens > 0 or await self.storage.get(key) >= -tokens:
            await self.storage.incr(key, item.get_expiry(), amount=tokens)

    async def _request(self, name: str, limit: int, cost: int) -> Counted:
        item = RateLimitItemPerMinute(limit)
        admitted = await self._requests.hit(item, "requests", name, cost=cost)
        stats = await self._requests.get_window_stats(item, "requests", name)
        return Counted(cost if admitted else 0, stats[0], stats[1])


def redis_storage(url: str) -> Storage:
    """Return the storage behind a URL: `redis://...`, `rediss://...` or `redis+sentinel://...`.

    Raises:
        UsageError: The URL is not one of these, or the package for it is missing.
    """
    from limits.storage import storage_from_string

    try:
        settings: Any = {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": _reconnect()}
        found = storage_from_string(f"async+{url}", implementation="redispy", wrap_exceptions=True, **settings)
    except Exception as error:
        # The library raises its own, redis's and ValueError for URLs; their texts hold the URL, and so a password.
        kind = type(error).__name__
        raise UsageError(
            f"redis_url cannot be used ({kind}); write redis://host:6379/0, and {install_command('gateway-cluster')}"
        ) from None
    assert isinstance(found, Storage)
    return found


def _reconnect() -> Any:
    """Return redis's rule for a connection that was closed while nobody used it: once more, on a new one.

    A Redis that was started again has closed all of them, and is not away.
    """
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Disconnected

    return Retry(NoBackoff(), 1, supported_errors=(Disconnected,))
