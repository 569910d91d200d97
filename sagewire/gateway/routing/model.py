"""A model as clients see it: which of its deployments answers next."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sagewire.errors import SagewireError
from sagewire.gateway.config import ModelConfig
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.rate_limits import RateLimits
from sagewire.gateway.routing.deployments import Deployment, Lease, Task, Waiter
from sagewire.gateway.routing.strategies import choose

__all__ = ["Failed", "Model", "Served", "Wanted"]

T = TypeVar("T")


@dataclass(slots=True)
class Wanted:
    """The requirements of a request on a deployment.

    Args:
        task: The task of the request.
        caller: Whose request it is.
        affinity: The value that ties it to a deployment, if there is one.
        stream: Whether it asks for a stream.
        places: How many calls it makes at once.
        attempts: Maximum calls for it, if fewer than configured.
        fallbacks: Models that answer instead of the configured fallbacks.
        tokens: Returns the tokens it will use at most, as far as can be told.
        calls: How many calls it makes in all.
    """

    task: Task = "chat"
    caller: str = ""
    affinity: str | None = None
    stream: bool = False
    places: int = 1
    attempts: int | None = None
    fallbacks: Sequence[str] | None = None
    tokens: Callable[[], int] = lambda: 1
    calls: int = 1


@dataclass(slots=True)
class Served(Generic[T]):
    """An answer and its deployment. The lease is still held: the answer may be a stream that has just begun."""

    result: T
    model: Model
    lease: Lease


Failed = Callable[["Model", Deployment, SagewireError], None]


@dataclass(slots=True)
class Model:
    """A model as clients see it, and the deployments behind it.

    Attributes:
        entry: The entry of the configuration it comes from: a pattern stands for many models.
    """

    name: str
    entry: str
    config: ModelConfig
    deployments: Sequence[Deployment]
    rates: RateLimits

    @property
    def in_flight(self) -> int:
        """Calls in flight."""
        return sum(one.in_flight for one in self.deployments)

    def retire(self) -> None:
        """Close each deployment when no call is in flight on it."""
        for one in self.deployments:
            one.retire()

    async def lease(
        self,
        tried: Sequence[Deployment] = (),
        affinity: str | None = None,
        *,
        stream: bool = False,
        wanted: Wanted | None = None,
    ) -> Lease:
        """Return the right to call the best deployment now; wait for one if that is configured.

        Args:
            tried: Deployments that have failed this request; they come last.
            affinity: The value that ties the request to a deployment, if there is one.
            stream: Whether a stream is asked for.
            wanted: All that the request asks for, instead of the two before.

        Raises:
            GatewayError: None can be called: 404 if none has the route, 503 if all are unhealthy, 429 if all are full
                or have used up their requests or tokens of the minute.
        """
        wanted = wanted or Wanted(affinity=affinity, stream=stream)
        deadline = time.monotonic() + self.config.queue_seconds
        used_up: dict[Deployment, float] = {}
        while True:
            offered, healthy = False, []
            for one in self.deployments:
                if one.offers(wanted.task, wanted.caller):
                    offered = True
                    if one.breaker.allows(wanted.caller):
                        healthy.append(one)
            if not healthy:
                raise self._unhealthy() if offered else self._not_offered(wanted.task)
            within = [one for one in healthy if one not in used_up] if used_up else healthy
            if not within:
                raise self._used_up(min(used_up[one] for one in healthy))
            lease = await self._place(within, tried, wanted, deadline)
            if lease is None:
                continue
            lease.again = lease.deployment in tried
            if not lease.deployment.quota.limited:
                return lease
            wait = await self._limited(lease, wanted)
            if wait is None:
                return lease
            used_up[lease.deployment] = wait

    async def _place(
        self, within: Sequence[Deployment], tried: Sequence[Deployment], wanted: Wanted, deadline: float
    ) -> Lease | None:
        """Return a lease of the best deployment with room, or of the first to have some; `None` to look again."""
        places = wanted.places
        free = [one for one in within if one.has_room(places)]
        if free:
            fresh = [one for one in free if one not in tried] if tried else free
            best = choose(fresh or free, self.config, affinity=wanted.affinity, stream=wanted.stream)
            return Lease(best, wanted.task, wanted.caller, best.fitting(places))
        left = deadline - time.monotonic()
        if left <= 0:
            raise GatewayError(
                429,
                "deployments_full",
                f"all deployments of '{self.name}' are at their concurrency limit; try again shortly",
                headers={"retry-after": "1"},
            )
        waiter = Waiter(wanted.task, wanted.caller, places)
        for one in within:
            one.wait(waiter)
        return await waiter.lease(left)

    async def _limited(self, lease: Lease, wanted: Wanted) -> float | None:
        """Count a request of a deployment; if none is left, give the lease back and return the seconds to wait."""
        quota = lease.deployment.quota
        try:
            tokens = 1 if quota.tokens is None else wanted.tokens()
            found = await self.rates.take(quota, requests=wanted.calls, tokens=tokens)
        except BaseException:
            lease.given_up()
            raise
        if isinstance(found, float):
            lease.given_up()
            return found
        lease.reservation = found
        return None

    def _used_up(self, wait: float) -> GatewayError:
        seconds = max(1, math.ceil(wait))
        return GatewayError(
            429,
            "rate_limit_exceeded",
            f"all deployments of '{self.name}' have used up their requests or tokens of this minute; "
            f"try again in {seconds} s",
            headers={"retry-after": str(seconds)},
        )

    def _not_offered(self, task: Task) -> GatewayError:
        words = {"chat": "chat", "complete": "completions", "embed": "embeddings", "rerank": "reranking"}
        return GatewayError(
            404,
            "route_not_offered",
            f"the server of '{self.name}' has no route for {words[task]}; use another model, or another route",
            param="model",
        )

    def _unhealthy(self) -> GatewayError:
        wait = max(1, math.ceil(min(one.breaker.seconds_left for one in self.deployments)))
        return GatewayError(
            503,
            "model_unavailable",
            f"no deployment of '{self.name}' is healthy; the next try is in {wait} s",
            headers={"retry-after": str(wait)},
        )
