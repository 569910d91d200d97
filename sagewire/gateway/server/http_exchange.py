"""The HTTP side of a request, on bare ASGI: reading bodies within limits, answering, streaming, noticing hang-ups."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from sagewire.gateway.body_room import SMALL_BODY, BodyRoom, check_values
from sagewire.gateway.errors import ClientGone, GatewayError
from sagewire.gateway.request_log import RequestLog
from sagewire.http.timer_pool import Alarm, Timer, TimerPool
from sagewire.openai_shapes import BadRequest

__all__ = [
    "ARRIVED",
    "EventStream",
    "KeepAlive",
    "headers_of",
    "read_json",
    "respond",
    "respond_json",
    "while_connected",
]

JSON_TYPE = "application/json"
# The key in a request's scope that says that its whole body has arrived.
ARRIVED = "sagewire.arrived"
# 20 MB over a slow line take that long.
BODY_SECONDS = 120.0
# How long a caller may leave a piece of its answer unread; it holds a place at the endpoint.
STALL_SECONDS = 120.0
# Seconds after which a stream begins with a comment, before the model's first piece.
FIRST_COMMENT = 1.0
# Seconds from which on a caller who hangs up is noticed: most that is answered sooner needs no task to watch for it.
WATCHED_AFTER = 0.1


def headers_of(scope: Scope) -> Mapping[str, str]:
    """Return a request's headers by their lower-case names; of one that comes twice, the first."""
    known: Mapping[str, str] | None = scope.get("sagewire.headers")
    if known is None:
        raw = reversed(scope["headers"])
        known = scope["sagewire.headers"] = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    return known


async def read_json(
    receive: Receive,
    headers: Mapping[str, str],
    limit: int,
    alarms: TimerPool,
    room: BodyRoom | None = None,
    log: RequestLog | None = None,
    *,
    arrived: bool = False,
) -> Any:
    """Return a request's parsed JSON body.

    Args:
        receive: ASGI's.
        headers: The request's.
        limit: Maximum bytes.
        alarms: The timers of the running event loop.
        room: The room for large bodies, which `log` takes until it is given back.
        log: The request's; with `room` only.
        arrived: All of the body has arrived.

    Raises:
        GatewayError: 413, it is larger than `limit` bytes; 408, it takes too long; 429 or 503, there is no room for it.
        BadRequest: It is not JSON.
        ClientGone: The caller hung up halfway.
    """
    announced = headers.get("content-length", "")
    size = int(announced) if announced.isdigit() else None
    if size is not None and size > limit:
        raise _too_large(limit)
    if arrived and size is not None and size <= SMALL_BODY:
        # Most bodies, for which there is nothing to wait for.
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        return _parsed(message.get("body", b""))
    body = _Body(receive, limit, alarms)
    if room is None or log is None:
        await body.read(limit)
    elif not await body.read(SMALL_BODY):
        # All of it, before more is read: of bodies that grow together, each might wait for the others' room.
        if body.ended:
            size = len(body.data)
        elif size is None or "transfer-encoding" in headers:
            size = limit
        await room.take(log, size, limit)
        await body.read(limit)
        room.shrink(log, len(body.data))
        check_values(body.data)
        parsed = _parsed(body.data)
        room.weigh(log, parsed, limit)
        return parsed
    return _parsed(body.data)


def _parsed(body: bytes | bytearray) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the request body is not JSON: {error}") from None


