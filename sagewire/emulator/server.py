"""The thin shell: it owns the socket, a thread with its own event loop, and nothing else."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sagewire.emulator.http_values import Abort, Request, Response, StreamFailure, Wait
from sagewire.emulator.service import Service

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Server"]

BACKLOG = 1024
START_SECONDS = 30.0
# Requests that still wait get so long; aiohttp takes 0 for "for ever".
SHUTDOWN_SECONDS = 0.05
# Requests that wait for another server at a time.
THREADS = 64
_END = object()

T = TypeVar("T")


class Server:
    """A real HTTP server over a `Service`.

    Args:
        service: The service that answers.
        host: The address to bind.
        port: The port to bind; 0 picks a free one.
    """

    def __init__(self, service: Service, host: str, port: int) -> None:
        self._service = service
        self._host = host
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._socket: socket.socket | None = None
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """The URL the server listens on, without a slash at the end.

        Raises:
            RuntimeError: It does not.
        """
        if self._socket is None:
            raise RuntimeError("the emulator is not running; use it as a context manager or call start()")
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Bind the socket and answer from now on.

        Raises:
            OSError: The address is taken.
        """
        if self._thread is not None:
            raise RuntimeError("the emulator is running already")
        # Bound here, so that a taken port is this caller's error and connections queue up from the first moment.
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="sagewire-emulator", daemon=True)
        self._thread.start()
        if not ready.wait(START_SECONDS):
            raise RuntimeError(f"the emulator did not start within {START_SECONDS} seconds")
        if self._failure is not None:
            raise RuntimeError("the emulator did not start") from self._failure

    def stop(self) -> None:
        """Close the socket and every connection; harmless if it does not run."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = self._loop = self._stopping = self._socket = None

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:
            self._failure = error
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        from aiohttp import web

        assert self._socket is not None
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        # Those of the loop are few, and the loop ends only after the last of them.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sagewire-emulator")
        server = web.Server(self._answer, access_log=None, keepalive_timeout=3600.0)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        await web.SockSite(runner, self._socket, backlog=BACKLOG).start()
        ready.set()
        try:
            await self._stopping.wait()
        finally:
            await runner.cleanup()
            # Whoever stops the emulator does not wait for the servers behind it.
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        limit = self._service.body_limit(incoming.path)
        _welcome_body(incoming)
        body = await _read(incoming, limit)
        if body is None:
            return web.Response(status=413, text=f"HTTP content length exceeded {limit} bytes.")
        headers: dict[str, str] = {}
        for name, value in incoming.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        request = Request(incoming.method, incoming.raw_path, headers, body)
        blocks = self._service.blocks(request)
        if blocks:
            response = await self._in_thread(self._service.handle, request)
        else:
            response = self._service.handle(request)
        return await self._send(incoming, response, blocks)

    async def _send(self, incoming: web.BaseRequest, response: Response, blocks: bool) -> web.StreamResponse:
        from aiohttp import web

        await _sleep(response.delay)
        if response.reset:
            _abort(incoming, reset=True)
        elif isinstance(response.body, bytes):
            return web.Response(status=response.status, headers=response.headers, body=response.body)
        outgoing = web.StreamResponse(status=response.status, headers=response.headers)
        outgoing.enable_chunked_encoding()
        if response.reset:
            return outgoing
        steps = iter(response.body) if not isinstance(response.body, bytes) else iter(())
        # A caller may leave at any time; aiohttp would log a traceback for each that does.
        with suppress(ConnectionResetError):
            await outgoing.prepare(incoming)
            while True:
                step = await self._in_thread(next, steps, _END) if blocks else next(steps, _END)
                if step is _END:
                    break
                if not await _take(incoming, outgoing, step):
                    return outgoing
            await outgoing.write_eof()
        return outgoing


async def _take(incoming: web.BaseRequest, outgoing: web.StreamResponse, step: object) -> bool:
    """Do one step of a body; return whether the connection is still there."""
    if isinstance(step, bytes):
        if step:
            await outgoing.write(step)
    elif isinstance(step, Wait):
        await _sleep(step.seconds)
    elif isinstance(step, Abort):
        _abort(incoming, reset=step.reset)
        return False
    elif isinstance(step, StreamFailure):
        # Nothing frames this stream, so all that is left of the failure is a broken connection.
        _abort(incoming, reset=False)
        return False
    return True


def _welcome_body(incoming: web.BaseRequest) -> None:
    # boto3 asks before it sends an object, and without an answer waits a second (botocore/awsrequest.py).
    if incoming.headers.get("expect", "").lower() == "100-continue" and incoming.transport is not None:
        incoming.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _read(incoming: web.BaseRequest, limit: int) -> bytes | None:
    """Return the request's body, `None` if it is larger than the service takes."""
    parts, size = [], 0
    async for part in incoming.content.iter_any():
        size += len(part)
        if size <= limit:
            parts.append(part)
    return b"".join(parts) if size <= limit else None


async def _sleep(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.Event().wait()
    elif seconds > 0:
        await asyncio.sleep(seconds)


def _abort(incoming: web.BaseRequest, *, reset: bool) -> None:
    transport = incoming.transport
    if transport is None:
        return
    if not reset:
        # The bytes written are still sent; the end of the chunked body is not.
        transport.close()
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Closing with no time to linger sends a reset instead of an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
