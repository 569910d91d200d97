"""HTTP/1.1 on urllib3's connections: time limits that hold, and pieces handed on the moment they arrive.

urllib3 opens the connections (names, TLS, proxies, tunnels) and the standard library parses the answers. The pool is
here, because three things it decides must be known: whether a connection was used before, so that one the server
closed while it lay idle is replaced and not reported; the socket, whose timeout is set anew before each wait; and the
process, since a forked child must not touch its parent's connections. It also is what makes a call cheap: writing
head and body at once and keeping the parsed answer bare saves half of what urllib3's own layers cost.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import weakref
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal

from sagewire._forks import reset_in_child
from sagewire.errors import EndpointError, UsageError
from sagewire.http.chunked_bodies import ChunkedBody
from sagewire.http.deadlines import Deadlines
from sagewire.http.errors import connection_error, tls_error, truncated
from sagewire.http.origin import Origin
from sagewire.http.request import Request

__all__ = ["SyncEngine", "SyncResponse"]

READ_SIZE = 65_536
_SEND_SIZE = 262_144

_inherited: list[deque[_Connection]] = []


class SyncEngine:
    """Connections to one origin; safe to share between threads, and usable after a fork."""

    def __init__(self, origin: Origin) -> None:
        from sagewire.http.connect import Connector

        self._connector = Connector(origin)
        self._prefix = self._connector.target_prefix
        self._size = origin.pool_size
        self._idle: deque[_Connection] = deque()
        reset_in_child(self)
        # A client that is dropped without being closed must not leak its idle connections.
        self._finalize = weakref.finalize(self, _close_all, self._idle)

    def reset_after_fork(self) -> None:
        """Leave the parent's connections alone: two processes on one connection would read each other's answers."""
        # Kept, not dropped: a dropped socket that nobody closed is a ResourceWarning, a closed TLS one says goodbye.
        self._finalize.detach()
        _inherited.append(self._idle)
        self._idle = deque()
        self._finalize = weakref.finalize(self, _close_all, self._idle)

    def close(self) -> None:
        """Close the idle connections."""
        _close_all(self._idle)

    def send(self, request: Request, deadlines: Deadlines, *, replay: bool = True) -> SyncResponse:
        """Send a request and return the answer as soon as its headers are there.

        Args:
            request: What to send.
            deadlines: The call's clock.
            replay: The request may be sent again where a connection turns out to have been closed while idle.
        """
        head = self._head(request)
        connection = self._take()
        if connection is not None:
            try:
                return connection.exchange(head, request.body, deadlines)
            except _Lost as lost:
                connection.close()
                if connection.heard or not replay:
                    raise lost.reported(deadlines.where) from lost.__cause__
                self.close()
            except BaseException:
                connection.close()
                raise
        connection = _Connection(self, self._connector.connect(deadlines))
        try:
            return connection.exchange(head, request.body, deadlines)
        except BaseException as error:
            connection.close()
            if isinstance(error, _Lost):
                raise error.reported(deadlines.where) from error.__cause__
            raise

    def _head(self, request: Request) -> bytes:
        lines = [f"{request.method} {self._prefix}{request.path} HTTP/1.1", f"Host: {self._connector.host_header}"]
        lines += [f"{name}: {value}" for name, value in self._connector.extra_headers]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        lines.append(f"Content-Length: {len(request.body)}\r\n\r\n")
        text = "\r\n".join(lines)
        if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1:
            raise UsageError("a header's value holds a line break")
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            raise UsageError("a header's value holds characters that HTTP cannot carry") from None

    def _take(self) -> _Connection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.usable():
                return connection
            connection.close()

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection whose answer was read to its end."""
        if len(self._idle) < self._size:
            self._idle.append(connection)
        else:
            connection.close()


def _close_all(connections: deque[_Connection]) -> None:
    # Other threads take from it meanwhile, so looking first would prove nothing.
    with suppress(IndexError):
        while True:
            connections.pop().close()


class _Lost(Exception):
    """The connection broke before the answer."""

    def reported(self, where: str) -> EndpointError:
        return connection_error(
            self.__cause__ or "the server closed it without an answer", where, code="connection_lost"
        )


