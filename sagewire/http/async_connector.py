"""aiohttp's connections: opened, kept and looked at before they are used again, each step within its time."""

from __future__ import annotations

import select
import socket
import sys
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

from sagewire.http.abandonable import in_thread
from sagewire.http.deadlines import Deadlines
from sagewire.http.origin import Origin, keepalive_options
from sagewire.http.timer_pool import Timer, TimerPool

__all__ = ["Progress", "connector_class", "current_progress"]

_HAS_POLL = hasattr(select, "poll")


class Progress(Timer):
    """How far a request has come, and its time limit, which is set anew at each step."""

    __slots__ = ("deadlines", "phase", "reused")

    def __init__(self, deadlines: Deadlines, alarms: TimerPool) -> None:
        Timer.__init__(self, None, alarms)
        self.deadlines = deadlines
        self.phase = "connect"
        self.reused = True
        # Raises once there is no time left for the whole call.
        deadlines.left()

    def connecting(self) -> None:
        """No idle connection is left, so that one is opened; to take an idle one needs no time."""
        self.reused = False
        self.set(self.deadlines.wait("connect"))

    def connected(self) -> None:
        """There is a connection, and the request is sent on it."""
        self.phase = "first_byte"
        self.set(self.deadlines.wait("first_byte"))

    def sent(self) -> None:
        """A piece of the request was sent."""
        self.set(self.deadlines.wait("first_byte"))


# aiohttp's tracing tells all this as well, for a fifth of the time of a call.
current_progress: ContextVar[Progress] = ContextVar("sagewire_progress")


@cache
def _protocol_class() -> Any:
    import aiohttp
    from aiohttp.client_proto import ResponseHandler

    class Protocol(ResponseHandler):
        """Tells the reader of a body that its framing broke; aiohttp's own lets it wait until time is up."""

        def set_exception(self, exc: Any, *cause: Any) -> None:
            content: Any = self._payload
            super().set_exception(exc, *cause)
            if content is not None:
                # Later, so that what came before it is read first.
                error = aiohttp.ClientPayloadError(f"{type(exc).__name__} in the body")
                self._loop.call_soon(_break_off, content, error)

    return Protocol


@cache
def _resolver_class() -> Any:
    from aiohttp.abc import AbstractResolver

    class Resolver(AbstractResolver):
        """Looks up names in threads that nobody has to wait for.

        aiohttp's own takes those of the event loop: they are few, and `asyncio.run` ends only after the last of them.
        """

        async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[Any]:
            look_up = partial(
                socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=getattr(socket, "AI_ADDRCONFIG", 0)
            )
            numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            return [
                {"hostname": host, "host": _address(*where), "port": where[1], "family": kind, "proto": protocol,
                 "flags": numeric}
                for kind, _, protocol, _, where in await in_thread(look_up)
            ]  # fmt: skip

        async def close(self) -> None:
            """Do nothing: nothing is kept."""

    return Resolver


def _address(host: Any, _port: int, _flow: int = 0, scope: int = 0) -> str:
    """Return an address with the zone that it belongs to, if it is valid in one only."""
    return f"{host}%{scope}" if scope and "%" not in host else host


@cache
def connector_class() -> Any:
    """Return the class of connectors; aiohttp takes long to import."""
    import aiohttp

    class Connector(aiohttp.TCPConnector):
        """Tells the request that waits for a connection that it has one, and whether that was used before."""

        def __init__(self, origin: Origin, **arguments: Any) -> None:
            super().__init__(resolver=_resolver_class()(), **arguments)
            self._factory = partial(_protocol_class(), loop=self._loop)
            self._keepalive = origin.tcp_keepalive
            self._pool_size = origin.pool_size
            self._lent: dict[Any, Any] = {}

        def hang_up(self) -> None:
            """Close the connections that are in use: nobody reads on when their loop ends."""
            for connection in list(self._lent.values()):
                # One that is collected unclosed says so.
                connection.close()
            for protocol in list(self._acquired):
                protocol.close()
            # Else closing the session waits for each of them.
            self._acquired.clear()

        async def connect(self, *arguments: Any, **named: Any) -> Any:
            progress = current_progress.get()
            while True:
                progress.reused = True
                connection = await super().connect(*arguments, **named)
                if not progress.reused or _quiet(connection.protocol):
                    break
                connection.close()
            self._lent[connection.protocol] = connection
            progress.connected()
            return connection

        async def _create_connection(self, *arguments: Any, **named: Any) -> Any:
            current_progress.get().connecting()
            protocol = await super()._create_connection(*arguments, **named)
            if self._keepalive:
                _keep_alive(protocol.transport)
            return protocol

        def _release(self, key: Any, protocol: Any, **named: Any) -> None:
            self._lent.pop(protocol, None)
            # aiohttp bounds the connections in use; boto3's pool size is of those that are kept.
            if self._pool_size is not None and len(self._conns.get(key, ())) >= self._pool_size:
                named["should_close"] = True
            super()._release(key, protocol, **named)

    return Connector


def _break_off(content: Any, error: Exception) -> None:
    if content.exception() is None and not content.is_eof():
        content.set_exception(error)


def _quiet(protocol: Any) -> bool:
    """Return whether the server has neither closed an idle connection nor sent anything on it.

    The loop may not have come round to reading it yet. Bytes that came early would be taken for the next answer.
    """
    if protocol.should_close:
        return False
    sock = protocol.transport.get_extra_info("socket")
    return sock is None or not _readable(sock)


def _readable(sock: Any) -> bool:
    if sys.platform == "win32" or not _HAS_POLL:
        return bool(select.select([sock], [], [], 0)[0])
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    return bool(waiting.poll(0))


def _keep_alive(transport: Any) -> None:
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is not None:
        for option in keepalive_options():
            sock.setsockopt(*option)
