"""`/v1/responses/{id}`: answers that are stored, for the key that they were made for."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from sagewire.gateway.errors import GatewayError
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.routes.base import log_of
from sagewire.gateway.server.http_exchange import headers_of, respond_json
from sagewire.gateway.stored_responses import page_of
from sagewire.openai_shapes import BadRequest

__all__ = ["InputItems", "StoredResponse"]

# Entries of a list, as in OpenAI's API.
MOST, USUAL = 100, 20


class StoredResponse:
    """`/v1/responses/{id}`: one answer, to be read or deleted.

    Args:
        gateway: The gateway.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        gateway, log = self.gateway, log_of(scope)
        log.route = "stored_responses"
        log.key = await gateway.access.authenticate(headers_of(scope))
        if gateway.config.server.store_responses is None:
            raise GatewayError(404, "response_not_found", "responses are not stored here (`server.store_responses`)")
        await respond_json(send, 200, await self.answer(scope, scope["path_params"]["id"]))

    async def answer(self, scope: Scope, id: str) -> dict[str, Any]:
        """Return the answer to a request."""
        gateway, key = self.gateway, log_of(scope).key
        assert key is not None, "it has been checked"
        if scope["method"] == "DELETE":
            await gateway.responses.delete(key, id)
            return {"id": id, "object": "response", "deleted": True}
        if _query(scope).get("stream", "false").lower() in ("true", "1"):
            raise BadRequest("a stored response is read whole: leave out 'stream'", "stream")
        return await gateway.responses.get(key, id)


class InputItems(StoredResponse):
    """`/v1/responses/{id}/input_items`: what one answer was made from."""

    async def answer(self, scope: Scope, id: str) -> dict[str, Any]:
        """Return the answer to a request."""
        gateway, key, query = self.gateway, log_of(scope).key, _query(scope)
        assert key is not None, "it has been checked"
        limit, order = query.get("limit", str(USUAL)), query.get("order", "desc")
        if not limit.isdecimal() or not 1 <= int(limit[:9]) <= MOST:
            raise BadRequest(f"'limit' must be a number from 1 to {MOST}", "limit")
        if order not in ("asc", "desc"):
            raise BadRequest("'order' must be asc or desc", "order")
        items = await gateway.responses.input_items(key, id, gateway.config.server)
        return page_of(items, limit=int(limit[:9]), order=order, after=query.get("after"))


def _query(scope: Scope) -> dict[str, str]:
    given = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return {name: values[0] for name, values in given.items()}
