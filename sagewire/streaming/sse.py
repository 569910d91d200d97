"""Server-sent events, as far as model servers use them: the data of each event, and its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from sagewire.errors import FrameError, StreamTruncated, WireError, excerpt
from sagewire.streaming.base import BaseDecoder
from sagewire.streaming.byte_order_mark import ByteOrderMark

__all__ = ["KEEP_ALIVES", "NamedEvent", "SseDecoder"]

MAX_EVENT_BYTES = 32 * 1024 * 1024

_FIELDS = (b"event", b"id", b"retry")
# Events that say only that the connection is alive: those of gateways in Anthropic's shape, and of proxies.
KEEP_ALIVES = (b"ping", b"keepalive", b"keep-alive", b"keep_alive", b"heartbeat")


@dataclass(frozen=True, slots=True)
class NamedEvent:
    """An event with a name.

    Args:
        name: The value of its `event` field.
        data: Its data: bytes, or what a later decoder made of them.
    """

    name: str
    data: Any


class SseDecoder(BaseDecoder[bytes, Any]):
    r"""Bytes to the data of each event; `[DONE]` is data like any other.

    Follows the WHATWG rules: lines end with `\n`, `\r` or `\r\n` and nothing else, one space after the colon is not
    part of the value, several `data` lines are joined with `\n`, comments and `id` and `retry` fields are skipped.
    Where model servers depart from them, so does this: a last event without the closing blank line is delivered at
    `close`; events named `ping` or the like are skipped; and what an event named `error`, or a field of that
    name (llama.cpp up to autumn 2025), says is delivered as the object `{"error": ...}`.

    Args:
        strict: Refuse lines that are not server-sent events with `WireError`, although the standard skips them. A
            traceback or an error page in the middle of an answer then does not go unnoticed.
        max_bytes: The largest line, and the largest event, that is accepted.
        names: Return events that have a name as `NamedEvent`, the others as bytes.

    Raises:
        FrameError: By `feed`, a line or event is too large.
        StreamTruncated: By `close`, the stream ended inside a field name.

    Example:
        >>> SseDecoder().feed(b"data: {}\n\ndata: [DONE]\n\n")
        [b'{}', b'[DONE]']
    """

    def __init__(self, *, strict: bool = False, max_bytes: int = MAX_EVENT_BYTES, names: bool = False) -> None:
        self._strict = strict
        self._max_bytes = max_bytes
        self._line = bytearray()  # the line being read
        self._data: list[bytes] = []  # the data lines of the event being read
        self._name = b""  # its name
        self._size = 0  # their bytes
        self._names = names
        self._after_cr = False  # the last byte was \r: a \n that follows belongs to it
        self._mark = ByteOrderMark()

    def _decode(self, data: bytes, out: list[Any]) -> None:
        if not self._mark.passed:
            data = self._mark.skip(data)
        if not data:
            return
        if b"\r" in data or self._after_cr:
            data = self._with_newlines(data)
        if not (self._line or self._data):
            data = self._read_events(data, out)
            if not data:
                return
        first, newline, rest = data.partition(b"\n")
        if self._line or not newline:
            self._line += first
            if len(self._line) > self._max_bytes:
                raise FrameError(f"a line of an event stream is longer than {self._max_bytes} bytes")
            if not newline:
                return
            first = bytes(self._line)
            self._line.clear()
        self._read_line(first, out)
        *lines, last = rest.split(b"\n")
        for line in lines:
            self._read_line(line, out)
        self._line += last

    def _finish(self, out: list[Any]) -> None:
        line = bytes(self._line) or self._mark.held_back
        self._line.clear()
        if line and b":" not in line:
            self._dispatch(out)
            raise StreamTruncated(f"the stream ended inside a line: {excerpt(line)}")
        if line:
            self._read_line(line, out)
        self._dispatch(out)

    def _read_events(self, data: bytes, out: list[Any]) -> bytes:
        """Read the events that are whole and return what is behind them; nearly all have one line, of `data`."""
        *events, rest = data.split(b"\n\n")
        for event in events:
            if event.startswith(b"data:") and b"\n" not in event and len(event) <= self._max_bytes:
                out.append(event[6:] if event.startswith(b" ", 5) else event[5:])
                continue
            for line in event.split(b"\n"):
                self._read_line(line, out)
            self._dispatch(out)
        return rest

    def _with_newlines(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
            if not data:
                return data
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _read_line(self, line: bytes, out: list[Any]) -> None:
        if len(line) > self._max_bytes:
            raise FrameError(f"a line of an event stream is longer than {self._max_bytes} bytes")
        if not line:
            self._dispatch(out)
        elif line.startswith(b"data:"):
            self._add(line[6:] if line.startswith(b" ", 5) else line[5:])
        elif line == b"data":
            self._add(b"")
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif line.startswith(b"error:"):
            self._name = b"error"
            self._add(line[6:].strip())
        elif self._strict and line.partition(b":")[0] not in (b"", *_FIELDS):
            raise WireError(f"expected server-sent events, got: {excerpt(line)}")

    def _add(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size > self._max_bytes:
            raise FrameError(f"an event is larger than {self._max_bytes} bytes")
        self._data.append(value)

    def _dispatch(self, out: list[Any]) -> None:
        name, self._name = self._name, b""
        if not self._data:
            return
        data = b"\n".join(self._data) if len(self._data) > 1 else self._data[0]
        self._data = []
        self._size = 0
        kind = name.lower()
        if kind not in KEEP_ALIVES:
            data = _as_error(data) if kind == b"error" else data
            out.append(NamedEvent(name.decode("utf-8", "replace"), data) if self._names and name else data)


def _as_error(data: bytes) -> bytes:
    """Return what an error event says as a JSON object that holds it under `error`."""
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        said = data.decode("utf-8", "replace")
    return data if isinstance(said, dict) and "error" in said else orjson.dumps({"error": said or "no reason given"})
