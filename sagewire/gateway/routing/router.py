"""Which deployment answers: a healthy one that has room and is within its limits; and what happens when it fails."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sagewire.errors import AccessDenied, EndpointError, EndpointNotFound, SagewireError
from sagewire.gateway.config import GatewayConfig, ModelConfig
from sagewire.gateway.errors import GatewayError, UndetectedContainer, envelope_of, is_callers_fault
from sagewire.gateway.rate_limits import RateLimits
from sagewire.gateway.routing.deployments import Deployment, Lease
from sagewire.gateway.routing.model_cache import ModelCache
from sagewire.gateway.routing.strategies import choose

__all__ = ["Model", "RetryBudget", "Router", "Served"]

T = TypeVar("T")
BASE_DELAY, MAX_DELAY = 0.1, 2.0


class RetryBudget:
    """Limits retries to a share of requests, so that a failing backend is not buried under them.

    Args:
        share: Retries per request, in the long run.
        reserve: Retries that are always possible in a row.
    """

    def __init__(self, share: float = 0.2, reserve: float = 20.0) -> None:
        self._share = share
        self._most = reserve
        self._left = reserve

    def deposit(self) -> None:
        """A request arrived."""
        self._left = min(self._most, self._left + self._share)

    def withdraw(self) -> bool:
        """Return whether one more retry is allowed, and count it."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True)
class Served(Generic[T]):
    """An answer, and who gave it. The lease is still held: the answer may be a stream that has just begun."""

    result: T
    model: Model
    lease: Lease
    attempts: int


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
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return sum(one.in_flight for one in self.deployments)

    def retire(self) -> None:
        """Close each deployment when nothing is under way on it."""
        for one in self.deployments:
            one.retire()

    async def lease(
        self, tried: Sequence[Deployment] = (), affinity: str | None = None, *, stream: bool = False
    ) -> Lease:
        """Return the right to call the best deployment now; wait for one where that is configured.

        Args:
            tried: Deployments that have failed this request; they come last.
            affinity: What ties the request to a deployment, if anything does.
            stream: Whether a stream is asked for.

        Raises:
            GatewayError: None can be called: 503 where all are unhealthy, 429 where all are full or have used up their
                requests or tokens of the minute.
        """
        deadline = time.monotonic() + self.config.queue_seconds
        used_up: dict[Deployment, float] = {}
        while True:
            healthy = [one for one in self.deployments if one.breaker.allows()]
            if not healthy:
                raise self._unhealthy()
            within = [one for one in healthy if one not in used_up]
            if not within:
                raise self._used_up(min(used_up[one] for one in healthy))
            free = [one for one in within if one.has_room]
            fresh = [one for one in free if one not in tried]
            if free:
                lease = Lease(choose(fresh or free, self.config, affinity=affinity, stream=stream), self.released)
                wait = await self._limited(lease)
                if wait is None:
                    return lease
                used_up[lease.deployment] = wait
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                raise GatewayError(
                    429,
                    "deployments_full",
                    f"all deployments of '{self.name}' are at their concurrency limit; try again shortly",
                    headers={"retry-after": "1"},
                )
            self.released.clear()
            try:
                async with asyncio.timeout(left):
                    await self.released.wait()
            except TimeoutError:
                continue

    async def _limited(self, lease: Lease) -> float | None:
        """Count one request of a deployment; give it back and return the seconds to wait where none is left."""
        quota = lease.deployment.quota
        if not quota.limited:
            return None
        try:
            wait = await self.rates.take(quota)
        except BaseException:
            lease.given_up()
            raise
        if wait is not None:
            lease.given_up()
        return wait

    def _used_up(self, wait: float) -> GatewayError:
        seconds = max(1, math.ceil(wait))
        return GatewayError(
            429,
            "rate_limit_exceeded",
            f"all deployments of '{self.name}' have used up their requests or tokens of this minute; "
            f"try again in {seconds} s",
            headers={"retry-after": str(seconds)},
        )

    def _unhealthy(self) -> GatewayError:
        wait = max(1, math.ceil(min(one.breaker.seconds_left for one in self.deployments)))
        return GatewayError(
            503,
            "model_unavailable",
            f"no deployment of '{self.name}' is healthy; the next try is in {wait} s",
            headers={"retry-after": str(wait)},
        )


