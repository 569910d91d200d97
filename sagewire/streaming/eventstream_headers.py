"""The header block of an AWS event-stream frame: names with typed values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from struct import Struct, error
from typing import TypeAlias
from uuid import UUID

from sagewire.errors import FrameError

__all__ = ["HeaderValue", "decode_headers", "encode_headers"]

HeaderValue: TypeAlias = bool | int | bytes | str | datetime | UUID

_TRUE, _FALSE, _BYTES, _STRING, _TIMESTAMP, _UUID = 0, 1, 6, 7, 8, 9
_INTEGERS = {2: Struct(">b"), 3: Struct(">h"), 4: Struct(">i"), 5: Struct(">q")}
_LENGTH = Struct(">H")
_I64 = _INTEGERS[5]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_headers(block: bytes) -> dict[str, HeaderValue]:
    """Return the headers in a header block.

    Raises:
        FrameError: The block is cut short, names a header twice, or has a value of an unknown type.
    """
    headers: dict[str, HeaderValue] = {}
    position = 0
    try:
        while position < len(block):
            name_end = position + 1 + block[position]
            name = _exactly(block, position + 1, name_end).decode()
            value, position = _decode_value(block, name_end + 1, block[name_end])
            if name in headers:
                raise FrameError(f"an event-stream frame has the header '{name}' twice")
            headers[name] = value
    except (IndexError, error, ValueError, OverflowError) as problem:
        # UnicodeDecodeError is a ValueError; a date past the year 9999 overflows.
        raise FrameError(f"the headers of an event-stream frame cannot be read ({problem})") from None
    return headers


def _decode_value(block: bytes, start: int, kind: int) -> tuple[HeaderValue, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, start
    if kind in _INTEGERS:
        number: int = _INTEGERS[kind].unpack_from(block, start)[0]
        return number, start + _INTEGERS[kind].size
    if kind in (_BYTES, _STRING):
        end = start + 2 + _LENGTH.unpack_from(block, start)[0]
        data = _exactly(block, start + 2, end)
        return (data if kind == _BYTES else data.decode()), end
    if kind == _TIMESTAMP:
        return _EPOCH + timedelta(milliseconds=_I64.unpack_from(block, start)[0]), start + 8
    if kind == _UUID:
        return UUID(bytes=_exactly(block, start, start + 16)), start + 16
    raise FrameError(f"an event-stream frame has a header of the unknown type {kind}")


def _exactly(block: bytes, start: int, end: int) -> bytes:
    if end > len(block):
        raise IndexError("the block ends inside a header")
    return block[start:end]


def encode_headers(headers: Mapping[str, HeaderValue]) -> bytes:
    """Return the header block of these headers, in their order.

    Integers take the smallest of the four integer types that holds them; a `datetime` must know its time zone and is
    cut to milliseconds.

    Raises:
        ValueError: A name, a text or a number is larger than the format allows.
        TypeError: A value is of a type that headers do not have.
    """
    block = bytearray()
    for name, value in headers.items():
        raw_name = name.encode()
        if not 1 <= len(raw_name) <= 255:
            raise ValueError(f"the header name '{name}' must have 1 to 255 bytes")
        block.append(len(raw_name))
        block += raw_name
        block += _encode_value(value)
    return bytes(block)


def _encode_value(value: HeaderValue) -> bytes:
    for cls, encode in _ENCODERS.items():
        if isinstance(value, cls):
            return encode(value)
    raise TypeError(f"a header cannot hold a {type(value).__name__}")


def _encode_integer(value: int) -> bytes:
    for kind, layout in _INTEGERS.items():
        bound = 1 << (8 * layout.size - 1)
        if -bound <= value < bound:
            return bytes((kind,)) + layout.pack(value)
    raise ValueError(f"{value} does not fit into 64 bits")


def _encode_text(kind: int, data: bytes) -> bytes:
    if len(data) > 0x7FFF:  # the format's own limit, below what the length field could say
        raise ValueError(f"a header value of {len(data)} bytes is over the limit of {0x7FFF}")
    return bytes((kind,)) + _LENGTH.pack(len(data)) + data


def _encode_timestamp(value: datetime) -> bytes:
    return bytes((_TIMESTAMP,)) + _I64.pack((value - _EPOCH) // timedelta(milliseconds=1))


# `bool` comes before `int`, of which it is a subclass.
_ENCODERS: Mapping[type, Callable[..., bytes]] = {
    bool: lambda value: bytes((_TRUE if value else _FALSE,)),
    int: _encode_integer,
    bytes: lambda value: _encode_text(_BYTES, value),
    str: lambda value: _encode_text(_STRING, value.encode()),
    datetime: _encode_timestamp,
    UUID: lambda value: bytes((_UUID,)) + value.bytes,
}
