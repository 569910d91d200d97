"""Limits of a connection that must hold before a request is one: sizes and times of headers, trailers and pipelines."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Literal

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sagewire.gateway.server.http_exchange import ARRIVED
from sagewire.gateway.server.joined_writes import JoinedWrites
from sagewire.gateway.server.upgrades import parser_of_rest
from sagewire.openai_shapes import error_body

__all__ = ["limited_protocol"]


def _last_answer(status: int, reason: bytes, code: str, message: str) -> bytes:
    """Return a response behind which the connection is closed."""
    body = orjson.dumps(error_body(message, status=status, code=code))
    head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % (status, reason, len(body)) + body


_TOO_LARGE = _last_answer(
    431, b"Request Header Fields Too Large", "headers_too_large", "the request's headers are too large"
)
_INVALID = _last_answer(400, b"Bad Request", "invalid_http", "this is not a valid HTTP request")
# Requests that a client may send ahead of the answers; each holds memory, and OpenAI's clients send none.
PIPELINE = 32
# Of an answer that is waiting in memory, a caller must read so many bytes, or all that is left, in so many seconds.
READ_BYTES, READ_SECONDS = 500_000, 120.0
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
    # Looks whether an answer is being read that was written as a whole: its bytes wait in memory until then.
    _unread: asyncio.TimerHandle | None = None
    # The requests before the last one that are not answered yet.
    _answered_before: tuple[RequestResponseCycle, ...] = ()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().connection_lost(exc)
        # uvicorn tells only the last request that the caller has gone.
        for cycle in self._answered_before:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

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

    def send_400_response(self, msg: str) -> None:
        self.transport.write(_INVALID)
        self.transport.close()

    def on_message_begin(self) -> None:
        self._state = "headers"
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._state = "body"
        before = self.cycle
        super().on_headers_complete()
        if before is not None and not before.response_complete and before is not self.cycle:
            waiting = (cycle for cycle in self._answered_before if not cycle.response_complete)
            self._answered_before = (*waiting, before)
        self._offers_upgrade = self.parser.should_upgrade()
        if len(self.pipeline) > PIPELINE:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        self._overhead -= len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        self._overhead = max(0, self._overhead - CHUNK_FRAME)

    def _get_upgrade(self) -> None:
        # uvicorn asks once more when the parser has stopped, and then drops the rest of the data.
        stopped = sys.exc_info()[1]
        if isinstance(stopped, httptools.HttpParserUpgrade):
            self._stopped_at = int(stopped.args[0])

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the offer is passed over."""

    def on_message_complete(self) -> None:
        if self._offers_upgrade:
            # The parser takes it for a request without a body.
            return
        self._state, self._overhead, self._completed = "idle", 0, True
        scope: Any = self.scope
        scope[ARRIVED] = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._state == "body":
            self._set_deadline()
        if self.flow.write_paused and self._unread is None:
            self._watch_reading()

    def _watch_reading(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(READ_SECONDS, self._check_reading, left) if left else None

    def _check_reading(self, before: int) -> None:
        # Nothing is written meanwhile: the next answer waits until this one is read.
        if self.transport.get_write_buffer_size() > before - min(before, READ_BYTES):
            self.transport.abort()
        else:
            self._watch_reading()

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
    without reading the answers, or a request that is never complete. An answer that is not read would stay in memory
    for as long as the caller likes.

    Args:
        max_header_bytes: Size of request line, headers and trailers.
        header_seconds: From a request's first byte, or the connection's beginning, to the end of its headers; also for
            a body to end whose request has been answered.
    """
    limits = {"max_header_bytes": max_header_bytes, "header_seconds": header_seconds}
    return type("LimitedProtocol", (LimitedProtocol,), limits)
