"""JSON documents one after another: one per line, several per line, or with no line breaks at all."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from sagewire.errors import FrameError, StreamTruncated, WireError, excerpt
from sagewire.streaming.base import BaseDecoder
from sagewire.streaming.byte_order_mark import ByteOrderMark

__all__ = ["JsonDocumentsDecoder", "parse_json"]

MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 1024  # what orjson reads

_BLANK = b" \t\r\n"
_STRUCTURE = re.compile(rb'["{}\[\]]')
_STRING_END = re.compile(rb'["\\]')
_NOT_BLANK = re.compile(rb"[^ \t\r\n]")
_SCALAR_END = re.compile(rb'[ \t\r\n{\["]')
# Values that Python's parser accepts and orjson does not: NaN, Infinity, and halves of surrogate pairs.
_PYTHON_ONLY = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")
_BIG_INTEGER = re.compile(rb"[0-9]{19}")
# Of every ninth byte, two in a row lie within 19 digits. In a large body of text they are ruled out sooner than names.
_LARGE = 16_384
_DIGITS = bytes(48 if 48 <= byte < 58 else 32 for byte in range(256))
_ARGUMENTS = (b'"arguments"', b'"parameters"', b'"input"')


def parse_json(data: bytes | bytearray) -> Any:
    """Return the JSON document in `data`.

    `NaN`, `Infinity` and `-Infinity` are read as Python's own `json` writes them: containers written in Python send
    them for log probabilities of tokens that could not have been chosen. Integers keep all their digits. Half of a
    surrogate pair, which no text can hold, becomes U+FFFD.

    Raises:
        ValueError: It is not valid JSON.
    """
    if not _holds_big_integers(data):
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            if not _PYTHON_ONLY.search(data):
                raise
    try:
        return _readable(json.loads(data.decode()))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _holds_big_integers(data: bytes | bytearray) -> bool:
    # orjson reads an integer beyond 64 bits as a float. Only arguments of tools hold integers of any size, and looking
    # for digits in each piece of a stream would cost more than reading it.
    if len(data) > _LARGE and b"00" not in data[::9].translate(_DIGITS):
        return False
    for word in _ARGUMENTS:
        if word in data:
            return _BIG_INTEGER.search(data) is not None
    return False


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {_readable(name): _readable(item) for name, item in value.items()}
    return value


class JsonDocumentsDecoder(BaseDecoder[bytes, Any]):
    r"""Bytes to parsed JSON documents.

    Objects, arrays and strings are delivered with their last byte, numbers and literals with the blank or line break
    behind them or at `close`. Blank lines are skipped. A document may span lines, and several may share one.

    Args:
        max_bytes: The largest document that is accepted.

    Raises:
        WireError: By `feed`, the bytes are not JSON.
        FrameError: By `feed`, a document is too large or nested too deeply.
        StreamTruncated: By `close`, the last document is incomplete.

    Example:
        >>> JsonDocumentsDecoder().feed(b'{"a": 1}\n{"b": 2}{"c": 3}')
        [{'a': 1}, {'b': 2}, {'c': 3}]
    """

    def __init__(self, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._pending = bytearray()  # the document being read
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._mark = ByteOrderMark()

    def _decode(self, data: bytes, out: list[Any]) -> None:
        if not self._mark.passed:
            data = self._mark.skip(data)
        start = 0
        while start < len(data):
            newline = data.find(b"\n", start)
            end = newline + 1 if newline >= 0 else len(data)
            # A line is parsed at most once as a whole; if that fails, it is scanned to its end.
            if self._pending or not self._read_line(data[start:end], out):
                self._scan(data, start, end, out)
            start = end

    def _finish(self, out: list[Any]) -> None:
        pending = bytes(self._pending) or self._mark.held_back
        self._pending.clear()
        if not pending:
            return
        try:
            out.append(parse_json(pending))
        except ValueError:
            raise StreamTruncated(f"the stream ended inside a JSON document: {excerpt(pending)}") from None

    def _read_line(self, line: bytes, out: list[Any]) -> bool:
        """Read a piece that is a whole document, which is how nearly all of them arrive."""
        if not line.endswith((b"}", b"\n")) or len(line) > self._max_bytes:
            return False
        if _holds_big_integers(line):
            return False
        try:
            out.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            return not line.strip(_BLANK)
        return True

    def _scan(self, data: bytes, position: int, end: int, out: list[Any]) -> None:
        while position < end:
            if not self._pending:
                found = _NOT_BLANK.search(data, position, end)
                if found is None:
                    return
                position = found.start()
            stop = self._document_end(data, position, end)
            self._pending += data[position:end] if stop is None else data[position:stop]
            if len(self._pending) > self._max_bytes:
                raise FrameError(f"a JSON document is larger than {self._max_bytes} bytes")
            if stop is None:
                return
            position = stop
            try:
                out.append(parse_json(self._pending))
            except ValueError as error:
                shown = excerpt(bytes(self._pending) + data[stop : stop + 1000])
                raise WireError(f"expected JSON ({error}), got: {shown}") from None
            self._pending.clear()

    def _document_end(self, data: bytes, position: int, end: int) -> int | None:
        """Return where the document being read ends, `None` if that is not before `end`."""
        if self._in_string or self._depth or (data[position] in b'{["' and not self._pending):
            return self._nested_end(data, position, end)
        found = _SCALAR_END.search(data, position, end)
        return found.start() if found else None

    def _nested_end(self, data: bytes, position: int, end: int) -> int | None:
        while position < end:
            if self._escaped:
                self._escaped = False
                position += 1
                continue
            found = (_STRING_END if self._in_string else _STRUCTURE).search(data, position, end)
            if found is None:
                return None
            position = found.end()
            self._step(found[0])
            if not self._depth and not self._in_string:
                return position
        return None

    def _step(self, byte: bytes) -> None:
        if byte == b"\\":
            self._escaped = True
        elif byte == b'"':
            self._in_string = not self._in_string
        elif byte in b"{[":
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise FrameError(f"a JSON document is nested more than {MAX_DEPTH} levels deep")
        else:
            self._depth -= 1
