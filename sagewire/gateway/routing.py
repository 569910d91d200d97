"""Which deployment answers: weights, load, health, affinity; and what happens when it does not."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sagewire.errors import EndpointError, SagewireError
from sagewire.gateway.config import GatewayConfig, ModelConfig
from sagewire.gateway.deployments import Deployment, Lease
from sagewire.gateway.refusals import Refusal, envelope_of, is_callers_fault

__all__ = ["Model", "RetryBudget", "Router", "Served"]

T = TypeVar("T")
# A conversation's own deployment may be this much busier than the average before another one takes over.
CROWDED = 1.5
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
    """A model as clients see it, and the deployments behind it."""

    name: str
    config: ModelConfig
    deployments: Sequence[Deployment]
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def lease(self, tried: Sequence[Deployment], affinity: str | None) -> Lease:
        """Return the right to call the best deployment now; wait for one where that is configured.

        Args:
            tried: Deployments that have failed this request; they come last.
            affinity: What ties the request to a deployment, if anything does.

        Raises:
            Refusal: None can be called: 503 where all are unhealthy, 429 where all are full.
        """
        deadline = time.monotonic() + self.config.queue_seconds
        while True:
            healthy = [one for one in self.deployments if one.breaker.allows()]
            if not healthy:
                raise self._unhealthy()
            free = [one for one in healthy if one.has_room]
            fresh = [one for one in free if one not in tried]
            if free:
                return Lease(self._pick(fresh or free, affinity), self.released)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Refusal(
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

    def _unhealthy(self) -> Refusal:
        wait = max(1, math.ceil(min(one.breaker.seconds_left for one in self.deployments)))
        return Refusal(
            503,
            "model_unavailable",
            f"no deployment of '{self.name}' is healthy; the next try is in {wait} s",
            headers={"retry-after": str(wait)},
        )

    def _pick(self, candidates: Sequence[Deployment], affinity: str | None) -> Deployment:
        if len(candidates) == 1:
            return candidates[0]
        weighty = [one for one in candidates if one.config.weight > 0] or candidates
        if affinity is not None and self.config.affinity == "conversation":
            ranked = sorted(weighty, key=lambda one: _rendezvous(affinity, one), reverse=True)
            average = sum(one.in_flight for one in weighty) / len(weighty)
            return next((one for one in ranked if one.in_flight <= CROWDED * average + 2), ranked[0])
        if self.config.routing == "least_busy":
            return min(weighty, key=lambda one: ((one.in_flight + 1) / (one.config.weight or 1), random.random()))
        weights = [one.config.weight or 1.0 for one in weighty]
        return random.choices(weighty, weights)[0]


def _rendezvous(key: str, deployment: Deployment) -> float:
    """Return a deployment's score for a key; the highest wins.

    Weighted rendezvous hashing: shares follow the weights, and when a deployment comes or goes, only its own keys move.
    """
    digest = hashlib.blake2b(f"{key}\0{deployment.label}".encode(), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 1) / 2**64
    return -(deployment.config.weight or 1.0) / math.log(share) if share < 1 else math.inf


class Router:
    """All models of a configuration.

    Args:
        config: The configuration.
        previous: The router of the configuration before: deployments that did not change are taken over with their
            connections, counts and health.
    """

    def __init__(self, config: GatewayConfig, previous: Router | None = None) -> None:
        self.config = config
        self.budget: RetryBudget = previous.budget if previous else RetryBudget()
        self.models: dict[str, Model] = {}
        for name, model in config.models.items():
            known = list(previous.models[name].deployments) if previous and name in previous.models else []
            deployments = []
            for settings in model.deployments:
                same = next((one for one in known if one.config == settings), None)
                if same is not None:
                    known.remove(same)
                deployments.append(same or Deployment(settings))
            self.models[name] = Model(name, model, deployments)

    def find(self, name: str) -> Model | None:
        """Return the model of a name or alias."""
        canonical = self.config.canonical(name)
        return None if canonical is None else self.models[canonical]

    def deployments(self) -> Iterator[Deployment]:
        """Return all deployments."""
        for model in self.models.values():
            yield from model.deployments

    async def serve(
        self,
        model: Model,
        work: Callable[[Deployment], Awaitable[T]],
        *,
        affinity: str | None = None,
        allowed: Callable[[str], bool] = lambda name: True,
        failed: Callable[[Deployment, SagewireError], None] = lambda deployment, error: None,
    ) -> Served[T]:
        """Let a deployment answer; retry, and fall back to other models, as configured.

        Args:
            model: The model that was asked for.
            work: Makes the call; for a stream it returns once the first piece is there.
            affinity: What ties the request to a deployment, if anything does.
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
                served = await self._serve_one(current, work, affinity, failed)
                served.attempts += attempts
                return served
            except SagewireError as error:
                last = error
                attempts += 1
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
        failed: Callable[[Deployment, SagewireError], None],
    ) -> Served[T]:
        tried: list[Deployment] = []
        attempt = 0
        while True:
            attempt += 1
            lease = await model.lease(tried, affinity)
            try:
                return Served(await work(lease.deployment), model, lease, attempt)
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
        again = getattr(error, "retry_safe", not isinstance(error, EndpointError | Refusal))
        return bool(others or again) and self.budget.withdraw()


def _delay(attempt: int, error: SagewireError) -> float:
    asked = getattr(error, "retry_after", None)
    delay = random.uniform(0, min(MAX_DELAY, BASE_DELAY * 2**attempt))
    return min(MAX_DELAY, max(delay, asked)) if asked else delay
