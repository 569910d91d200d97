"""The operators' page, and what it draws: usage over time, and the newest requests."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Scope, Send

from sagewire.gateway.accounting.database_calls import DatabaseCalls
from sagewire.gateway.accounting.report import HOURS, report
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.keys import MASTER, OPEN
from sagewire.gateway.routes.base import log_of
from sagewire.gateway.routes.information import InformationRoute
from sagewire.gateway.server.http_exchange import headers_of, respond, respond_json
from sagewire.openai_shapes import BadRequest

__all__ = ["Page", "Requests", "UsageReport"]

MOST_REQUESTS = 200
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
# The files of the page; nothing else is served.
FILES = frozenset(
    {"charts.js", "common.js", "keys.js", "page.js", "playground.js", "snippets.js", "style.css", "usage.js"}
)


class _Report(InformationRoute):
    """A key sees its own requests; the master key all, and may choose a key."""

    name = "status"

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._calls = DatabaseCalls(gateway.store)

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer with what the database has."""
        log = log_of(scope)
        log.key = key = await self.gateway.access.authenticate(headers_of(scope))
        given = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        query = {name: values[-1] for name, values in given.items()}
        since = None
        if key is not MASTER and key is not OPEN:
            query["key"] = key.name
            # What came before is of another key that had its name.
            since = key.renamed or key.created
        read = self.reader(query, since)
        try:
            found = await self._calls.run(read)
        except StoreError:
            raise GatewayError(503, "usage_unavailable", "the database does not answer; try again") from None
        await respond_json(send, 200, found, {"cache-control": "no-store"})

    @abstractmethod
    def reader(self, query: dict[str, str], since: datetime | None) -> Callable[[], Any]:
        """Return what reads the answer.

        Args:
            query: The parameters of the URL; `key` is the one that the caller may see.
            since: The caller may see nothing of before.
        """


class UsageReport(_Report):
    """`/status/usage`: requests, tokens, cost and latency over time, by model and by key."""

    def reader(self, query: dict[str, str], since: datetime | None) -> Callable[[], Any]:
        """Return what reads the report."""
        hours = query.get("hours", "24")
        if hours not in map(str, HOURS):
            raise BadRequest(f"'hours' must be one of {', '.join(map(str, HOURS))}", "hours")
        store = self.gateway.store
        key_name, model = query.get("key"), query.get("model")
        # Usage is counted by hour: that of the hour it was made in may be of either.
        first = since and since.replace(minute=0, second=0, microsecond=0)
        return lambda: report(store, int(hours), key_name=key_name, model=model, since=first)


class Requests(_Report):
    """`/status/requests`: the newest requests, with status and reason and without content."""

    def reader(self, query: dict[str, str], since: datetime | None) -> Callable[[], Any]:
        """Return what reads the requests."""
        limit = query.get("limit", "100")
        if not limit.isascii() or not limit.isdigit() or not 0 < int(limit[:9]) <= MOST_REQUESTS:
            raise BadRequest(f"'limit' must be a number from 1 to {MOST_REQUESTS}", "limit")
        recent, failed = self.gateway.usage_writer.recent, query.get("failed") in ("1", "true")
        key_name, model = query.get("key"), query.get("model")
        newest = partial(recent.newest, key_name=key_name, model=model, failed=failed, limit=int(limit), since=since)
        return lambda: {"requests": newest()}


class Page(InformationRoute):
    """`/` and the files of the page below `/page/`."""

    name = "page"

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer with a file; the page may load nothing from anywhere else."""
        name = scope.get("path_params", {}).get("name", "index.html")
        if name not in FILES and name != "index.html":
            raise GatewayError(404, "unknown_url", f"there is nothing at {scope['path'][:200]}")
        policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        policy += "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        headers = {"content-security-policy": policy, "x-content-type-options": "nosniff", "cache-control": "no-cache"}
        kind = _KINDS[name.rpartition(".")[2]]
        await respond(send, 200, _file(name), f"{kind}; charset=utf-8", headers)


@cache
def _file(name: str) -> bytes:
    return resources.files("sagewire.gateway.page").joinpath(name).read_bytes()
