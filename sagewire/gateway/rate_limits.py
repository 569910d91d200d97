"""Requests and tokens per minute: counted in this process; for several workers in the database, or in Redis.

Tokens are reserved before a request is served, and settled when it has ended and their number is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from sagewire._extras import install_command
from sagewire.errors import UsageError
from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.database_calls import LONGEST_QUEUE, DatabaseCalls
from sagewire.gateway.accounting.rate_table import Count, Counted, GiveBack, RateTable, Step, Take, Taken
from sagewire.gateway.accounting.store_errors import StoreBusy, StoreError
from sagewire.gateway.config import GatewayConfig
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key, from_config
from sagewire.gateway.quota import Quota

__all__ = ["LIMIT_HEADERS", "RateLimits", "Reservation", "require_shared_counts"]

T = TypeVar("T")
_log = logging.getLogger("sagewire.gateway")
# Seconds without a request to Redis after one failed.
PAUSE = 5.0
# Steps in one transaction of the database, which others wait for.
STEPS = 200

LIMIT_HEADERS = tuple(
    f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")
)


class _Counters(Protocol):
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


class _InDatabase:
    """Both limits in the database. What waits while one transaction runs is done together in the next one."""

    def __init__(self, store: Store) -> None:
        self._table = RateTable(store)
        self._calls = DatabaseCalls(store, consequence="rate limits count per process")
        self._waiting: deque[_Waiting] = deque()
        self._late: deque[Step] = deque()
        self._lock = threading.Lock()
        self._working: asyncio.Task[None] | None = None

    async def take(self, asked: Take) -> Taken:
        return await self._done(asked)

    async def count(self, name: str, limit: int, tokens: int) -> None:
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
            # Nobody would answer them.
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


class _InStorage:
    """Both limits over one storage of the `limits` library: this process's memory, or Redis.

    Requests slide, so that no two bursts meet at a minute's end. Tokens count also beyond the limit, and are given back
    if more were reserved than used, which a fixed window can do.
    """

    def __init__(self, storage: Storage) -> None:
        self._requests = SlidingWindowCounterRateLimiter(storage)
        self._tokens = FixedWindowRateLimiter(storage)
        self.storage = storage

    async def take(self, asked: Take) -> Taken:
        tokens = None if asked.tokens is None else await self._reserve(asked.name, *asked.tokens)
        if asked.requests is None or (tokens is not None and not tokens.taken):
            return Taken(tokens)
        try:
            requests = await self._request(asked.name, *asked.requests)
        except BaseException:
            # Also if the caller was cancelled. What cannot be given back ends with the minute.
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
        item = RateLimitItemPerMinute(limit)
        key = item.key_for("tokens", name)
        if tokens > 0 or await self.storage.get(key) >= -tokens:
            await self.storage.incr(key, item.get_expiry(), amount=tokens)

    async def _request(self, name: str, limit: int, cost: int) -> Counted:
        item = RateLimitItemPerMinute(limit)
        admitted = await self._requests.hit(item, "requests", name, cost=cost)
        stats = await self._requests.get_window_stats(item, "requests", name)
        return Counted(cost if admitted else 0, stats[0], stats[1])


@dataclass(slots=True)
class Reservation:
    """Tokens of a quota that are set aside for one request.

    Args:
        quota: The quota.
        tokens: How many.
        until: When the minute ends in which they were taken, as a Unix time.
    """

    quota: Quota
    tokens: int = 0
    until: float = 0.0


class RateLimits:
    """The use of each key in the current minute.

    While Redis or the database does not answer, each process counts for itself: limits are then looser, but requests
    are served.

    Args:
        redis_url: `redis://...`, `rediss://...` or `redis+sentinel://...`.
        store: Counts in this database if there is no Redis; `None` counts in this process.
        clock: Seconds, monotonic.

    Raises:
        UsageError: The URL is not valid, or redis is not installed.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        store: Store | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._local: _Counters = _InStorage(MemoryStorage())
        self._redis = None if redis_url is None else _InStorage(_redis(redis_url))
        self._shared: _Counters | None = self._redis
        if self._shared is None and store is not None:
            self._shared = _InDatabase(store)
        self._paused_until = 0.0

    @property
    def shared(self) -> bool:
        """Whether other workers see the same counts."""
        return self._shared is not None

    async def admit(self, key: Key, *, requests: int = 1, tokens: int = 1) -> tuple[dict[str, str], Reservation]:
        """Count a request of a key, and reserve its tokens.

        A request that alone needs more tokens than are left is served once: what is left is reserved for it.

        Args:
            key: Whose request it is.
            requests: As how many requests it counts.
            tokens: Tokens it will use at most, as far as can be told.

        Returns:
            Response headers with the remaining quota, under OpenAI's names, and the reservation, to be settled.

        Raises:
            GatewayError: 429 if a limit is reached, 503 if the database has too much to do; `retry-after` says when to
                come back.
        """
        quota = key.quota
        headers: dict[str, str] = {}
        found = await self._take(quota, requests, tokens)
        if quota.tokens is not None and found.tokens is not None:
            headers |= _headers("tokens", quota.tokens, found.tokens.left, found.tokens.reset)
            if not found.tokens.taken:
                raise _too_many(key, "tokens", quota.tokens, found.tokens.reset, headers)
        if quota.requests is not None and found.requests is not None:
            headers |= _headers("requests", quota.requests, found.requests.left, found.requests.reset)
            if not found.requests.taken:
                raise _too_many(key, "requests", quota.requests, found.requests.reset, headers)
        return headers, _reservation(quota, found)

    async def take(self, quota: Quota, *, tokens: int = 1) -> Reservation | float:
        """Count a request of a deployment, and reserve its tokens.

        Args:
            quota: The deployment's limits.
            tokens: Tokens it will use at most, as far as can be told; what is left if that is less.

        Returns:
            The reservation, to be settled; or the seconds until there are more requests or tokens if none is left.
        """
        found = await self._take(quota, 1, tokens)
        for counted in (found.tokens, found.requests):
            if counted is not None and not counted.taken:
                return max(0.0, counted.reset - time.time())
        return _reservation(quota, found)

    async def settle(self, reservation: Reservation, tokens: int) -> None:
        """Count the tokens of a finished request in place of those that were reserved for it."""
        quota = reservation.quota
        if quota.tokens is None:
            return
        # Reservations of a minute that is over no longer count.
        reserved = reservation.tokens if time.time() < reservation.until else 0
        reservation.tokens = 0
        await self._count_tokens(quota, quota.tokens, tokens - reserved)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            storage: Any = self._redis.storage
            with contextlib.suppress(Exception):
                await storage.bridge.storage.aclose()

    async def _take(self, quota: Quota, requests: int, tokens: int) -> Taken:
        asked = Take(
            quota.name,
            None if quota.tokens is None else (quota.tokens, tokens),
            # One that counts as more requests than there may be at all would never be served.
            None if quota.requests is None else (quota.requests, min(requests, quota.requests)),
        )
        if not asked.counters():
            return Taken()
        try:
            return await self._ask(lambda counters: counters.take(asked))
        except StoreBusy:
            raise GatewayError(
                503,
                "rate_limits_unavailable",
                "too many requests are waiting for their rate limits; try again",
                headers={"retry-after": "5"},
            ) from None

    async def _count_tokens(self, quota: Quota, limit: int, tokens: int) -> None:
        if tokens:
            with contextlib.suppress(StoreBusy):
                await self._ask(lambda counters: counters.count(quota.name, limit, tokens))

    async def _ask(self, question: Callable[[_Counters], Awaitable[T]]) -> T:
        if self._shared is not None and self._clock() >= self._paused_until:
            try:
                return await question(self._shared)
            except StoreBusy:
                raise  # it answers, so nobody may count elsewhere
            except StoreError:
                pass  # the database's calls have said so
            except (StorageError, OSError, TimeoutError) as error:
                if self._clock() >= self._paused_until:
                    # The first of all that were waiting.
                    reason = error.storage_error if isinstance(error, StorageError) else error
                    _log.warning("redis does not answer (%s): rate limits count per process now", type(reason).__name__)
            self._paused_until = self._clock() + PAUSE
        return await question(self._local)


