"""The ASGI application: the gate that every request passes, and the routes behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagewire.errors import SagewireError
from sagewire.gateway.accounting.tracing import span_of
from sagewire.gateway.errors import ClientGone, GatewayError, envelope_of
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.rate_limits import LIMIT_HEADERS
from sagewire.gateway.request_log import RequestLog, request_id_of, shown_path
from sagewire.gateway.routes.chat import Chat, Completions
from sagewire.gateway.routes.information import Live, MetricsText, Models, Ready, Status
from sagewire.gateway.routes.key_management import KeyManagement
from sagewire.gateway.routes.model_info import ModelGroups, ModelInfo
from sagewire.gateway.routes.reports import Page, Requests, UsageReport
from sagewire.gateway.routes.responses import Responses
from sagewire.gateway.routes.stored_responses import InputItems, StoredResponse
from sagewire.gateway.routes.vectors import EmbeddingsRoute, Rerank
from sagewire.gateway.server.access_log import write_access_log
from sagewire.gateway.server.browser_guard import check_browser
from sagewire.gateway.server.http_exchange import headers_of, respond_json

__all__ = ["create_app"]

_log = logging.getLogger("sagewire.gateway")
CLIENT_GONE = 499
# Probes and pages would drown the requests in the log.
_QUIET = frozenset({"health", "metrics", "status", "page"})


def create_app(gateway: Gateway, *, on_start: Callable[[], Awaitable[None]] | None = None) -> ASGIApp:
    """Return the ASGI application of a gateway.

    Args:
        gateway: The gateway that it serves.
        on_start: Awaited when the server has started, in its event loop.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        gateway.usage_writer.start()
        if on_start is not None:
            await on_start()
        try:
            yield
        finally:
            await gateway.close()

    routes: list[BaseRoute] = []
    for prefix in ("/v1", ""):
        routes += [
            Route(f"{prefix}/chat/completions", Chat(gateway), methods=["POST"]),
            Route(f"{prefix}/completions", Completions(gateway), methods=["POST"]),
            Route(f"{prefix}/embeddings", EmbeddingsRoute(gateway), methods=["POST"]),
            Route(f"{prefix}/rerank", Rerank(gateway), methods=["POST"]),
            Route(f"{prefix}/responses", Responses(gateway), methods=["POST"]),
            Route(f"{prefix}/responses/{{id}}", StoredResponse(gateway), methods=["GET", "DELETE"]),
            Route(f"{prefix}/responses/{{id}}/input_items", InputItems(gateway), methods=["GET"]),
            Route(f"{prefix}/models", Models(gateway), methods=["GET"]),
            Route(f"{prefix}/models/{{name:path}}", Models(gateway), methods=["GET"]),
        ]
    routes.append(Route("/v2/rerank", Rerank(gateway), methods=["POST"]))
    # Azure's clients name the deployment in the path.
    for prefix in ("/openai/deployments/{model:path}", "/engines/{model:path}"):
        routes += [
            Route(f"{prefix}/chat/completions", Chat(gateway), methods=["POST"]),
            Route(f"{prefix}/completions", Completions(gateway), methods=["POST"]),
            Route(f"{prefix}/embeddings", EmbeddingsRoute(gateway), methods=["POST"]),
        ]
    # Kubernetes manifests written for LiteLLM ask for the longer names.
    for health, names in ((Live, ("live", "liveness", "liveliness")), (Ready, ("ready", "readiness"))):
        routes += [Route(f"/health/{name}", health(gateway), methods=["GET"]) for name in names]
    for action, method in (
        ("generate", "POST"), ("info", "GET"), ("list", "GET"), ("update", "POST"), ("delete", "POST"),
        ("aliases", "GET"), ("block", "POST"), ("unblock", "POST"),
        ("regenerate", "POST"),
    ):  # fmt: skip
        routes.append(Route(f"/key/{action}", KeyManagement(gateway, action), methods=[method]))
    for action in ("regenerate", "reset_spend"):
        routes.append(Route(f"/key/{{key:path}}/{action}", KeyManagement(gateway, action), methods=["POST"]))
    routes.append(Route("/v2/key/info", KeyManagement(gateway, "infos"), methods=["POST"]))
    for path in ("/model/info", "/v1/model/info", "/v2/model/info"):
        routes.append(Route(path, ModelInfo(gateway), methods=["GET"]))
    routes.append(Route("/model_group/info", ModelGroups(gateway), methods=["GET"]))
    routes += [
        Route("/metrics", MetricsText(gateway), methods=["GET"]),
        Route("/status", Status(gateway), methods=["GET"]),
        Route("/status/usage", UsageReport(gateway), methods=["GET"]),
        Route("/status/requests", Requests(gateway), methods=["GET"]),
        Route("/", Page(gateway), methods=["GET"]),
        Route("/page/{name}", Page(gateway), methods=["GET"]),
    ]
    # Not `Starlette(...)`: its own error middleware answers in plain text before the gate can.
    app: ASGIApp = Gate(_ByPath(Router(routes, redirect_slashes=False, lifespan=lifespan)), gateway)
    origins = gateway.config.server.cors_origins
    if origins:
        # Around the gate, whose errors web pages must be able to read, too.
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["retry-after", "x-request-id", "x-sagewire-dropped", "x-sagewire-model", *LIMIT_HEADERS],
        )
    return app