class Router:
    """All models of a configuration.

    Args:
        config: The configuration.
        previous: The router of the configuration before: deployments that did not change are taken over with their
            connections, counts and health.
        rates: Counts requests and tokens of deployments that have limits; else this process does.
    """

    def __init__(
        self, config: GatewayConfig, previous: Router | None = None, *, rates: RateLimits | None = None
    ) -> None:
        self.config = config
        self.rates: RateLimits = rates or (previous.rates if previous else RateLimits())
        self.budget: RetryBudget = previous.budget if previous else RetryBudget()
        self.models: dict[str, Model] = {}
        self.remembered: ModelCache[Model] = ModelCache()
        for name, model in config.models.items():
            self.models[name] = self._model(name, model, previous.models.get(name) if previous else None)
        for used in previous.remembered if previous else ():
            found = config.settings(used.name)
            if found is not None and found[0] not in self.models:
                self.remembered.add(self._model(*found, used))

    def _model(self, name: str, config: ModelConfig, previous: Model | None = None) -> Model:
        entry = self.config.entry(name) or name
        known = list(previous.deployments) if previous else []
        deployments: list[Deployment] = []
        # What has stars is nowhere yet: each name that fits becomes a model of its own.
        for number, settings in enumerate(() if self.config.stars_in(name) else config.deployments):
            same = next((one for one in known if one.config == settings), None)
            if same is not None:
                known.remove(same)
            twins = sum(one.label == settings.label for one in deployments)
            series = self.config.models[entry].deployments[number].label
            deployments.append(same or Deployment(settings, f"{name}/{settings.label}/{twins}", series))
        return Model(name, entry, config, deployments, self.rates)

    def find(self, name: str) -> Model | None:
        """Return the model of a name or alias; one that fits a pattern is made now if it is not remembered."""
        found = self.remembered.get(self.config.aliases.get(name, name))
        if found is not None:
            return found
        settings = self.config.settings(name)
        if settings is None:
            return None
        if settings[0] in self.models:
            return self.models[settings[0]]
        model = self._model(*settings)
        self.remembered.add(model)
        return model

    def deployments(self) -> Iterator[Deployment]:
        """Return all deployments."""
        for model in (*self.models.values(), *self.remembered):
            yield from model.deployments

    def retire(self, successor: Router) -> None:
        """Close what the router of the next configuration has not taken over; requests under way end as they began."""
        self.remembered.end()
        kept = set(map(id, successor.deployments()))
        for deployment in self.deployments():
            if id(deployment) not in kept:
                deployment.retire()

    async def serve(
        self,
        model: Model,
        work: Callable[[Deployment], Awaitable[T]],
        *,
        affinity: str | None = None,
        stream: bool = False,
        allowed: Callable[[str], bool] = lambda name: True,
        failed: Callable[[Deployment, SagewireError], None] = lambda deployment, error: None,
    ) -> Served[T]:
        """Let a deployment answer; retry, and fall back to other models, as configured.

        Args:
            model: The model that was asked for.
            work: Makes the call; for a stream it returns once the first piece is there.
            affinity: What ties the request to a deployment, if anything does.
            stream: Whether a stream is asked for.
            allowed: Whether the caller may use a model; fallbacks to others are passed over.
            failed: Told of each failed attempt.

        Raises:
            SagewireError: The last error, where nobody could answer.
        """
        self.budget.deposit()
        waiting, seen, attempts = [model], {model.name}, 0
        last: SagewireError | None = None
        while waiting:
            current = waiting.pop(0)
            try:
                served = await self._serve_one(current, work, affinity, stream, failed)
                served.attempts += attempts
                return served
            except SagewireError as error:
                last = error
                attempts += 1
                if _is_nowhere(current, error):
                    self.remembered.drop(current)
                for name in self._fallbacks(current, error):
                    other = self.find(name)
                    if other is not None and other.name not in seen and allowed(other.name):
                        seen.add(other.name)
                        waiting.append(other)
        assert last is not None, "the first model was tried"
        raise last

    def _fallbacks(self, model: Model, error: SagewireError) -> Sequence[str]:
        code = envelope_of(error)[1]["error"]["code"]
        if code == "context_length_exceeded":
            return model.config.context_fallbacks
        if is_callers_fault(error):
            return ()
        return model.config.fallbacks or self.config.default_fallbacks

    async def _serve_one(
        self,
        model: Model,
        work: Callable[[Deployment], Awaitable[T]],
        affinity: str | None,
        stream: bool,
        failed: Callable[[Deployment, SagewireError], None],
    ) -> Served[T]:
        tried: list[Deployment] = []
        attempt = 0
        while True:
            attempt += 1
            lease = await model.lease(tried, affinity, stream=stream)
            try:
                result = await work(lease.deployment)
                lease.answered()
                return Served(result, model, lease, attempt)
            except SagewireError as error:
                lease.failed(error)
                failed(lease.deployment, error)
                tried.append(lease.deployment)
                if attempt >= model.config.attempts or not self._worth_another(model, tried, error):
                    raise
                delay = _delay(attempt, error) if all(one in tried for one in model.deployments) else 0.0
            except BaseException:
                lease.given_up()
                raise
            await asyncio.sleep(delay)

    def _worth_another(self, model: Model, tried: Sequence[Deployment], error: SagewireError) -> bool:
        if is_callers_fault(error):
            return False
        others = any(one not in tried and one.breaker.allows() for one in model.deployments)
        # WireError: the answer was cut or garbled before its first piece; nothing of it has been passed on.
        again = getattr(error, "retry_safe", not isinstance(error, EndpointError | GatewayError))
        return bool(others or again) and self.budget.withdraw()


def _is_nowhere(model: Model, error: SagewireError) -> bool:
    """Return whether there seems to be nothing behind a name that somebody made up."""
    if any(one.answered for one in model.deployments):
        return False
    return isinstance(error, EndpointNotFound | AccessDenied | UndetectedContainer) or is_callers_fault(error)


def _delay(attempt: int, error: SagewireError) -> float:
    asked = getattr(error, "retry_after", None)
    delay = random.uniform(0, min(MAX_DELAY, BASE_DELAY * 2**attempt))
    return min(MAX_DELAY, max(delay, asked)) if asked else delay
