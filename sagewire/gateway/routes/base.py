"""The steps that all routes of models share: key, body, model, and then the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from starlette.types import Receive, Scope, Send

from sagewire.gateway.gateway import Expand, Gateway
from sagewire.gateway.generation import Generation
from sagewire.gateway.request_log import RequestLog
from sagewire.gateway.routing.deployments import Task
from sagewire.gateway.server.http_exchange import ARRIVED, headers_of, read_json
from sagewire.gateway.turn import Turn

__all__ = ["ModelRoute", "log_of"]

_NOTHING: dict[str, str] = {}


def log_of(scope: Scope) -> RequestLog:
    """Return the log of a request."""
    log = scope["sagewire.log"]
    assert isinstance(log, RequestLog), "the gate opens one for each request"
    return log


class ModelRoute(ABC):
    """An ASGI application for one route; subclasses say how to answer.

    Attributes:
        name: The route's name in metrics and logs.
        task: The task that the route asks of a deployment.
        expand: Puts what a request refers to in its place, once the key may use the model.
    """

    name = ""
    task: Task = "chat"
    expand: Expand | None = None

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        gateway, log, headers = self.gateway, log_of(scope), headers_of(scope)
        log.route = self.name
        log.conversation = headers.get("x-session-id", "")
        log.key = key = await gateway.access.authenticate(headers)
        # The key comes first: a stranger's body is not even read.
        limit = gateway.config.server.max_body_bytes
        arrived = ARRIVED in scope
        body = await read_json(receive, headers, limit, gateway.alarms, gateway.body_room, log, arrived=arrived)
        named = scope.get("path_params", _NOTHING).get("model")
        if named and isinstance(body, dict):
            # As for Azure, the deployment in the path counts.
            body["model"] = named
        turn = await gateway.admit(log, key, body, self.task, self.expand)
        log.body = turn.body
        await self.answer(turn, Generation(gateway, turn, receive, send), send)

    @abstractmethod
    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer an admitted request."""