class _Connection:
    """An open connection, and the clock of the call that is on it."""

    def __init__(self, engine: SyncEngine, raw: Any) -> None:
        # Weak, or the idle connections would keep alive the engine whose end is to close them.
        self._engine = weakref.ref(engine)
        self._raw = raw
        self.sock: socket.socket = raw.sock
        self.deadlines: Deadlines | None = None
        self.phase: Literal["first_byte", "idle"] = "first_byte"
        self.heard = False
        self.ended = False

    def usable(self) -> bool:
        """Return whether the server has neither closed the idle connection nor sent anything on it."""
        return bool(self._raw.is_connected)

    def close(self) -> None:
        self._raw.close()

    def done(self) -> None:
        self.deadlines = None
        engine = self._engine()
        if engine is None:
            self.close()
        else:
            engine.give_back(self)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return what the standard library reads an answer from."""
        return io.BufferedReader(_PatientReader(self), READ_SIZE)

    def exchange(self, head: bytes, body: bytes, deadlines: Deadlines) -> SyncResponse:
        self.deadlines, self.phase, self.heard, self.ended = deadlines, "first_byte", False, False
        broken = self._write(head, body)
        # Stands in for the socket: all the standard library wants of it is a file to read from.
        response = http.client.HTTPResponse(self, method="POST")  # type: ignore[arg-type]
        try:
            response.begin()
        except BaseException as error:
            response.close()
            translated = _before_the_answer(error, broken, deadlines)
            if translated is error:
                raise
            raise translated from (broken or error)
        if self.ended:
            # The standard library takes the end of the connection for the end of the headers.
            response.close()
            raise _Lost
        self.phase = "idle"
        return SyncResponse(self, response, deadlines, reusable=broken is None)

    def _write(self, head: bytes, body: bytes) -> OSError | None:
        """Send, and return the error if the server stopped listening: it may have said why before it did."""
        assert self.deadlines is not None
        try:
            self.sock.settimeout(self.deadlines.wait("idle"))
            if len(body) <= _SEND_SIZE:
                self.sock.sendall(head + body)
                return None
            view = memoryview(body)
            self.sock.sendall(head)
            # A socket's timeout is for the whole of sendall; piece by piece it bounds the standstill instead.
            for start in range(0, len(body), _SEND_SIZE):
                self.sock.settimeout(self.deadlines.wait("idle"))
                self.sock.sendall(view[start : start + _SEND_SIZE])
        except TimeoutError:
            raise self.deadlines.expired("idle") from None
        except OSError as error:
            return error
        return None


def _before_the_answer(error: BaseException, broken: OSError | None, deadlines: Deadlines) -> BaseException:
    if isinstance(error, EndpointError):
        return error
    # Under TLS 1.3 a server's objections to the handshake arrive with its first bytes.
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return tls_error(error, deadlines.where)
    if broken is not None or isinstance(error, OSError):
        return _Lost()
    if isinstance(error, http.client.HTTPException):
        return EndpointError(
            f"{deadlines.where} did not answer in HTTP: {type(error).__name__}", code="protocol", fault="service"
        )
    return error


class _PatientReader(io.RawIOBase):
    """A socket's bytes; each wait ends when the limit that is nearest says so."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        # Counted by the socket as a user, as its own makefile does it: closing waits for this reader.
        self._file = connection.sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        connection = self._connection
        deadlines = connection.deadlines
        assert deadlines is not None
        connection.sock.settimeout(deadlines.wait(connection.phase))
        try:
            count = self._file.readinto(buffer)
        except TimeoutError:
            raise deadlines.expired(connection.phase) from None
        if count:
            connection.heard = True
        else:
            connection.ended = True
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class SyncResponse:
    """An answer whose headers have arrived.

    Attributes:
        status: The HTTP status.
        headers: The headers, under lower-case names.
    """

    def __init__(
        self, connection: _Connection, response: http.client.HTTPResponse, deadlines: Deadlines, *, reusable: bool
    ) -> None:
        self.status = response.status
        # The standard library's own lookup walks all headers each time.
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        # Never asked for, but some proxies compress all the same.
        packed = self.headers.get("content-encoding") in ("gzip", "deflate")
        self._decoder = zlib.decompressobj(32 + zlib.MAX_WBITS) if packed else None
        self._connection: _Connection | None = connection
        self._response = response
        self._deadlines = deadlines
        self._reusable = reusable and not response.will_close

    def read(self) -> bytes:
        """Return the rest of the body and give the connection back."""
        try:
            data = self._response.read()
            if self._decoder is not None:
                data = self._decoder.decompress(data) + self._decoder.flush()
        except BaseException as error:
            self._fail(error)
            raise
        self._finish()
        return data

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in pieces as they arrive, then give the connection back."""
        decoder = self._decoder
        try:
            for data in self._pieces():
                if decoder is not None:
                    data = decoder.decompress(data)
                if data:
                    yield data
        except BaseException as error:
            self._fail(error)
            raise
        self._finish()

    def _pieces(self) -> Iterator[bytes]:
        """Yield all that has arrived, each time; raise if the body breaks off."""
        response = self._response
        if response.chunked:
            body = ChunkedBody()
            while not body.ended and (data := response.fp.read1(READ_SIZE)):
                yield body.feed(data)
            body.close()
            self._reusable = self._reusable and body.ended and not body.surplus
            return
        while data := response.read1(READ_SIZE):
            yield data
        # For a body of known length the standard library takes an early end for the end.
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._response.close()
            connection.close()

    def _finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._response.close()
        if self._reusable:
            connection.done()
        else:
            connection.close()

    def _fail(self, error: BaseException) -> None:
        self.close()
        # A time limit that ran out is an OSError too, but it is already the error it should be.
        if isinstance(error, http.client.HTTPException | OSError | zlib.error) and not isinstance(error, EndpointError):
            raise truncated(error, self._deadlines.where) from error

    def __del__(self) -> None:
        self.close()