class _Body:
    """A body that is arriving.

    Args:
        receive: ASGI's.
        limit: Maximum bytes.
        alarms: The timers of the running event loop.

    Attributes:
        data: What has arrived; in one piece, since callers may send it in any number of them.
        ended: That is all.
    """

    __slots__ = ("_alarms", "_limit", "_receive", "_seconds", "data", "ended")

    def __init__(self, receive: Receive, limit: int, alarms: TimerPool) -> None:
        self._receive = receive
        self._limit = limit
        self._alarms = alarms
        self._seconds = BODY_SECONDS
        self.data = bytearray()
        self.ended = False

    async def read(self, most: int) -> bool:
        """Read on to the end, or until more than `most` bytes are there; return whether they are not.

        Raises:
            GatewayError: 413, it is too large; 408, it takes too long.
            ClientGone: The caller hung up halfway.
        """
        began = self._alarms.loop.time()
        try:
            with Timer(self._seconds, self._alarms):
                while not self.ended and len(self.data) <= most:
                    await self._read_part()
        except TimeoutError:
            message = f"the request body did not arrive within {BODY_SECONDS:g} s"
            raise GatewayError(408, "request_timeout", message, headers={"connection": "close"}) from None
        self._seconds -= self._alarms.loop.time() - began
        return len(self.data) <= most

    async def _read_part(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.data += message.get("body", b"")
        if len(self.data) > self._limit:
            raise _too_large(self._limit)
        self.ended = not message.get("more_body", False)


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
    """A response of server-sent events; the status line goes out with the first of them.

    Args:
        send: ASGI's.
        alarms: The timers of the running event loop; default: its own.
    """

    def __init__(self, send: Send, alarms: TimerPool | None = None) -> None:
        self._send = send
        self._alarms = alarms or TimerPool(asyncio.get_running_loop())
        self._alarm: Alarm | None = None
        self._write_by = 0.0
        self._writer: asyncio.Task[Any] | None = None
        self._writing = False
        self._stalled = False
        self.begun = False
        self.last_write = self._alarms.loop.time()

    @property
    def silence(self) -> float:
        """The seconds since the last write."""
        return self._alarms.loop.time() - self.last_write

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
        if not data:
            return
        self.last_write = self._alarms.loop.time()
        self._write_by = self.last_write + STALL_SECONDS
        if self._alarm is None:
            # All writes are the same task's, one after the other; the alarm looks on its own when the last one was.
            self._writer = asyncio.current_task()
            self._alarm = self._alarms.take()
            self._alarm.watch = self
            self._alarm.fire_by(self._write_by)
        self._writing = True
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except asyncio.CancelledError:
            if self._stalled and self._writer is not None and self._writer.uncancel() == 0:
                raise ClientGone from None
            raise
        finally:
            self._writing = False

    async def comment(self, text: bytes) -> None:
        """Send a comment, perhaps while a write is on its way."""
        self.last_write = self._alarms.loop.time()
        with contextlib.suppress(TimeoutError), Timer(STALL_SECONDS, self._alarms):
            await self._send({"type": "http.response.body", "body": b": %b\n\n" % text, "more_body": True})

    def alarmed(self) -> None:
        """Give up a write that takes too long; the alarm may be one for an earlier write, and none be under way."""
        now = self._alarms.loop.time()
        if self._alarm is not None and (now < self._write_by or not self._writing):
            self._alarm.fire_by(self._write_by if now < self._write_by else now + STALL_SECONDS)
        elif self._writer is not None:
            self._stalled = True
            self._writer.cancel()

    def close(self) -> None:
        """Write no more."""
        if self._alarm is not None:
            self._alarms.give_back(self._alarm)
            self._alarm = None

    async def end(self, data: bytes = b"") -> None:
        """Send the last bytes."""
        await self._send({"type": "http.response.body", "body": data})


class KeepAlive:
    """Comments in a stream of events while there is nothing else to send.

    Args:
        out: The stream; its headers go out with the first comment if they have not yet.
        seconds: How long the stream may be silent.
        alarms: The timers of the running event loop.
    """

    def __init__(self, out: EventStream, seconds: float, alarms: TimerPool) -> None:
        self._out = out
        self._seconds = seconds
        self._alarms = alarms
        self._alarm: Alarm | None = None
        self._look_at = 0.0
        self._writing: asyncio.Task[None] | None = None
        # A server that refuses a request at once still gives its HTTP status.
        self._look_in(min(FIRST_COMMENT, seconds))

    def _look_in(self, seconds: float) -> None:
        if self._alarm is None:
            self._alarm = self._alarms.take()
            self._alarm.watch = self
        self._look_at = self._alarms.loop.time() + seconds
        self._alarm.fire_by(self._look_at)

    def alarmed(self) -> None:
        """Send a comment if the stream has been silent for too long."""
        left = self._look_at - self._alarms.loop.time()
        if left <= 0:
            silent = self._out.silence
            if not self._out.begun or silent >= self._seconds:
                self._writing = self._alarms.loop.create_task(self._write())
                silent = 0.0
            left = self._seconds - silent
        self._look_in(left)

    async def _write(self) -> None:
        if not self._out.begun:
            await self._out.begin()
        await self._out.comment(b"waiting for the model")

    def resume(self) -> None:
        """Send comments again after `stop`."""
        self._look_in(self._seconds)

    async def stop(self) -> None:
        """Send no more comments; one that is being sent is sent to its end."""
        if self._alarm is not None:
            self._alarms.give_back(self._alarm)
            self._alarm = None
        if self._writing is not None:
            await asyncio.shield(self._writing)


class while_connected:
    """Run the block as long as the caller stays; cancel it when the caller hangs up.

    Args:
        receive: ASGI's.
        log: Its `gone` is set when the caller hangs up, for a cancellation that arrives just behind the block.
        alarms: The timers of the running event loop, all of them short.

    Raises:
        ClientGone: The caller hung up.
    """

    __slots__ = ("_alarm", "_alarms", "_log", "_receive", "_task", "_watch_from", "_watcher")

    def __init__(self, receive: Receive, log: RequestLog, alarms: TimerPool) -> None:
        self._receive = receive
        self._log = log
        self._alarms = alarms
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "ASGI applications run in a task"
        self._task: asyncio.Task[Any] = task
        self._watch_from = self._alarms.loop.time() + WATCHED_AFTER
        self._alarm = self._alarms.take()
        self._alarm.watch = self
        self._alarm.fire_by(self._watch_from)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarms.give_back(self._alarm)
        if self._watcher is not None:
            self._watcher.cancel()
            # Otherwise the two would refer to each other.
            self._watcher = None
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        if cancelled and self._log.gone and self._task.uncancel() == 0:
            raise ClientGone from None

    def alarmed(self) -> None:
        """Begin to watch, if it is time."""
        if self._alarms.loop.time() < self._watch_from:
            self._alarm.fire_by(self._watch_from)
        else:
            self._watcher = self._alarms.loop.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._log.gone = True
        self._task.cancel()


def _raw(content_type: str, length: int | None, headers: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    raw = [(b"content-type", content_type.encode("latin-1"))]
    if length is not None:
        raw.append((b"content-length", b"%d" % length))
    raw += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return raw
