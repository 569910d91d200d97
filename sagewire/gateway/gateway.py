"""`Gateway`: everything the routes share, and what of it a new configuration replaces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from sagewire.errors import SagewireError
from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.metrics import Metrics
from sagewire.gateway.accounting.usage_writer import UsageWriter
from sagewire.gateway.auth import Authenticator
from sagewire.gateway.config import GatewayConfig
from sagewire.gateway.errors import GatewayError, envelope_of
from sagewire.gateway.keys import Key
from sagewire.gateway.rate_limits import RateLimits
from sagewire.gateway.request_log import RequestLog
from sagewire.gateway.routing.deployments import Deployment
from sagewire.gateway.routing.router import Model, Router
from sagewire.openai_shapes import BadRequest

__all__ = ["Gateway", "Turn"]

_log = logging.getLogger("sagewire.gateway")


@dataclass(slots=True)
class Turn:
    """One admitted request for a model."""

    log: RequestLog
    key: Key
    body: dict[str, Any]
    model: Model
    router: Router
    name: str
    """The model as the caller named it; answers repeat it."""


class Gateway:
    """The state of one worker process.

    Args:
        config: The configuration.
        store: Where keys and usage are.
        require_keys: Refuse callers without a key even where none is configured.
    """

    def __init__(self, config: GatewayConfig, store: Store, *, require_keys: bool = False) -> None:
        self.config = config
        self.store = store
        self.metrics = Metrics()
        self.usage_writer = UsageWriter(store)
        self.live: dict[int, RequestLog] = {}
        self.draining = False
        self.access = Authenticator(config, store, required=require_keys or bool(store.all_keys()))
        self.rates = RateLimits(_plain(config.server.redis_url))
        self.router = Router(config, rates=self.rates)
        self._background: set[asyncio.Task[None]] = set()

    def reload(self, config: GatewayConfig) -> None:
        """Put a new configuration to work. Requests under way end as they began.

        What belongs to the process as a whole (database, Redis, address) stays as it was until a restart.
        """
        before = self.router
        self.router = Router(config, before)
        # Keys may come and go, but a gateway that asked for them never stops asking.
        self.access = Authenticator(config, self.store, required=self.access.required)
        self.config = config
        before.retire(self.router)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until it is done or the gateway ends."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def warm_up(self) -> None:
        """Ask endpoints in the background what they speak, so that the first callers need not wait for it."""
        for deployment in self.router.deployments():
            if deployment.chat.discovers and not deployment.chat.known:
                self.in_background(_discover(deployment))

    async def admit(self, log: RequestLog, key: Key, body: Any) -> Turn:
        """Return the turn for a parsed request body.

        Raises:
            BadRequest: The body is no object, or names no model.
            GatewayError: 404 for a model that is not there, 403 for one the key may not use, 429 for a limit reached.
        """
        if not isinstance(body, dict):
            raise BadRequest("the request body must be a JSON object")
        name = body.get("model")
        if not isinstance(name, str) or not name:
            raise BadRequest("'model' must name a model", "model")
        router = self.router
        if self.config.entry(name) is None:
            raise GatewayError(404, "model_not_found", self._unknown(name, key), param="model")
        if not self.allows(key, self.config.aliases.get(name, name), name):
            raise GatewayError(403, "model_not_allowed", f"key '{key.name}' is not allowed to use model '{name[:100]}'")
        # Only now: a name that fits a pattern becomes a model here.
        model = router.find(name)
        if model is None:
            raise GatewayError(404, "model_not_found", self._unknown(name, key), param="model")
        log.model = model.name
        log.headers |= await self.rates.admit(key)
        return Turn(log, key, body, model, router, name)

    def allows(self, key: Key, model: str, name: str = "") -> bool:
        """Return whether a key is good for a model, by its own name, its pattern, or an alias that the key names."""
        if key.may_use(model) or (name and key.may_use(name)):
            return True
        entry = self.config.entry(model)
        return entry is not None and key.may_use(entry)

    def names_for(self, key: Key) -> list[str]:
        """Return the names of models, patterns and aliases that a key may use, sorted."""
        config = self.config
        names = {name for name in config.models if self.allows(key, name)}
        names |= {
            alias
            for alias, target in config.aliases.items()
            if alias not in config.hidden_aliases and self.allows(key, target, alias)
        }
        # One that fits a pattern is listed where the key has it by its name.
        names |= {name for name in key.models or () if name not in config.aliases and config.canonical(name)}
        return sorted(names)

    async def ended(self, log: RequestLog) -> None:
        """Count a request that has ended."""
        # By entry of the configuration: names that fit a pattern are without number.
        model = self._entry(log.model)
        served = self._entry(log.served_by) or model
        if log.key is not None:
            tokens = log.tokens_to_charge if log.attempts else 0
            await self.rates.charge(log.key.quota, tokens)
            if log.lease is not None:
                completion = log.usage.completion_tokens if log.usage else None
                log.lease.ended(tokens, completion, stream=log.stream)
                await self.rates.charge(log.lease.deployment.quota, tokens)
            if log.model:
                self.usage_writer.note(log.key.name, served, log.usage, failed=log.error is not None)
        metrics = self.metrics
        metrics.requests.labels(log.route, model, log.status).inc()
        metrics.seconds.labels(log.route, model).observe(log.seconds)
        if log.first_piece is not None:
            metrics.first_token.labels(model).observe(log.first_piece)
        if log.usage is not None and log.key is not None:
            counter = metrics.tokens
            counter.labels(served, log.key.name, "prompt").inc(log.usage.prompt_tokens or 0)
            counter.labels(served, log.key.name, "completion").inc(log.usage.completion_tokens or 0)

    def attempt_failed(self, model: Model, deployment: Deployment, error: SagewireError) -> None:
        """Count a failed call of a deployment, whether or not another one makes it good."""
        _, body, _ = envelope_of(error)
        kind = body["error"]["code"] or type(error).__name__
        self.metrics.upstream_errors.labels(model.entry, deployment.series, kind).inc()
        _log.warning("%s on %s: %s: %s", model.name, deployment.label, type(error).__name__, str(error)[:300])

    async def close(self) -> None:
        """Write down what is left and close all connections."""
        for task in list(self._background):
            task.cancel()
        await self.usage_writer.close()
        await self.rates.close()
        for deployment in self.router.deployments():
            await deployment.close()
        self.store.close()

    def _entry(self, model: str) -> str:
        return (self.config.entry(model) if model else None) or model

    def _unknown(self, name: str, key: Key) -> str:
        import difflib

        names = self.names_for(key)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"there is no model {name[:100]!r}; {hint}known: {', '.join(names) or 'none'}"


async def _discover(deployment: Deployment) -> None:
    try:
        await asyncio.to_thread(deployment.chat.profile)
    except SagewireError as error:
        # The first call will meet it again, and say so to its caller.
        deployment.last_error = f"{type(error).__name__}: {error}"[:300]
        _log.warning("%s: %s", deployment.label, deployment.last_error)


def _plain(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()
