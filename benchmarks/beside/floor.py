"""The floor under every gateway on this stack: check a key, pass bytes on. Run by uvicorn with uvloop and httptools.

It parses nothing, counts nothing, limits nothing and logs nothing; the rest of a gateway is what it costs more.
"""

from __future__ import annotations

import hmac
import os
from typing import Any

import aiohttp

from beside.gateway_load import HEADERS

UPSTREAM = "FLOOR_UPSTREAM"
_KEY = HEADERS["authorization"].encode()
_JSON = {"content-type": "application/json"}


class Floor:
    """An ASGI application that passes requests and answers on."""

    session: aiohttp.ClientSession

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif not hmac.compare_digest(dict(scope["headers"]).get(b"authorization", b""), _KEY):
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body"})
        else:
            await self._pass_on(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(os.environ[UPSTREAM], connector=connector, auto_decompress=False) as session:
            self.session = session
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _pass_on(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        async with self.session.post(scope["path"], data=body, headers=_JSON) as answer:
            headers = [(b"content-type", answer.headers["content-type"].encode())]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})


app = Floor()
