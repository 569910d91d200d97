"""The HTTP side of a request, on bare ASGI: reading bodies within limits, answering, streaming, noticing hang-ups."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.types import Receive, Send

from sagewire.gateway.errors import ClientGone, GatewayError
from sagewire.gateway.request_log import RequestLog
from sagewire.openai_shapes import BadRequest

__all__ = ["EventStream", "KeepAlive", "read_json", "respond", "respond_json", "while_connected"]

JSON_TYPE = "application/json"
# 20 MB over a slow line take that long.
BODY_SECONDS = 120.0
# How long a caller may leave a piece of its answer unread; it holds a place at the endpoint.
STALL_SECONDS = 120.0
# Seconds after which a stream begins with a comment, before the model's first piece.
FIRST_COMMENT = 1.0


async def read_json(receive: Receive, headers: Mapping[str, str], limit: int) -> Any:
    """Return a request's parsed JSON body.

    Raises:
        GatewayError: 413, it is larger than `limit` bytes; 408, it takes too long.
        BadRequest: It is not JSON.
        ClientGone: The caller hung up halfway.
    """
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(receive, limit)
    except TimeoutError:
        message = f"the request body did not arrive within {BODY_SECONDS:g} s"
        raise GatewayError(408, "request_timeout", message, headers={"connection": "close"}) from None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the request body is not JSON: {error}") from None


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> GatewayError:
    # The rest of the body is not read, so the connection cannot be used again.
    message = f"the request body is larger than {limit} bytes"
    return GatewayError(413, "request_too_large", message, headers={"connection": "close"})


async def respond(
    send: Send, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
) -> None:
    """Send a whole response."""
    await send({"type": "http.response.start", "status": status, "headers": _raw(content_type, len(body), headers)})
    await send({"type": "http.response.body", "body": body})


async def respond_json(send: Send, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
    """Send a value as JSON."""
    await respond(send, status, orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), JSON_TYPE, headers)


class EventStream:
    """A response of server-sent events; the status line goes out with the first of them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.last_write = time.monotonic()

    async def begin(self) -> None:
        """Send the headers."""
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        raw = _raw("text/event-stream; charset=utf-8", None, headers)
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})
        self.begun = True

    async def write(self, data: bytes) -> None:
        """Send bytes that are events already.

        Raises:
            ClientGone: The caller has stopped reading.
        """
        if data:
            self.last_write = time.monotonic()
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await self._send({"type": "http.response.body", "body": data, "more_body": True})
            except TimeoutError:
                raise ClientGone from None

    async def end(self, data: bytes = b"") -> None:
        """Send the last bytes."""
        await self._send({"type": "http.response.body", "body": data})


class KeepAlive:
    """Comments in a stream of events while there is nothing else to send.

    Args:
        out: The stream; its headers go out with the first comment if they have not yet.
        seconds: How long the stream may be silent.
    """

    def __init__(self, out: EventStream, seconds: float) -> None:
        self._out = out
        self._seconds = seconds
        self._writing: asyncio.Task[None] | None = None
        # A server that refuses a request at once still gives its HTTP status.
        self._timer = asyncio.get_running_loop().call_later(min(FIRST_COMMENT, seconds), self._look)

    def _look(self) -> None:
        silent = time.monotonic() - self._out.last_write
        if not self._out.begun or silent >= self._seconds:
            self._writing = asyncio.create_task(self._write())
            silent = 0.0
        self._timer = asyncio.get_running_loop().call_later(self._seconds - silent, self._look)

    async def _write(self) -> None:
        with contextlib.suppress(ClientGone):
            if not self._out.begun:
                await self._out.begin()
            await self._out.write(b": waiting for the model\n\n")

    def resume(self) -> None:
        """Send comments again after `stop`."""
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    async def stop(self) -> None:
        """Send no more comments; one that is being sent is sent to its end."""
        self._timer.cancel()
        if self._writing is not None:
            await asyncio.shield(self._writing)


@asynccontextmanager
async def while_connected(receive: Receive, log: RequestLog) -> AsyncIterator[None]:
    """Run the block as long as the caller stays; cancel it when the caller hangs up.

    Args:
        receive: ASGI's.
        log: Its `gone` is set when the caller hangs up, for a cancellation that arrives just behind the block.

    Raises:
        ClientGone: The caller hung up.
    """
    task = asyncio.current_task()
    assert task is not None, "ASGI applications run in a task"

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        log.gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if log.gone and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        watcher.cancel()


def _raw(content_type: str, length: int | None, headers: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    raw = [(b"content-type", content_type.encode("latin-1"))]
    if length is not None:
        raw.append((b"content-length", b"%d" % length))
    raw += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return raw