def _reservation(quota: Quota, found: Taken) -> Reservation:
    return Reservation(quota) if found.tokens is None else Reservation(quota, found.tokens.taken, found.tokens.reset)


def _redis(url: str) -> Storage:
    from limits.storage import storage_from_string

    try:
        found = storage_from_string(
            f"async+{url}", implementation="redispy", wrap_exceptions=True, socket_timeout=1, socket_connect_timeout=1
        )
    except Exception as error:
        # The library raises its own, redis's and ValueError for URLs; their texts hold the URL, and so a password.
        kind = type(error).__name__
        raise UsageError(
            f"redis_url cannot be used ({kind}); write redis://host:6379/0, and {install_command('gateway-cluster')}"
        ) from None
    assert isinstance(found, Storage)
    return found


def _headers(kind: str, limit: int, left: int, reset: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{kind}": str(limit),
        f"x-ratelimit-remaining-{kind}": str(max(0, left)),
        f"x-ratelimit-reset-{kind}": f"{_seconds_until(reset)}s",
    }


def _too_many(key: Key, kind: str, limit: int, reset: float, headers: dict[str, str]) -> GatewayError:
    wait = _seconds_until(reset)
    return GatewayError(
        429,
        "rate_limit_exceeded",
        f"key '{key.name}' may use {limit} {kind} per minute; try again in {wait} s",
        headers={**headers, "retry-after": str(wait)},
    )


def _seconds_until(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))


def require_shared_counts(
    config: GatewayConfig, workers: int, keys: Iterable[Key] = (), *, shared: bool = False
) -> None:
    """Check that rate limits would hold: each of several workers would count for itself.

    Args:
        config: The configuration.
        workers: Worker processes.
        keys: Further keys, from the database.
        shared: They have a database that all of them see.

    Raises:
        UsageError: There are limits, several workers, and nowhere to count together.
    """
    if workers == 1 or shared or config.server.redis_url is not None:
        return
    limited = [key.name for key in (*map(from_config, config.keys), *keys) if key.quota.limited]
    limited += [
        one.label
        for model in config.models.values()
        for one in model.deployments
        if one.requests_per_minute or one.tokens_per_minute
    ]
    if limited:
        raise UsageError(
            f"{', '.join(limited)} have rate limits, which {workers} workers can only count together in Redis: set "
            "`server.redis_url` (`router_settings.redis_host` in a LiteLLM file), or run one worker"
        )
