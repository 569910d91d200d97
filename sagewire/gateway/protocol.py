"""Uvicorn's connections, with limits on requests that are not yet complete, and with fewer system calls."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sagewire.openai_shapes import error_body

__all__ = ["Gathering", "limited_protocol"]

_BODY = orjson.dumps(error_body("the request's headers are too large", status=431, code="headers_too_large"))
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


# More than this is handed on at once: flow control only knows of what was.
_HOLD_BYTES = 65_536


class Gathering:
    """A transport that sends what was written in one turn of the event loop with one system call.

    Headers and the first piece of an answer are written one after the other, as are the pieces that arrived together;
    handing each to the kernel by itself costs up to 0.1 ms and wakes the caller each time.

    Args:
        transport: Where it goes; everything but writing is its own.
        loop: Its event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send soon, behind what was written before."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > _HOLD_BYTES:
            self._flush()

    def close(self) -> None:
        """Send what is left, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        # Where the caller has gone nobody is left to read it.
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))


def limited_protocol(max_header_bytes: int, header_seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with limits that neither it nor httptools has.

    Without them one connection could send headers without end, which are all kept in memory, or none, for ever. What
    it writes goes out through `Gathering`.

    Args:
        max_header_bytes: Size of request line and headers.
        header_seconds: From the connection's beginning to the end of its first request's headers.
    """

    class LimitedProtocol(HttpToolsProtocol):
        _header_bytes = 0
        _in_headers = True
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]  # it is one in all but name
            self._deadline = self.loop.call_later(header_seconds, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._in_time()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_headers:
                # What follows the headers in the same piece counts along; pieces are 256 kB at most.
                self._header_bytes += len(data)
                if self._header_bytes > max_header_bytes and b"\r\n\r\n" not in data:
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()
                    return
            super().data_received(data)

        def on_message_begin(self) -> None:
            self._in_headers, self._header_bytes = True, 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_headers = False
            self._in_time()
            super().on_headers_complete()

        def _in_time(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return LimitedProtocol
