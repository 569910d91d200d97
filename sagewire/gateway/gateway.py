"""`Gateway`: the state that all routes share, and the parts of it that a new configuration replaces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from sagewire.errors import SagewireError
from sagewire.gateway.accounting.budgets import Budgets
from sagewire.gateway.accounting.costs import dollars
from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.metrics import Kind, Metrics
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.accounting.usage_writer import UsageWriter
from sagewire.gateway.auth import Authenticator
from sagewire.gateway.body_room import BodyRoom
from sagewire.gateway.config import GatewayConfig, ServerConfig
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.isolation import check_body, check_sizes
from sagewire.gateway.key_limits import KeyLimits
from sagewire.gateway.keys import Key
from sagewire.gateway.quota import number_of_prompts
from sagewire.gateway.rate_limits import RateLimits, require_shared_counts
from sagewire.gateway.request_log import RequestLog
from sagewire.gateway.request_settings import take_settings
from sagewire.gateway.routing.deployments import Deployment, Task
from sagewire.gateway.routing.model import Model
from sagewire.gateway.routing.router import Router
from sagewire.gateway.stored_responses import StoredResponses
from sagewire.gateway.threads import BlockingCalls
from sagewire.gateway.turn import Turn
from sagewire.gateway.worker_states import WorkerStates
from sagewire.http.timer_pool import TimerPool
from sagewire.openai_shapes import BadRequest

__all__ = ["Expand", "Gateway"]

_log = logging.getLogger("sagewire.gateway")
# Returns a body with what it refers to, how many entries of its `input` come from there, and `Turn.storing`.
Expand = Callable[[RequestLog, dict[str, Any]], Awaitable[tuple[dict[str, Any], int, ServerConfig | None]]]
# Seconds that whoever manages keys waits for the database.
MANAGEMENT_SECONDS = 10.0
# Characters of a model's name: it is compared with others, and every piece of an answer repeats it.
MAX_NAME = 500
# Seconds between refreshes of the keys in memory.
KEYS_SECONDS = 60.0


class Gateway:
    """The state of one worker process.

    Args:
        config: The configuration.
        store: The database of keys and usage.
        require_keys: Refuse callers without a key even if none is configured.
        workers: Worker processes; limits of several are counted in Redis or the database.
        local_only: Without keys, answer this machine's own programs only: not web pages in a browser on it.
    """

    def __init__(
        self,
        config: GatewayConfig,
        store: Store,
        *,
        require_keys: bool = False,
        workers: int = 1,
        local_only: bool = False,
    ) -> None:
        self.config = config
        self.workers = workers
        self.local_only = local_only
        self.store = store
        self.live: dict[int, RequestLog] = {}
        self.metrics = Metrics(lambda: len(self.live))
        self.usage_writer = UsageWriter(store)
        # Apart from the look-ups of keys, so that neither keeps the other waiting.
        self.management = BlockingCalls(1, MANAGEMENT_SECONDS)
        self.draining = False
        self.access = Authenticator(config, store, required=require_keys or bool(store.all_keys(1, notes=False)))
        self.budgets = Budgets(store)
        self.body_room = BodyRoom()
        self.responses = StoredResponses(store)
        # One worker counts in the database, too, if gateways on other machines may do so.
        shared = store if store.on_network or (workers > 1 and not store.in_memory) else None
        self.rates = RateLimits(_plain(config.server.redis_url), shared)
        self.limits = KeyLimits(self.rates, self.budgets, workers, alone=workers == 1 and not store.on_network)
        self.router = Router(config, rates=self.rates, health=self.metrics.report_health)
        self.states = WorkerStates(lambda: self.router, self.live)
        self._background: set[asyncio.Task[None]] = set()
        self._alarms: TimerPool | None = None
        self._short_alarms: TimerPool | None = None

    @property
    def alarms(self) -> TimerPool:
        """The timers of the running event loop."""
        if self._alarms is None:
            self._alarms = TimerPool(asyncio.get_running_loop())
        return self._alarms

    @property
    def short_alarms(self) -> TimerPool:
        """Timers of the running event loop for waits that are all short: one taken from a long wait is set anew."""
        if self._short_alarms is None:
            self._short_alarms = TimerPool(asyncio.get_running_loop())
        return self._short_alarms

    def reload(self, config: GatewayConfig) -> None:
        """Put a new configuration to work. Requests in flight end as they began.

        What belongs to the process as a whole (database, Redis, address) stays as it was until a restart.

        Raises:
            UsageError: It has limits that the workers cannot count together.
        """
        require_shared_counts(config, self.workers, shared=self.rates.shared, alone=self.limits.alone)
        before = self.router
        self.router = Router(config, before)
        # Keys may come and go, but a gateway that asked for them never stops asking.
        self.access = Authenticator(config, self.store, required=self.access.required, previous=self.access)
        self.config = config
        before.retire(self.router)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work until it is done or the gateway ends."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def warm_up(self) -> None:
        """Detect the endpoints' containers in the background, so that the first callers need not wait for it."""
        for deployment in self.router.deployments():
            if deployment.chat.discovers and not deployment.chat.known:
                self.in_background(_discover(deployment))

    async def remember_keys(self) -> None:
        """Take the keys of the database into memory, now and every minute from now on."""
        await self._refresh_keys()
        self.in_background(self._keep_keys())

    async def _keep_keys(self) -> None:
        while True:
            await asyncio.sleep(KEYS_SECONDS)
            await self._refresh_keys()

    async def _refresh_keys(self) -> None:
        try:
            await self.access.refresh()
        except StoreError as error:
            _log.warning("keys are looked up one by one: %s", error)

    async def admit(self, log: RequestLog, key: Key, body: Any, task: Task, expand: Expand | None = None) -> Turn:
        """Return the turn for a parsed request body.

        Args:
            log: The request's facts.
            key: Whose it is.
            body: The body.
            task: The kind of request.
            expand: Puts what the body refers to in its place.

        Raises:
            BadRequest: The body is not an object, names no model, or is too large in some other way.
            GatewayError: 404 for an unknown model, 403 for one that the key is not allowed to use, 429 for a limit
                reached, 400 for a field that would choose something else than the configuration does.
        """
        if not isinstance(body, dict):
            raise BadRequest("the request body must be a JSON object")
        name = body.get("model")
        if not isinstance(name, str) or not name:
            raise BadRequest("'model' must name a model", "model")
        router = self.router
        if len(name) > MAX_NAME or self.config.entry(name) is None:
            raise GatewayError(404, "model_not_found", self._unknown(name, key), param="model")
        if not self.allows(key, self.config.aliases.get(name, name), name):
            raise _not_allowed(key, "model", name)
        body, settings = take_settings(body)
        check_body(log.route, body)
        check_sizes(body)
        # Only now: a name that fits a pattern becomes a model here.
        model = router.find(name)
        if model is None:
            raise GatewayError(404, "model_not_found", self._unknown(name, key), param="model")
        self._check_adapter(key, model, body.get("adapter"))
        log.model = model.name
        for other in settings.fallbacks or ():
            self._check_fallback(key, other)
        earlier, storing = 0, None
        if expand is not None:
            # Before anything is reserved: what comes from earlier counts as the prompt that it is.
            body, earlier, storing = await expand(log, body)
            check_sizes(body)
        turn = Turn(log, key, body, model, router, name, task, number_of_prompts(body), settings, earlier, storing)
        if not key.unlimited:
            await self.limits.reserve(turn, self.config, self.allows)
        return turn

    def _check_fallback(self, key: Key, name: str) -> None:
        if len(name) > MAX_NAME or self.config.entry(name) is None:
            raise GatewayError(404, "model_not_found", self._unknown(name, key), param="fallbacks")
        if not self.allows(key, self.config.aliases.get(name, name), name):
            raise _not_allowed(key, "model", name)

    @staticmethod
    def _check_adapter(key: Key, model: Model, adapter: Any) -> None:
        if adapter is None:
            return
        if adapter not in model.config.adapters:
            known = ", ".join(model.config.adapters) or "none"
            raise GatewayError(
                400,
                "field_not_allowed",
                f"'adapter' can be one that the configuration lists under `adapters` of the model: {known}",
                param="adapter",
            )
        if not key.may_use(adapter):
            raise _not_allowed(key, "adapter", adapter)

    def allows(self, key: Key, model: str, name: str = "") -> bool:
        """Return whether a key allows a model, by its own name, its pattern, or an alias that the key names."""
        if key.may_use(model) or (name and key.may_use(name)):
            return True
        entry = self.config.entry(model)
        if entry is None:
            return False
        whole = self.config.models[entry].part_of or entry
        names = {entry, whole, *self.config.models[entry].access_groups, *self.config.models[whole].access_groups}
        return any(map(key.may_use, names))

    def names_for(self, key: Key) -> list[str]:
        """Return the names of models, patterns and aliases that a key may use, sorted."""
        config = self.config
        names = {
            name
            for name, model in config.models.items()
            if model.part_of is None and not model.hidden and self.allows(key, name)
        }
        names |= {
            alias
            for alias, target in config.aliases.items()
            if alias not in config.hidden_aliases and self.allows(key, target, alias)
        }
        # One that fits a pattern is listed if the key has it by its name.
        names |= {name for name in key.models or () if name not in config.aliases and config.canonical(name)}
        return sorted(names)

    async def ended(self, log: RequestLog) -> None:
        """Count a request that has ended."""
        if log.body_room:
            self.body_room.give_back(log)
        # By entry of the configuration: names that fit a pattern are without number.
        model, seconds = self._entry(log.model), log.seconds
        served = model if log.served_by in ("", log.model) else self._entry(log.served_by)
        if log.key is not None:
            await self.limits.settle(log)
            if log.model:
                failed = log.error is not None
                unmetered = log.usage is None and log.called and (not failed or log.gone or log.timed_out)
                self.usage_writer.note(
                    log.key.name,
                    served,
                    log.usage,
                    failed=failed,
                    unmetered=unmetered,
                    cost=log.cost,
                    seconds=seconds,
                    account=log.key.account if log.key.digest else "",
                )
        # Only its tokens had to be estimated.
        log.body = {}
        self.usage_writer.recent.note(log, served)
        usage, key = log.usage, log.key
        self.metrics.note(
            Kind(log.route, model, log.status, served, None if key is None else key.name),
            seconds,
            first_piece=log.first_piece,
            tokens=None if usage is None else (max(0, usage.prompt_tokens or 0), max(0, usage.completion_tokens or 0)),
            cost=dollars(log.cost) if log.cost else 0.0,
        )

    def attempt_failed(self, model: Model, deployment: Deployment, error: SagewireError) -> None:
        """Count a failed call of a deployment, whether or not another one makes it good."""
        kind = type(error).__name__
        self.metrics.upstream_errors.labels(model.entry, deployment.series, kind).inc()
        words = deployment.redaction.text(str(error))[:300]
        _log.warning("%s on %s: %s: %s", model.name, deployment.label, kind, words)

    async def close(self) -> None:
        """Write the remaining counts to the database, and close all connections."""
        for task in list(self._background):
            task.cancel()
        self.metrics.count()
        await self.usage_writer.close()
        await self.budgets.close()
        await self.rates.close()
        for deployment in self.router.deployments():
            await deployment.close()
        self.store.close()

    def _entry(self, model: str) -> str:
        return (self.config.entry(model) if model else None) or model

    def _unknown(self, name: str, key: Key) -> str:
        import difflib

        name = name[:MAX_NAME]
        reason = self.config.why_not(name)
        if reason is not None and key.may_use(name):
            return f"model {name[:100]!r} is not served here: {reason}"
        names = self.names_for(key)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"there is no model {name[:100]!r}; {hint}known: {', '.join(names) or 'none'}"


async def _discover(deployment: Deployment) -> None:
    try:
        await deployment.client("chat")
    except SagewireError as error:
        # The first call will meet it again, and its caller gets the error.
        deployment.note_error(error)
        _log.warning("%s: %s", deployment.label, deployment.last_error)


def _not_allowed(key: Key, kind: str, name: str) -> GatewayError:
    return GatewayError(403, f"{kind}_not_allowed", f"key '{key.name}' is not allowed to use {kind} '{name[:100]}'")


def _plain(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()