_KNOWN = "/v1/chat/completions, /v1/completions, /v1/embeddings, /v1/rerank, /v1/responses, /v1/models"
# Known paths to name in the answer to an unknown one, by its beginning.
_NEAR = {
    "/key": "/key/generate, /key/info, /key/list, /key/aliases, /key/update, /key/block, /key/unblock, "
    "/key/regenerate, /key/{key}/reset_spend, /key/delete",
    "/health": "/health/live, /health/ready",
    "/spend": "/status/usage, /status/requests, and `spend` in /key/info and /key/list",
    "/global/spend": "/status/usage, /status/requests, and `spend` in /key/info and /key/list",
    "/model": "/model/info, /model_group/info, /v1/models; models are changed in the configuration file",
}


def _not_routed(path: str, error: HTTPException) -> GatewayError:
    """Return the error for a path or method without a route."""
    if error.status_code == 405:
        methods = (error.headers or {}).get("Allow") or "another method"
        return GatewayError(405, "method_not_allowed", f"{path[:200]} takes {methods}", headers=error.headers)
    known = next((known for start, known in _NEAR.items() if path.startswith(start)), _KNOWN)
    return GatewayError(error.status_code, "unknown_url", f"there is nothing at {path[:200]}; known: {known}")


class _ByPath:
    """The routes that have their own path, found by it; the router tries all others one after the other.

    Args:
        router: The router.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._routes: dict[tuple[str, str], ASGIApp] = {
            (method, route.path): route.app
            for route in router.routes
            if isinstance(route, Route) and "{" not in route.path
            for method in route.methods or ()
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request, or the server's life span, on."""
        app = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        return (app or self._router)(scope, receive, send)


class Gate:
    """The outermost step of every request: its id, its log, the checks of its headers, and errors in OpenAI's form.

    Args:
        app: The routes.
        gateway: Their shared state.
    """

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = headers_of(scope)
        log = RequestLog(request_id_of(headers), scope["method"], shown_path(scope["path"]), _address(scope))
        scope["sagewire.log"] = log
        scope["app"] = self  # tells starlette's router to raise rather than to answer in plain text
        gateway = self._gateway
        gateway.live[id(log)] = log
        gateway.metrics.count_soon()
        try:
            with span_of(log, headers):
                await self._run(scope, receive, _Sending(send, log), headers)
        finally:
            del gateway.live[id(log)]
            await gateway.ended(log)
            if gateway.config.server.access_log and log.route not in _QUIET:
                write_access_log(log)

    async def _run(self, scope: Scope, receive: Receive, send: _Sending, headers: Mapping[str, str]) -> None:
        log = send.log
        try:
            self._check_headers(scope, headers)
            await self._app(scope, receive, send)
        except ClientGone:
            log.status, log.error = CLIENT_GONE, "client_gone"
        except asyncio.CancelledError:
            if log.gone:
                log.status, log.error = CLIENT_GONE, "client_gone"
            elif self._gateway.draining:
                await self._cut_off(send)
            else:
                raise
        except SagewireError as error:
            await self._say(send, error)
        except HTTPException as error:
            await self._say(send, _not_routed(log.path, error))
        except Exception as error:
            _log.exception("request %s failed", log.request_id)
            await self._say(send, error)

    async def _cut_off(self, send: _Sending) -> None:
        """End a request that has outlived the time there was for draining."""
        send.log.error = "shutting_down"
        if send.started:
            return  # the server closes a connection whose response has no end
        headers = {"retry-after": "1", "connection": "close"}
        _, body, _ = envelope_of(GatewayError(503, "shutting_down", "the gateway is being restarted; try again"))
        await respond_json(send, 503, body, headers)

    def _check_headers(self, scope: Scope, headers: Mapping[str, str]) -> None:
        gateway = self._gateway
        if gateway.local_only and not gateway.access.required:
            check_browser(scope["method"], headers, gateway.config.server.cors_origins)
        limit = gateway.config.server.max_header_bytes
        if sum(map(len, chain.from_iterable(scope["headers"]))) > limit:
            raise GatewayError(431, "headers_too_large", f"the request's headers are larger than {limit} bytes")

    async def _say(self, send: _Sending, error: BaseException) -> None:
        status, body, headers = envelope_of(error)
        log = send.log
        log.error = body["error"]["code"] or type(error).__name__
        if isinstance(error, GatewayError):
            self._gateway.metrics.refused.labels(error.code).inc()
        if send.started:
            # Too late for a status: the connection is cut, which every client takes for an error.
            raise error
        await respond_json(send, status, body, headers)


class _Sending:
    """ASGI's `send`, with the log's headers on the response."""

    def __init__(self, send: Send, log: RequestLog) -> None:
        self._send = send
        self.log = log
        self.started = False

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.started = True
            log = self.log
            log.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", log.request_id.encode("latin-1"))]
            for name, value in log.headers.items():
                headers.append((name.encode("latin-1"), value.encode("latin-1", "replace")))
            message = {**message, "headers": headers}
        # Not a coroutine of its own, for each piece of each stream comes here.
        return self._send(message)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""
