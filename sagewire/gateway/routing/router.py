"""Which deployment answers: a healthy one that has room and is within its limits; and what happens when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from sagewire.errors import AccessDenied, EndpointError, EndpointNotFound, SagewireError
from sagewire.gateway.config import GatewayConfig, ModelConfig
from sagewire.gateway.errors import GatewayError, UndetectedContainer, envelope_of, is_callers_fault, is_time_limit
from sagewire.gateway.rate_limits import RateLimits
from sagewire.gateway.routing.deployments import Deployment
from sagewire.gateway.routing.labels import unique_labels
from sagewire.gateway.routing.model import Failed, Model, Served, Wanted
from sagewire.gateway.routing.model_cache import ModelCache
from sagewire.transports.backoff import Backoff
from sagewire.transports.retrying import RetryBudget

__all__ = ["Router"]

T = TypeVar("T")

# Retries in a row, of all requests of a caller, before their share of requests bounds them; so many callers have some.
RETRY_RESERVE, RETRYING_CALLERS = 20, 1_000
_BACKOFF = Backoff(base=0.2, longest=2.0)
Health = Callable[[str, str, bool], None]


class Router:
    """All models of a configuration.

    Args:
        config: The configuration.
        previous: The router of the configuration before: deployments that did not change are taken over with their
            connections, counts and health.
        rates: Counts requests and tokens of deployments that have limits; default: this process does.
        health: Called with a model's entry, a deployment's series and whether its circuit breaker is closed, whenever
            that changes.
    """

    def __init__(
        self,
        config: GatewayConfig,
        previous: Router | None = None,
        *,
        rates: RateLimits | None = None,
        health: Health = lambda model, deployment, closed: None,
    ) -> None:
        self.config = config
        self._health: Health = previous._health if previous else health
        self.rates: RateLimits = rates or (previous.rates if previous else RateLimits())
        # One for each caller: requests that always fail must not use up what moves others to a healthy deployment.
        self.budgets: dict[str, RetryBudget] = previous.budgets if previous else {}
        self.models: dict[str, Model] = {}
        self.remembered: ModelCache[Model] = ModelCache()
        for name, model in config.models.items():
            if model.part_of is None:
                self.models[name] = self._model(name, model, previous.models.get(name) if previous else None)
        for name, model in config.models.items():
            if model.part_of is not None:
                self.models[name] = self._part(name, model, self.models[model.part_of])
        for used in previous.remembered if previous else ():
            found = config.settings(used.name)
            if found is not None and found[0] not in self.models:
                self.remembered.add(self._model(*found, used))

    def _model(self, name: str, config: ModelConfig, previous: Model | None = None) -> Model:
        entry = self.config.entry(name) or name
        known = list(previous.deployments) if previous else []
        deployments: list[Deployment] = []
        # A pattern has no deployments yet: each name that fits becomes its own model.
        concrete = () if self.config.stars_in(name) else config.deployments
        names = unique_labels(config.deployments)
        series = unique_labels(self.config.models[entry].deployments)
        for number, settings in enumerate(concrete):
            same = next((one for one in known if one.config == settings and one.series == series[number]), None)
            if same is not None:
                known.remove(same)
            report = partial(self._health, entry, series[number])
            deployments.append(same or Deployment(settings, names[number], name, series[number], report))
        return Model(name, entry, config, deployments, self.rates)

    def _part(self, name: str, config: ModelConfig, whole: Model) -> Model:
        """Return a model that has deployments of another one: with their limits and health."""
        own = [one for one in whole.deployments if one.config in config.deployments]
        return Model(name, name, config, own, self.rates)

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
            if model.config.part_of is None:
                yield from model.deployments

    def retire(self, successor: Router) -> None:
        """Close the models that the next configuration has not taken over; requests in flight end as they began."""
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
        wanted: Wanted | None = None,
        allowed: Callable[[str], bool] = lambda name: True,
        failed: Failed = lambda model, deployment, error: None,
    ) -> Served[T]:
        """Let a deployment answer; retry, and fall back to other models, as configured.

        Args:
            model: The model that was asked for.
            work: Makes the call; for a stream it returns once the first piece is there.
            wanted: The request's demands on a deployment.
            allowed: Whether the caller may use a model; other fallbacks are passed over.
            failed: Told of each failed attempt.

        Raises:
            SagewireError: The last error, if no deployment could answer.
        """
        wanted = wanted or Wanted()
        self._budget_of(wanted.caller).earn()
        waiting, seen = [model], {model.name}
        last: SagewireError | None = None
        while waiting:
            current = waiting.pop(0)
            try:
                return await self._serve_one(current, work, wanted, failed)
            except SagewireError as error:
                last = error
                if _is_nowhere(current, error):
                    self.remembered.drop(current)
                for name in self._fallbacks(current, error, wanted):
                    other = self.find(name)
                    if other is not None and other.name not in seen and allowed(other.name):
                        seen.add(other.name)
                        waiting.append(other)
        assert last is not None, "the first model was tried"
        raise last

    def _fallbacks(self, model: Model, error: SagewireError, wanted: Wanted) -> Sequence[str]:
        code = envelope_of(error)[1]["error"]["code"]
        if code == "context_length_exceeded":
            return model.config.context_fallbacks if wanted.fallbacks is None else wanted.fallbacks
        if code in _OF_CONTENT:
            return model.config.content_fallbacks if wanted.fallbacks is None else wanted.fallbacks
        if is_callers_fault(error):
            return ()
        if wanted.fallbacks is not None:
            return wanted.fallbacks
        return model.config.fallbacks or self.config.default_fallbacks

    async def _serve_one(
        self, model: Model, work: Callable[[Deployment], Awaitable[T]], wanted: Wanted, failed: Failed
    ) -> Served[T]:
        tried: list[Deployment] = []
        attempts = min(model.config.attempts, wanted.attempts or model.config.attempts)
        attempt = 0
        failure: SagewireError | None = None
        while True:
            attempt += 1
            try:
                lease = await model.lease(tried, wanted=wanted)
            except GatewayError:
                # That no deployment is left says less than how the last one failed.
                if failure is not None:
                    raise failure from None
                raise
            try:
                result = await work(lease.deployment)
                lease.answered()
                return Served(result, model, lease)
            except SagewireError as error:
                lease.deployment.redaction.error(error)
                failure = error
                lease.failed(error)
                if lease.reservation is not None and not is_time_limit(error):
                    await self.rates.settle(lease.reservation, 0)
                failed(model, lease.deployment, error)
                tried.append(lease.deployment)
                if attempt >= attempts or not self._worth_another(model, tried, error, wanted.caller):
                    raise
                everywhere = all(one in tried for one in model.deployments)
                asked = getattr(error, "retry_after", None)
                delay = _BACKOFF.seconds(attempt - 1, asked) if everywhere else 0.0
            except BaseException:
                lease.given_up()
                raise
            await asyncio.sleep(delay)

    def _budget_of(self, caller: str) -> RetryBudget:
        found = self.budgets.get(caller)
        if found is None:
            if len(self.budgets) >= RETRYING_CALLERS:
                del self.budgets[next(iter(self.budgets))]
            found = self.budgets[caller] = RetryBudget(reserve=RETRY_RESERVE)
        return found

    def _worth_another(self, model: Model, tried: Sequence[Deployment], error: SagewireError, caller: str) -> bool:
        if is_callers_fault(error):
            return False
        others = any(one not in tried and one.breaker.allows(caller) for one in model.deployments)
        # WireError: the answer was cut or garbled before its first piece; nothing of it has been passed on.
        again = getattr(error, "retry_safe", not isinstance(error, EndpointError | GatewayError))
        return bool(others or again) and self._budget_of(caller).take()


# How servers say that they refuse what is in a conversation: OpenAI, Azure.
_OF_CONTENT = ("content_policy_violation", "content_filter")


def _is_nowhere(model: Model, error: SagewireError) -> bool:
    """Return whether a name that fits a pattern seems to belong to no endpoint."""
    if any(one.answered for one in model.deployments):
        return False
    return isinstance(error, EndpointNotFound | AccessDenied | UndetectedContainer) or is_callers_fault(error)
