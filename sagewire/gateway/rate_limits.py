"""Requests and tokens per minute: counted in this process; for several workers in the database, or in Redis.

Tokens are reserved before a request is served, and settled when it has ended and their number is known.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from limits.errors import StorageError

from sagewire.errors import UsageError
from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.rate_counters import (
    Counters,
    CountersInDatabase,
    CountersInMemory,
    CountersInRedis,
    redis_storage,
)
from sagewire.gateway.accounting.rate_table import Take, Taken
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

LIMIT_HEADERS = tuple(
    f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")
)


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
        self._local: Counters = CountersInMemory()
        self._redis = None if redis_url is None else CountersInRedis(redis_storage(redis_url))
        self._shared: Counters | None = self._redis
        if self._shared is None and store is not None:
            self._shared = CountersInDatabase(store)
        self._paused_until = 0.0

    @property
    def shared(self) -> bool:
        """Whether other workers see the same counts."""
        return self._shared is not None

    async def admit(
        self, key: Key, *, requests: int = 1, tokens: int = 1, model: str = ""
    ) -> tuple[dict[str, str], Reservation]:
        """Count a request of a key, and reserve its tokens.

        A request that alone needs more tokens than are left is served once: what is left is reserved for it.

        Args:
            key: Whose request it is.
            requests: As how many requests it counts.
            tokens: Tokens it will use at most, as far as can be told.
            model: Counts towards the key's limits for this model; empty for its limits for all.

        Returns:
            Response headers with the remaining quota, under OpenAI's names, and the reservation, to be settled.

        Raises:
            GatewayError: 400 for more prompts than the key may make requests; 429 if a limit is reached, 503 if the
                database has too much to do; `retry-after` says when to come back.
        """
        quota, of_model = (key.quota_of(model), f" of model '{model[:100]}'") if model else (key.quota, "")
        if quota.requests is not None and requests > quota.requests:
            raise GatewayError(
                400,
                "too_many_prompts",
                f"the request has {requests} prompts, each of which counts as a request, and key '{key.name}' may make "
                f"{quota.requests} requests{of_model} per minute: send at most so many prompts at a time",
                param="prompt",
            )
        headers: dict[str, str] = {}
        found = await self._take(quota, requests, tokens)
        if quota.tokens is not None and found.tokens is not None:
            headers |= _headers("tokens", quota.tokens, found.tokens.left, found.tokens.reset)
            if not found.tokens.taken:
                raise _too_many(key, f"tokens{of_model}", quota.tokens, found.tokens.reset, headers)
        if quota.requests is not None and found.requests is not None:
            headers |= _headers("requests", quota.requests, found.requests.left, found.requests.reset)
            if not found.requests.taken:
                raise _too_many(key, f"requests{of_model}", quota.requests, found.requests.reset, headers)
        return headers, _reservation(quota, found)

    async def take(self, quota: Quota, *, requests: int = 1, tokens: int = 1) -> Reservation | float:
        """Count a request of a deployment, and reserve its tokens.

        Args:
            quota: The deployment's limits.
            requests: As how many requests it counts; one that counts as more than the limit takes all of it.
            tokens: Tokens it will use at most, as far as can be told; what is left if that is less.

        Returns:
            The reservation, to be settled; or the seconds until there are more requests or tokens if none is left.
        """
        found = await self._take(quota, requests, tokens)
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
            # One of a deployment that counts as more requests than there may be at all would never be served.
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

    async def _ask(self, question: Callable[[Counters], Awaitable[T]]) -> T:
        if self._shared is not None and self._clock() >= self._paused_until:
            try:
                return await question(self._shared)
            except StoreBusy:
                # It answers, so nobody may count elsewhere.
                raise
            except (StoreError, StorageError, OSError, TimeoutError) as error:
                self._pause(error)
        return await question(self._local)

    def _pause(self, error: Exception) -> None:
        """Count in this process for a while; the database's calls write their own errors to the log."""
        # Only for the first of all that were waiting.
        if not isinstance(error, StoreError) and self._clock() >= self._paused_until:
            reason = error.storage_error if isinstance(error, StorageError) else error
            _log.warning("redis does not answer (%s): rate limits count per process now", type(reason).__name__)
        self._paused_until = self._clock() + PAUSE


def _reservation(quota: Quota, found: Taken) -> Reservation:
    return Reservation(quota) if found.tokens is None else Reservation(quota, found.tokens.taken, found.tokens.reset)


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
    config: GatewayConfig, workers: int, keys: Iterable[Key] = (), *, shared: bool = False, alone: bool = True
) -> None:
    """Check that limits would hold: each of several workers would count for itself.

    Args:
        config: The configuration.
        workers: Worker processes.
        keys: Further keys, from the database.
        shared: They have a database that all of them see.
        alone: No other process can serve requests of the same keys, as far as can be told.

    Raises:
        UsageError: There are limits, several workers, and nowhere to count together.
    """
    keys = [*map(from_config, config.keys), *keys]
    parallel = [key.name for key in keys if key.max_parallel_requests is not None]
    if parallel and not (alone and workers == 1):
        raise UsageError(
            f"{', '.join(parallel)} have `max_parallel_requests`, which is counted in one process: run one worker, "
            "without PostgreSQL, or limit requests per minute instead"
        )
    if workers == 1 or shared or config.server.redis_url is not None:
        return
    limited = [key.name for key in keys if key.limited]
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
