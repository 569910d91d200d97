"""Writing a request while its answer may already be on the way."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from sagewire.http.deadlines import Deadlines

__all__ = ["Sending"]

_SEND_SIZE = 131_072
_READ_SIZE = 65_536


class Sending:
    """A request being written, while the server may already be answering.

    Attributes:
        whole: All of it was handed to the operating system.
        error: The error that broke the connection; the server may have said why before it did.
        early: The bytes that the server sent meanwhile.
    """

    def __init__(self, sock: socket.socket, deadlines: Deadlines) -> None:
        self._sock = sock
        self._deadlines = deadlines
        self.whole = False
        self.error: OSError | None = None
        self.early = bytearray()

    def write(self, head: bytes, body: bytes) -> None:
        """Write a request, until it is written or the server wants no more of it.

        Raises:
            EndpointTimeout: The server takes nothing more.
        """
        try:
            if len(body) <= _SEND_SIZE:
                self._sock.settimeout(self._deadlines.wait("idle"))
                self._sock.sendall(head + body)
                self.whole = True
            elif isinstance(self._sock, socket.socket):
                self.whole = self._write_watching(head) and self._write_watching(body)
            else:
                # TLS inside TLS, for which the standard library has no class.
                self._write_blindly(head, body)
        except TimeoutError:
            raise self._deadlines.expired("idle") from None
        except OSError as error:
            self.error = error

    def _write_watching(self, data: bytes) -> bool:
        """Write until all is written, or the server answers: it reads no more, then, and waiting would be for ever."""
        from urllib3.util.wait import wait_for_socket

        view, position = memoryview(data), 0
        self._sock.settimeout(0)
        while position < len(view):
            if not wait_for_socket(self._sock, read=True, write=True, timeout=self._deadlines.wait("idle")):
                raise TimeoutError
            if wait_for_socket(self._sock, read=True, timeout=0) and self._answered():
                return False
            with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                position += self._sock.send(view[position : position + _SEND_SIZE])
        return True

    def _answered(self) -> bool:
        try:
            data = self._sock.recv(_READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            # TLS has its own messages, which are not an answer.
            return False
        self.early += data
        return not data or _final_begun(self.early)

    def _write_blindly(self, head: bytes, body: bytes) -> None:
        view = memoryview(body)
        self._sock.settimeout(self._deadlines.wait("idle"))
        self._sock.sendall(head)
        # A socket's timeout is for the whole of sendall; piece by piece it bounds the standstill instead.
        for start in range(0, len(body), _SEND_SIZE):
            self._sock.settimeout(self._deadlines.wait("idle"))
            self._sock.sendall(view[start : start + _SEND_SIZE])
        self.whole = True


def _final_begun(data: bytearray) -> bool:
    """Return whether an answer has begun that is more than an interim one, which only says to go on."""
    rest = bytes(data)
    while rest.startswith(b"HTTP/1.1 1"):
        _, end, rest = rest.partition(b"\r\n\r\n")
        if not end:
            return len(data) > _READ_SIZE
    return len(rest) > len(b"HTTP/1.1 ")
