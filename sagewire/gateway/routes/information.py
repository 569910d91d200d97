"""Routes that ask no model: what there is, and how it is."""

from __future__ import annotations

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
        """Answer with models, deployments and this worker's calls in flight."""
        gateway, log = self.gateway, log_of(scope)
        log.key = key = await gateway.access.authenticate(headers_of(scope))
        sees_all = key is MASTER or key is OPEN
        hidden = gateway.config.hidden_aliases
        aliases = {alias: target for alias, target in gateway.config.aliases.items() if alias not in hidden}
        live = [one for one in gateway.live.values() if one.model and (sees_all or one.key == key)]
        models = [
            {
                "name": model.name,
                "task": model.deployments[0].main_task if model.deployments else "chat",
                "fallbacks": model.config.fallbacks,
                "aliases": [alias for alias, target in aliases.items() if target == model.name],
                "deployments": [
                    {
                        # The place of a deployment is shown to operators only.
                        "name": one.label if sees_all else f"deployment {number}",
                        "state": one.health,
                        "in_flight": one.in_flight,
                        "max_concurrency": one.config.max_concurrency,
                        "last_error": one.last_error if sees_all else "",
                        "last_error_at": one.last_error_at and one.last_error_at.isoformat(timespec="seconds"),
                    }
                    for number, one in enumerate(model.deployments, 1)
                ],
            }
            # Behind a pattern there is no deployment, behind each name that fits it there are.
            for model in (*gateway.router.models.values(), *gateway.router.remembered)
            if gateway.allows(key, model.name) and model.config.part_of is None
        ]
        requests = [
            {
                "request_id": one.request_id,
                "model": one.model,
                "key": one.key.name if one.key else "",
                "route": one.route,
                "stream": one.stream,
                "seconds": round(one.seconds, 1),
                "characters": one.characters,
            }
            for one in live[:100]
        ]
        await respond_json(
            send,
            200,
            {
                "version": __version__,
                "models": models,
                # Why, and that there are such names, is for operators.
                "not_served": gateway.config.not_served if sees_all else {},
                # Each worker knows of its own calls only.
                "workers": gateway.workers,
                "live": len(live),
                "requests": requests,
                "key": key.name,
                "sees_all": sees_all,
                "manages_keys": key is MASTER,
            },
            {"cache-control": "no-store"},
        )
