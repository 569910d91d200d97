"""AWS event-stream framing (`application/vnd.amazon.eventstream`), both ways.

A frame, all integers big-endian::

    u32 total length   u32 headers length   u32 CRC-32 of these eight bytes
    headers            payload              u32 CRC-32 of everything before it

A header is `u8 name length, name, u8 type, value`. SageMaker sends `:message-type` `event` (with `:event-type`
`PayloadPart`, whose payload is the container's bytes, cut anywhere), `exception` (with `:exception-type` and a JSON
payload) or `error` (with `:error-code` and `:error-message`). There is no end frame: the body just ends.

Sources: botocore/eventstream.py; the `sagemaker-runtime` service model, shape `ResponseStream`.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any
from zlib import crc32

import orjson

from sagewire.errors import FrameError, ModelStreamError, StreamTruncated, WireError, excerpt
from sagewire.streaming.base import BaseDecoder
from sagewire.streaming.eventstream_headers import HeaderValue, decode_headers, encode_headers

__all__ = [
    "EventStreamDecoder",
    "encode_error",
    "encode_exception",
    "encode_message",
    "encode_payload_part",
]

# The limits that botocore keeps, botocore/eventstream.py.
MAX_HEADERS_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024

_PRELUDE = Struct(">III")
_LENGTHS = Struct(">II")
_CRC = Struct(">I")
_OVERHEAD = _PRELUDE.size + _CRC.size

_PART_HEADERS = encode_headers(
    {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}
)


class EventStreamDecoder(BaseDecoder[bytes, bytes]):
    """Frames to the payloads of `PayloadPart` events, which are the container's bytes.

    Events of another type are skipped if they carry nothing, as is `initial-response`, which AWS services may send
    first; one with a payload is a `WireError`, since it might hold a part of the answer.

    Raises:
        FrameError: By `feed`, a checksum or a length is wrong.
        ModelStreamError: By `feed`, the service reported an error; its `code` is the `ErrorCode` inside the
            `ModelStreamError` event (`ModelInvocationTimeExceeded`, `StreamBroken`), else the name of the exception.
        StreamTruncated: By `close`, the last frame is incomplete.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = 0

    def _decode(self, data: bytes, out: list[bytes]) -> None:
        if self._buffer:
            # Waiting for a whole frame before looking again keeps the work linear, however small the pieces are.
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        position, end = 0, len(data)
        while end - position >= _OVERHEAD:
            total, headers_length, prelude_crc = _PRELUDE.unpack_from(data, position)
            if crc32(data[position : position + 8]) != prelude_crc:
                raise FrameError("an event-stream frame begins with a wrong checksum")
            if position + total > end:
                _check_lengths(total, headers_length)
                break
            last = position + total - 4
            payload_start = position + 12 + headers_length
            if payload_start > last or total > MAX_HEADERS_BYTES:
                _check_lengths(total, headers_length)
            if crc32(data[position:last]) != _CRC.unpack_from(data, last)[0]:
                raise FrameError("an event-stream frame ends with a wrong checksum")
            if headers_length == len(_PART_HEADERS) and data.startswith(_PART_HEADERS, position + 12):
                out.append(data[payload_start:last])
            else:
                _read_message(data[position + 12 : payload_start], data[payload_start:last], out)
            position += total
        self._keep(data, position)

    def _keep(self, data: bytes, position: int) -> None:
        rest = len(data) - position
        if not rest:
            return
        self._buffer += data[position:] if position else data
        self._needed = _LENGTHS.unpack_from(data, position)[0] if rest >= _OVERHEAD else _OVERHEAD

    def _finish(self, out: list[bytes]) -> None:
        if self._buffer:
            raise StreamTruncated(
                f"the stream ended inside an event-stream frame, after {len(self._buffer)} of "
                f"{'at least ' if self._needed == _OVERHEAD else ''}{self._needed} bytes"
            )


def _check_lengths(total: int, headers_length: int) -> None:
    if headers_length > MAX_HEADERS_BYTES:
        raise FrameError(f"an event-stream frame has {headers_length} bytes of headers, over {MAX_HEADERS_BYTES}")
    if total < headers_length + _OVERHEAD:
        raise FrameError(f"an event-stream frame of {total} bytes cannot hold {headers_length} bytes of headers")
    if total - headers_length - _OVERHEAD > MAX_PAYLOAD_BYTES:
        raise FrameError(f"an event-stream frame of {total} bytes is over the limit of {MAX_PAYLOAD_BYTES}")


def _read_message(header_block: bytes, payload: bytes, out: list[bytes]) -> None:
    headers = decode_headers(header_block)
    match headers.get(":message-type"):
        case "event":
            _read_event(headers.get(":event-type"), payload, out)
        case "exception":
            raise _stream_exception(str(headers.get(":exception-type", "exception")), payload)
        case "error":
            code = str(headers.get(":error-code", "error"))
            raise ModelStreamError(str(headers.get(":error-message", "the stream failed")), code)
        case other:
            raise WireError(f"an event-stream frame has the unknown :message-type {other!r}")


def _read_event(kind: HeaderValue | None, payload: bytes, out: list[bytes]) -> None:
    if kind == "PayloadPart":
        out.append(payload)
    elif payload and kind != "initial-response":
        raise WireError(f"the stream holds an event of the unknown type {kind!r}: {excerpt(payload)}")


def _stream_exception(kind: str, payload: bytes) -> ModelStreamError:
    try:
        fields: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        return ModelStreamError(excerpt(payload) or "the stream failed", kind)
    message = fields.get("Message") or fields.get("message") or "the stream failed"
    return ModelStreamError(str(message), str(fields.get("ErrorCode") or kind))


def encode_message(headers: Mapping[str, HeaderValue], payload: bytes = b"") -> bytes:
    """Return one frame.

    Args:
        headers: Header values by name; see `encode_headers` for how Python values are written.
        payload: At most 24 MiB.

    Raises:
        ValueError: Something is larger than the format allows.
    """
    return _encode(encode_headers(headers), payload)


def encode_payload_part(payload: bytes) -> bytes:
    r"""Return the frame of a `PayloadPart` event, as SageMaker sends it.

    Example:
        >>> EventStreamDecoder().feed(encode_payload_part(b'{"a":1}'))
        [b'{"a":1}']
    """
    return _encode(_PART_HEADERS, payload)


def encode_exception(kind: str, payload: bytes) -> bytes:
    """Return the frame of an exception in the stream.

    Args:
        kind: `ModelStreamError` or `InternalStreamFailure`.
        payload: Its fields as a JSON object: `Message`, and `ErrorCode` for a `ModelStreamError`.
    """
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return _encode(encode_headers(headers), payload)


def encode_error(code: str, message: str) -> bytes:
    """Return the frame of an unmodelled error in the stream, which has headers only."""
    return _encode(encode_headers({":message-type": "error", ":error-code": code, ":error-message": message}), b"")


def _encode(header_block: bytes, payload: bytes) -> bytes:
    if len(header_block) > MAX_HEADERS_BYTES or len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a frame of {len(header_block)} + {len(payload)} bytes is larger than the format allows")
    lengths = _LENGTHS.pack(_OVERHEAD + len(header_block) + len(payload), len(header_block))
    frame = b"".join((lengths, _CRC.pack(crc32(lengths)), header_block, payload))
    return frame + _CRC.pack(crc32(frame))
