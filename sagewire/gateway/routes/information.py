"""Routes that ask no model: what there is, and how it is."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from typing import Any

from starlette.types import Receive, Scope, Send

from sagewire import __version__
from sagewire.errors import SagewireError
from sagewire.gateway.accounting.metrics import CONTENT_TYPE
from sagewire.gateway.accounting.store_errors import SchemaMismatch
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.keys import MASTER, OPEN
from sagewire.gateway.routes.base import log_of
from sagewire.gateway.server.http_exchange import headers_of, respond, respond_json

__all__ = ["InformationRoute", "Live", "MetricsText", "Models", "Ready", "Status"]


# Requests in flight that are listed; all are counted.
MOST_LIVE = 100


class InformationRoute(ABC):
    """A route that asks no model; subclasses say how to answer.

    Args:
        gateway: The gateway.

    Attributes:
        name: The route's name in metrics and logs.
    """

    name = ""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        log_of(scope).route = self.name
        await self.answer(scope, send)

    @abstractmethod
    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer a request."""


class Models(InformationRoute):
    """`/v1/models` and `/v1/models/{name}`: those that the caller may use."""

    name = "models"

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer with one model or all."""
        gateway, log = self.gateway, log_of(scope)
        log.key = key = await gateway.access.authenticate(headers_of(scope))
        names = gateway.names_for(key)
        wanted = scope.get("path_params", {}).get("name")
        if wanted is None:
            await respond_json(send, 200, {"object": "list", "data": [_model(name) for name in names]})
        elif wanted in names or (gateway.config.canonical(wanted) == wanted and gateway.allows(key, wanted)):
            await respond_json(send, 200, _model(wanted))
        else:
            message = f"there is no model {wanted[:100]!r}; known: {', '.join(names) or 'none'}"
            raise GatewayError(404, "model_not_found", message, param="model")


def _model(name: str) -> dict[str, Any]:
    # `created` is required; the real date of an endpoint is not told to callers.
    return {"id": name, "object": "model", "created": 0, "owned_by": "sagewire"}


class Live(InformationRoute):
    """`/health/live`: the process runs."""

    name = "health"

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer at once."""
        await respond_json(send, 200, {"status": "alive"})


class Ready(InformationRoute):
    """`/health/ready`: whether to send requests here, which is not so while draining.

    Endpoints or a database that do not answer make no gateway unready as long as somebody is served: all replicas have
    the same ones.
    """

    name = "health"

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer 200 or 503."""
        if self.gateway.draining:
            await respond_json(send, 503, {"status": "draining"})
            return
        access = self.gateway.access
        try:
            await access.ping()
        except SchemaMismatch as error:
            # Others may be of the release that the tables are of.
            await respond_json(send, 503, {"status": "unready", "database": str(error)})
        except SagewireError:
            left = int(access.known_keys_seconds)
            served = left > 0 or not access.needs_database
            told = {"status": "degraded" if served else "unready", "database": "unreachable"}
            await respond_json(send, 200 if served else 503, {**told, "known_keys_seconds": left})
        else:
            await respond_json(send, 200, {"status": "ready"})


class MetricsText(InformationRoute):
    """`/metrics`, for Prometheus."""

    name = "metrics"

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer with all metrics."""
        gateway = self.gateway
        # They hold names of keys and models, which strangers must not learn.
        if gateway.config.server.metrics_need_key is not False:
            log_of(scope).key = key = await gateway.access.authenticate(headers_of(scope))
            if key.models is not None:
                raise GatewayError(403, "metrics_not_allowed", "metrics are for keys that may use every model")
        await respond(send, 200, gateway.metrics.text(), CONTENT_TYPE)


class Status(InformationRoute):
    """`/status`: what the page shows. A key sees the models it may use and its own requests; the master key all."""

    name = "status"

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer with models, deployments and requests in flight, of all workers."""
        gateway, log = self.gateway, log_of(scope)
        log.key = key = await gateway.access.authenticate(headers_of(scope))
        sees_all = key is MASTER or key is OPEN
        config = gateway.config
        aliases = {alias: target for alias, target in config.aliases.items() if alias not in config.hidden_aliases}
        found = gateway.states.all()
        models = []
        for model in found.models():
            name = model["name"]
            # A pattern has settings, too, though it runs nowhere itself.
            settings = config.models.get(name) or (config.settings(name) or (name, None))[1]
            # Another worker may have read a newer file, or not yet this one's.
            if settings is None or not gateway.allows(key, name):
                continue
            models.append({
                "name": name,
                "task": model["task"],
                "fallbacks": settings.fallbacks,
                "aliases": [alias for alias, target in aliases.items() if target == name],
                "deployments": [
                    # The place of a deployment is shown to operators only.
                    {**one, **({} if sees_all else {"name": f"deployment {number}", "last_error": ""})}
                    for number, one in enumerate(model["deployments"], 1)
                ],
            })  # fmt: skip
        # Gateways on other machines may share its keys and counts, and have states of their own.
        one_of_several = gateway.store.on_network or config.server.redis_url is not None
        only = None if sees_all else key.digest
        await respond_json(
            send,
            200,
            {
                "version": __version__,
                "models": models,
                # Why, and that there are such names, is for operators.
                "not_served": config.not_served if sees_all else {},
                "workers": gateway.workers,
                # Those whose states these are; one that has just started is not among them.
                "workers_known": found.workers,
                "machine": socket.gethostname() if sees_all and one_of_several else None,
                "live": found.live(only),
                "requests": found.requests(only, MOST_LIVE),
                "key": key.name,
                "sees_all": sees_all,
                "manages_keys": key is MASTER,
            },
            {"cache-control": "no-store"},
        )
