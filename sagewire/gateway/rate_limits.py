"""Requests and tokens per minute: counted in this process, or in Redis for several workers or machines."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from sagewire.errors import UsageError
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key
from sagewire.gateway.quota import Quota

__all__ = ["RateLimits"]

T = TypeVar("T")
_log = logging.getLogger("sagewire.gateway")
# How long Redis is left alone after it failed.
PAUSE = 5.0


class _Counters:
    """Both limits over one storage.

    Requests slide, so that no two bursts meet at a minute's end. Tokens are known only afterwards and then always
    count, also beyond the limit, which a fixed window can do.
    """

    def __init__(self, storage: Storage) -> None:
        self.requests = SlidingWindowCounterRateLimiter(storage)
        self.tokens = FixedWindowRateLimiter(storage)


class RateLimits:
    """What each key has used of its minute.

    While Redis does not answer, each process counts for itself: limits are then looser, and nobody is locked out.

    Args:
        redis_url: `redis://...`, `rediss://...` or `redis+sentinel://...`; `None` counts in this process.
        clock: Seconds, monotonic.

    Raises:
        UsageError: The URL is none, or redis is not installed.
    """

    def __init__(self, redis_url: str | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._local = _Counters(MemoryStorage())
        self._shared = None if redis_url is None else _Counters(_redis(redis_url))
        self._paused_until = 0.0

    @property
    def shared(self) -> bool:
        """Whether other workers see the same counts."""
        return self._shared is not None

    async def admit(self, key: Key) -> dict[str, str]:
        """Count one request of a key.

        Returns:
            Response headers that say what is left, under OpenAI's names.

        Raises:
            GatewayError: A limit is reached; `retry-after` says when to come back.
        """
        quota = key.quota
        headers: dict[str, str] = {}
        if quota.tokens is not None:
            reset, left = await self._tokens_left(quota, quota.tokens)
            headers |= _headers("tokens", quota.tokens, left, reset)
            if left <= 0:
                raise _too_many(key, "tokens", quota.tokens, reset, headers)
        if quota.requests is not None:
            admitted, reset, left = await self._request(quota, quota.requests)
            headers |= _headers("requests", quota.requests, left, reset)
            if not admitted:
                raise _too_many(key, "requests", quota.requests, reset, headers)
        return headers

    async def take(self, quota: Quota) -> float | None:
        """Count one request; return the seconds until there is another where none is left, else `None`."""
        if quota.tokens is not None:
            reset, left = await self._tokens_left(quota, quota.tokens)
            if left <= 0:
                return max(0.0, reset - time.time())
        if quota.requests is not None:
            admitted, reset, _ = await self._request(quota, quota.requests)
            if not admitted:
                return max(0.0, reset - time.time())
        return None

    async def charge(self, quota: Quota, tokens: int) -> None:
        """Count the tokens of a finished request."""
        if quota.tokens is not None and tokens > 0:
            item = RateLimitItemPerMinute(quota.tokens)
            await self._ask(lambda counters: counters.tokens.hit(item, "tokens", quota.name, cost=tokens))

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._shared is not None:
            storage: Any = self._shared.requests.storage
            with contextlib.suppress(Exception):
                await storage.bridge.storage.aclose()

    async def _tokens_left(self, quota: Quota, limit: int) -> tuple[float, int]:
        item = RateLimitItemPerMinute(limit)
        stats = await self._ask(lambda counters: counters.tokens.get_window_stats(item, "tokens", quota.name))
        return stats[0], stats[1]

    async def _request(self, quota: Quota, limit: int) -> tuple[bool, float, int]:
        item = RateLimitItemPerMinute(limit)
        admitted = await self._ask(lambda counters: counters.requests.hit(item, "requests", quota.name))
        stats = await self._ask(lambda counters: counters.requests.get_window_stats(item, "requests", quota.name))
        return admitted, stats[0], stats[1]

    async def _ask(self, question: Callable[[_Counters], Awaitable[T]]) -> T:
        if self._shared is not None and self._clock() >= self._paused_until:
            try:
                return await question(self._shared)
            except (StorageError, OSError, TimeoutError) as error:
                self._paused_until = self._clock() + PAUSE
                reason = error.storage_error if isinstance(error, StorageError) else error
                _log.warning("redis does not answer (%s): rate limits count per process now", type(reason).__name__)
        return await question(self._local)


def _redis(url: str) -> Storage:
    from limits.storage import storage_from_string

    try:
        found = storage_from_string(
            f"async+{url}", implementation="redispy", wrap_exceptions=True, socket_timeout=2, socket_connect_timeout=2
        )
    except Exception as error:
        # The library raises its own, redis's and ValueError for URLs; their texts hold the URL, and so a password.
        kind = type(error).__name__
        raise UsageError(
            f"redis_url cannot be used ({kind}); write redis://host:6379/0, and pip install 'sagewire[gateway-cluster]'"
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
        f"the key '{key.name}' may use {limit} {kind} per minute; try again in {wait} s",
        headers={**headers, "retry-after": str(wait)},
    )


def _seconds_until(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
