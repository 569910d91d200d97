"""An open connection of the sync engine: one request after the other, and each answer with the clock of its call."""

from __future__ import annotations

import email.errors
import http.client
import io
import socket
import ssl
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from sagewire.errors import EndpointError
from sagewire.http.deadlines import Deadlines
from sagewire.http.errors import connection_lost, protocol_error, tls_error
from sagewire.http.sync_response import READ_SIZE, SyncResponse
from sagewire.http.sync_sending import Sending

__all__ = ["Connection"]

# Interim answers (1xx) that are read past; some servers send one every few seconds as a sign of life.
_MAX_INTERIM = 1_000


class Connection:
    """An open connection, and the clock of the call that is on it."""

    def __init__(self, raw: Any, give_back: weakref.WeakMethod[Callable[[Connection], None]]) -> None:
        # Weak, or the idle connections would keep alive the engine whose end is to close them.
        self._give_back = give_back
        self._raw = raw
        self.sock: socket.socket = raw.sock
        self._file = _AnswerFile(_PatientReader(self), READ_SIZE)
        self.deadlines: Deadlines | None = None
        self.phase: Literal["first_byte", "idle"] = "first_byte"
        # When reading ends at the latest, on the monotonic clock.
        self.read_by: float | None = None
        self.ended = False
        # Bytes that the server sent while the request was still being written.
        self.early = bytearray()

    def usable(self) -> bool:
        """Return whether the server has neither closed the idle connection nor sent anything on it."""
        pending = getattr(self.sock, "pending", None)
        return bool(self._raw.is_connected) and not (pending is not None and pending())

    def close(self) -> None:
        """Close it."""
        self._file.really_close()
        self._raw.close()

    def interrupt(self) -> None:
        """End a read that another thread is waiting in."""
        sock = self.sock if isinstance(self.sock, socket.socket) else getattr(self.sock, "socket", None)
        if sock is not None:
            with suppress(OSError):
                # TLS's own method would take the session away from the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def done(self) -> None:
        """Give the connection back, unless the server sent more than the answer: who would read that?"""
        self.deadlines = None
        give_back = self._give_back()
        if give_back is None or self.early or self._file.peek(1):
            self.close()
        else:
            give_back(self)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return what the standard library reads an answer from."""
        return self._file

    def exchange(self, head: bytes, body: bytes, deadlines: Deadlines) -> SyncResponse:
        """Send a request and return the answer as soon as its headers are there; raise `EndpointError`."""
        self.deadlines, self.phase, self.read_by, self.ended = deadlines, "first_byte", None, False
        sent = Sending(self.sock, deadlines)
        sent.write(head, body)
        self.early = sent.early
        self.read_by = deadlines.at("first_byte")
        try:
            response = self._answer(deadlines)
        except EndpointError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._no_answer(error, sent, deadlines) from (sent.error or error)
        self.phase, self.read_by = "idle", None
        return SyncResponse(self, response, deadlines, reusable=sent.whole)

    def _answer(self, deadlines: Deadlines) -> http.client.HTTPResponse:
        for _ in range(_MAX_INTERIM):
            # Stands in for the socket: all the standard library wants of it is a file to read from.
            response = http.client.HTTPResponse(self, method="POST")  # type: ignore[arg-type]
            final = False
            try:
                final = self._read_head(response, deadlines)
            finally:
                if not final:
                    # Else Python 3.13 prints, when it is collected, that its file is closed already.
                    response.close()
            if final:
                return response
        raise protocol_error(f"it sent {_MAX_INTERIM} interim answers", deadlines.where)

    def _read_head(self, response: http.client.HTTPResponse, deadlines: Deadlines) -> bool:
        """Read status and headers; return whether they are those of the answer itself."""
        response.begin()
        if self.ended:
            # The standard library takes the end of the connection for the end of the headers.
            raise http.client.RemoteDisconnected("the server closed it without an answer")
        if response.status == 101:
            raise protocol_error("it switched to another protocol", deadlines.where)
        if response.status >= 200:
            _check_framing(response, deadlines)
        return response.status >= 200

    def _no_answer(self, error: Exception, sent: Sending, deadlines: Deadlines) -> EndpointError:
        """Return the error for an answer that did not come."""
        # Under TLS 1.3 a server's objections to the handshake arrive with its first bytes.
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return tls_error(error, deadlines.where)
        lost = sent.error or (error if isinstance(error, OSError) else None)
        if lost is not None or self.ended:
            reason = lost if lost is not None else "the server closed it without an answer"
            return connection_lost(reason, deadlines.where, sent=sent.whole)
        return protocol_error(type(error).__name__, deadlines.where)


# No body follows these, whatever their headers say.
_BODILESS = (204, 304)
# Others are found in bodies of several parts, which are not here yet.
_NO_HEADER = (
    email.errors.MissingHeaderBodySeparatorDefect,
    email.errors.FirstHeaderLineIsContinuationDefect,
    email.errors.MisplacedEnvelopeHeaderDefect,
    email.errors.InvalidHeaderDefect,
)


def _check_framing(response: http.client.HTTPResponse, deadlines: Deadlines) -> None:
    """Raise if the headers do not determine the end of the body."""
    lengths = set(response.headers.get_all("content-length", ()))
    encodings = response.headers.get_all("transfer-encoding", ())
    if any(isinstance(defect, _NO_HEADER) for defect in response.headers.defects):
        # The standard library drops what follows such a line.
        raise protocol_error("a line of its head is not a header", deadlines.where)
    if encodings:
        if [name.strip().lower() for name in encodings] != ["chunked"]:
            raise protocol_error("its Transfer-Encoding is not 'chunked'", deadlines.where)
        # With blanks around it the standard library does not see it, and else it waits for chunks of an answer that has
        # no body.
        bodiless = response.status in _BODILESS
        response.chunked, response.length = not bodiless, 0 if bodiless else None
    if lengths and not encodings and not (len(lengths) == 1 and _is_number(next(iter(lengths)))):
        raise protocol_error("its Content-Length is not a number", deadlines.where)


def _is_number(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.isdecimal() and len(text) < 20


class _AnswerFile(io.BufferedReader):
    """The bytes of a connection's answers, one after the other: the end of one does not close it."""

    def close(self) -> None:
        pass

    def really_close(self) -> None:
        super().close()


class _PatientReader(io.RawIOBase):
    """A socket's bytes; each wait ends at the nearest limit."""

    def __init__(self, connection: Connection) -> None:
        self._connection = weakref.ref(connection)
        # Counted by the socket as a user, as its own makefile does it: closing waits for this reader.
        self._file = connection.sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        connection = self._connection()
        assert connection is not None
        deadlines = connection.deadlines
        if deadlines is None:
            # Between two calls: arrived bytes are in the buffer already, and there is nothing to wait for.
            return None
        if connection.early:
            count = min(len(buffer), len(connection.early))
            buffer[:count] = connection.early[:count]
            del connection.early[:count]
            return count
        try:
            connection.sock.settimeout(_patience(connection, deadlines))
            count = self._file.readinto(buffer) or 0
        except TimeoutError as error:
            if isinstance(error, EndpointError):
                raise
            raise deadlines.expired(connection.phase) from None
        connection.ended = not count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _patience(connection: Connection, deadlines: Deadlines) -> float | None:
    seconds = deadlines.wait("idle") if connection.phase == "idle" else deadlines.left()
    if connection.read_by is None:
        return seconds
    left = connection.read_by - time.monotonic()
    if left <= 0:
        raise deadlines.expired(connection.phase)
    return left if seconds is None else min(seconds, left)
