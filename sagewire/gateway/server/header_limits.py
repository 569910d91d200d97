"""Limits of a connection that must hold before a request is one: sizes and times of headers, trailers and pipelines."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Literal

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sagewire.gateway.server.joined_writes import JoinedWrites
from sagewire.gateway.server.upgrades import parser_of_rest
from sagewire.openai_shapes import error_body

__all__ = ["limited_protocol"]

_BODY = orjson.dumps(error_body("the request's headers are too large", status=431, code="headers_too_large"))
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
# Requests that a client may send ahead of the answers; each holds memory, and OpenAI's clients send none.
PIPELINE = 32
# Bytes around the data of a chunk: its size in hexadecimal and two line ends, without extensions.
CHUNK_FRAME = 16


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits that neither it nor httptools has; see `limited_protocol`."""

    max_header_bytes = 65_536
    header_seconds = 30.0
    # Between two requests, in the headers of one, or behind them.
    _state: Literal["idle", "headers", "body"] = "idle"
    # Bytes of the present request that belong to no body.
    _overhead = 0
    _deadline: asyncio.TimerHandle | None = None
    _completed = False
    # The request that has just begun offers another protocol; where the parser stopped for that.
    _offers_upgrade = False
    _stopped_at = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._overhead += len(data)
        self._completed = False
        super().data_received(data)
        while self._offers_upgrade and not self.transport.is_closing():
            self._offers_upgrade = False
            self.parser = parser_of_rest(self, self.headers)
            data = data[self._stopped_at :]
            super().data_received(data)
        if self.parser is None or self.transport.is_closing():
            return
        if self._overhead > self.max_header_bytes:
            if self._state == "headers" and self.cycle is None:
                self.transport.write(_TOO_LARGE)
                self.transport.close()
            else:
                self.transport.abort()
            return
        answered = self.cycle is not None and self.cycle.response_complete
        if self._state == "headers" or (self._state == "body" and answered):
            self._set_deadline()
        elif self._state == "idle" and not self._completed:
            # Empty lines; uvicorn's limit for idle connections ends with the first byte.
            self._set_deadline()
        else:
            self._clear_deadline()

    def on_message_begin(self) -> None:
        self._state = "headers"
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._state = "body"
        super().on_headers_complete()
        self._offers_upgrade = self.parser.should_upgrade()
        if len(self.pipeline) > PIPELINE:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        self._overhead -= len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        self._overhead = max(0, self._overhead - CHUNK_FRAME)

    def _unsupported_upgrade_warning(self) -> None:
        # uvicorn calls it when the parser has stopped, and drops the rest of the data.
        stopped = sys.exc_info()[1]
        self._stopped_at = int(stopped.args[0]) if isinstance(stopped, httptools.HttpParserUpgrade) else 0

    def on_message_complete(self) -> None:
        if self._offers_upgrade:
            # The parser takes it for a request without a body.
            return
        self._state, self._overhead, self._completed = "idle", 0, True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._state == "body":
            self._set_deadline()

    def _set_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_seconds, self.transport.abort)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limited_protocol(max_header_bytes: int, header_seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with limits that neither it nor httptools has.

    Without them one connection could send headers or trailers without end, which are all kept in memory, or requests
    without reading the answers, or a request that is never complete.

    Args:
        max_header_bytes: Size of request line, headers and trailers.
        header_seconds: From a request's first byte, or the connection's beginning, to the end of its headers; also for
            a body to end whose request has been answered.
    """
    limits = {"max_header_bytes": max_header_bytes, "header_seconds": header_seconds}
    return type("LimitedProtocol", (LimitedProtocol,), limits)
