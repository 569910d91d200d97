"""Limits that must hold before a request is one: how large its headers get, and how long they take."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sagewire.openai_shapes import error_body

__all__ = ["limited_protocol"]

_BODY = orjson.dumps(error_body("the request's headers are too large", status=431, code="headers_too_large"))
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


def limited_protocol(max_header_bytes: int, header_seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with limits that neither it nor httptools has.

    Without them one connection could send headers without end, which are all kept in memory, or none, for ever.

    Args:
        max_header_bytes: Size of request line and headers.
        header_seconds: From the connection's beginning to the end of its first request's headers.
    """

    class LimitedProtocol(HttpToolsProtocol):
        _header_bytes = 0
        _in_headers = True
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
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
