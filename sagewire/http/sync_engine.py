"""HTTP/1.1 on urllib3's connections: time limits that hold, and pieces handed on the moment they arrive.

urllib3 opens the connections (names, TLS, proxies, tunnels) and the standard library parses the answers. The pool is
here, because three things it decides must be known: whether a connection was used before, so that one the server
closed while it lay idle is replaced and not reported; the socket, whose timeout is set anew before each wait; and the
process, since a forked child must not touch its parent's connections. It also is what makes a call cheap: writing
head and body at once and keeping the parsed answer bare saves half of what urllib3's own layers cost.
"""

from __future__ import annotations

import weakref
from collections import deque
from contextlib import suppress

from sagewire._forks import reset_in_child
from sagewire.errors import EndpointError
from sagewire.http.deadlines import Deadlines
from sagewire.http.errors import unanswered
from sagewire.http.origin import Origin
from sagewire.http.request import Request
from sagewire.http.sync_connection import Connection
from sagewire.http.sync_response import SyncResponse

__all__ = ["SyncEngine", "SyncResponse"]

_POOL_SIZE = 64

_inherited: list[deque[Connection]] = []


class SyncEngine:
    """Connections to one origin; safe to share between threads, and usable after a fork."""

    def __init__(self, origin: Origin) -> None:
        from sagewire.http.connect import Connector

        self._origin = origin
        self._connector = Connector(origin)
        self._prefix = self._connector.target_prefix
        self._size = origin.pool_size or _POOL_SIZE
        self._idle: deque[Connection] = deque()
        reset_in_child(self)
        # A client that is dropped without being closed must not leak its idle connections.
        self._finalize = weakref.finalize(self, _close_all, self._idle)

    @property
    def proxy_headers(self) -> dict[str, str]:
        """The headers that tell a proxy who asks."""
        return self._origin.proxy_headers

    def reset_after_fork(self) -> None:
        """Leave the parent's connections alone: two processes on one connection would read each other's answers."""
        # Kept, not dropped: dropping an open socket is a ResourceWarning, and closing a TLS one sends an alert.
        self._finalize.detach()
        _inherited.append(self._idle)
        self._idle = deque()
        self._finalize = weakref.finalize(self, _close_all, self._idle)

    def close(self) -> None:
        """Close the idle connections."""
        _close_all(self._idle)

    def send(self, request: Request, deadlines: Deadlines, *, resend: bool = True) -> SyncResponse:
        """Send a request and return the answer as soon as its headers are there.

        A connection that turns out to have been closed while it lay idle is replaced.

        Args:
            request: The request to send.
            deadlines: The call's clock.
            resend: Replace it also if the whole request was sent on it, so that the server may have acted on it.
        """
        head = request.head(self._connector.host_header, self._prefix, self._connector.extra_headers)
        connection = self._take()
        if connection is not None:
            try:
                return self._exchange(connection, head, request.body, deadlines)
            except EndpointError as error:
                if error.code == "connection_lost" and not resend:
                    raise unanswered(error) from error.__cause__
                if error.code not in ("connection", "connection_lost"):
                    raise
                self.close()
        connection = Connection(self._connector.connect(deadlines), weakref.WeakMethod(self.give_back))
        return self._exchange(connection, head, request.body, deadlines)

    def _exchange(self, connection: Connection, head: bytes, body: bytes, deadlines: Deadlines) -> SyncResponse:
        try:
            return connection.exchange(head, body, deadlines)
        except BaseException:
            connection.close()
            raise

    def _take(self) -> Connection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.usable():
                return connection
            connection.close()

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to its end."""
        if len(self._idle) < self._size:
            self._idle.append(connection)
        else:
            connection.close()


def _close_all(connections: deque[Connection]) -> None:
    # Other threads take from it meanwhile, so looking first would prove nothing.
    with suppress(IndexError):
        while True:
            connections.pop().close()
