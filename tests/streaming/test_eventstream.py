"""Event-stream framing, judged by botocore in both directions and by vectors that botocore accepted."""

import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.errors import FrameError, ModelStreamError, StreamTruncated, WireError
from sagewire.streaming import (
    EventStreamDecoder,
    decode,
    encode_error,
    encode_exception,
    encode_message,
    encode_payload_part,
    finish,
)
from sagewire.streaming.eventstream_headers import decode_headers, encode_headers
from sagewire.testing import chop

PART = bytes.fromhex(
    "00000070000000598e47d6f60b3a6576656e742d7479706507000b5061796c6f6164506172740d3a636f6e74656e742d74797065070018"
    "6170706c69636174696f6e2f6f637465742d73747265616d0d3a6d6573736167652d74797065070005"
    "6576656e747b2261223a317d07324403"
)
BROKEN = bytes.fromhex(
    "000000980000005e0887cf4b0f3a657863657074696f6e2d747970650700104d6f64656c53747265616d4572726f720d3a636f6e74656e"
    "742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009657863657074696f6e"
    "7b224d657373616765223a2278222c224572726f72436f6465223a2253747265616d42726f6b656e227de022e08b"
)

payloads = st.lists(st.binary(max_size=300), max_size=6)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
i64 = st.integers(-(2**63), 2**63 - 1)


def seal(headers: bytes, payload: bytes = b"", *, total: int | None = None, headers_length: int | None = None) -> bytes:
    """A frame with valid checksums around lengths that need not be true."""
    prelude = struct.pack(
        ">II",
        16 + len(headers) + len(payload) if total is None else total,
        len(headers) if headers_length is None else headers_length,
    )
    frame = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return frame + struct.pack(">I", crc32(frame))


def string_header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def test_published_vectors_decode_and_encode() -> None:
    assert EventStreamDecoder().feed(PART) == [b'{"a":1}']
    assert encode_payload_part(b'{"a":1}') == PART
    assert encode_exception("ModelStreamError", b'{"Message":"x","ErrorCode":"StreamBroken"}') == BROKEN


@given(payloads)
@settings(max_examples=60)
def test_every_cut_gives_the_payloads(parts: list[bytes]) -> None:
    stream = b"".join(map(encode_payload_part, parts))
    for pieces in chop(stream):
        assert list(decode(EventStreamDecoder(), pieces)) == parts


@given(payloads)
@settings(max_examples=60)
def test_botocore_reads_what_is_encoded(parts: list[bytes]) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(map(encode_payload_part, parts)))
    messages = list(buffer)
    assert [message.payload for message in messages] == parts
    for message in messages:
        assert message.headers == {
            ":event-type": "PayloadPart",
            ":content-type": "application/octet-stream",
            ":message-type": "event",
        }


header_values = {
    "strings": text,
    "bytes": st.binary(max_size=40),
    "integers": i64,
    "booleans": st.booleans(),
    "uuids": st.uuids(),
}


@given(st.dictionaries(names.filter(lambda n: len(n.encode()) < 256), st.one_of(*header_values.values()), max_size=6))
@settings(max_examples=150)
def test_headers_of_every_type_agree_with_botocore(headers: dict[str, object]) -> None:
    block = encode_headers(headers)
    assert decode_headers(block) == headers
    buffer = EventStreamBuffer()
    buffer.add_data(encode_message(headers, b"x"))
    # botocore leaves a UUID as its bytes.
    assert next(iter(buffer)).headers == {
        name: value.bytes if isinstance(value, UUID) else value for name, value in headers.items()
    }


@given(st.datetimes(timezones=st.just(UTC)))
def test_timestamps_are_milliseconds_since_the_epoch(moment: datetime) -> None:
    block = encode_headers({"at": moment})
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert block == b"\x02at\x08" + struct.pack(">q", milliseconds)
    assert decode_headers(block)["at"] == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_any_header_block_is_read_or_refused(block: bytes) -> None:
    try:
        decode_headers(block)
    except FrameError:
        return


@pytest.mark.parametrize(
    "headers", [{"": "x"}, {"n" * 256: "x"}, {"a": "x" * 0x8000}, {"a": 2**63}, {"a": -(2**63) - 1}]
)
def test_headers_beyond_the_format_are_refused(headers: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"name|limit|fit"):
        encode_headers(headers)


def test_a_header_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        encode_headers({"a": 1.5})


def test_an_exception_keeps_the_code_inside_the_event() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(PART + BROKEN) == [b'{"a":1}'], "what came before the error is delivered first"
    with pytest.raises(ModelStreamError, match="x") as caught:
        decoder.feed(PART)
    assert (caught.value.message, caught.value.code) == ("x", "StreamBroken")
    with pytest.raises(ModelStreamError):
        decoder.close()


@pytest.mark.parametrize(
    ("frame", "code", "message"),
    [
        (encode_exception("InternalStreamFailure", b'{"Message":"oh"}'), "InternalStreamFailure", "oh"),
        (encode_exception("InternalStreamFailure", b'{"message":"oh"}'), "InternalStreamFailure", "oh"),
        (encode_exception("ModelStreamError", b'{"Message":"oh"}'), "ModelStreamError", "oh"),
        (
            encode_exception("ModelStreamError", b'{"Message":"late","ErrorCode":"ModelInvocationTimeExceeded"}'),
            "ModelInvocationTimeExceeded",
            "late",
        ),
        (encode_exception("ModelStreamError", b"not JSON"), "ModelStreamError", "not JSON"),
        (encode_exception("ModelStreamError", b""), "ModelStreamError", "the stream failed"),
        (encode_error("InternalError", "An internal server error occurred"), "InternalError", "An internal server err"),
        (seal(string_header(":message-type", "error")), "error", "the stream failed"),
    ],
)
def test_errors_inside_the_stream(frame: bytes, code: str, message: str) -> None:
    for pieces in chop(frame):
        with pytest.raises(ModelStreamError) as caught:
            list(decode(EventStreamDecoder(), pieces))
        assert caught.value.code == code
        assert caught.value.message.startswith(message)


def test_errors_agree_with_botocore_in_code_and_message() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode_error("InternalError", "oh"))
    assert next(iter(buffer)).to_response_dict()["headers"] == {
        ":message-type": "error",
        ":error-code": "InternalError",
        ":error-message": "oh",
    }


def test_a_stream_cut_short_is_noticed_everywhere() -> None:
    for end in range(1, len(PART)):
        decoder = EventStreamDecoder()
        assert decoder.feed(PART + PART[:end]) == [b'{"a":1}']
        with pytest.raises(StreamTruncated, match=rf"after {end} of"):
            decoder.close()
    held_back, error = finish(EventStreamDecoder())
    assert (held_back, error) == ([], None)


def test_every_flipped_bit_is_noticed() -> None:
    for position in range(len(PART)):
        for bit in range(8):
            damaged = bytearray(PART)
            damaged[position] ^= 1 << bit
            with pytest.raises((FrameError, StreamTruncated)):
                list(decode(EventStreamDecoder(), [bytes(damaged)]))


@pytest.mark.parametrize(
    "frame",
    [
        seal(b"", total=15),
        seal(b"", total=0),
        seal(b"", b"payload", headers_length=8),
        seal(b"", headers_length=2**32 - 1),
        seal(b"", total=2**32 - 1),
        seal(b"", total=24 * 1024 * 1024 + 17),
        seal(b"h" * (128 * 1024 + 1)),
        seal(b"\x03abc"),
        seal(b"\x01a\x0a"),
        seal(b"\x01a\x07\x00\x05ab"),
        seal(b"\x01a\x04\x00"),
        seal(b"\x01\xff\x00"),
        seal(b"\x01a\x07\x00\x01\xff"),
        seal(b"\x01a\x08\x7f" + b"\xff" * 7),
        seal(string_header(":message-type", "event") * 2),
    ],
)
def test_lengths_and_headers_that_cannot_be_are_refused(frame: bytes) -> None:
    for pieces in chop(frame[:300], random_cuts=2) if len(frame) < 300 else [[frame]]:
        with pytest.raises(FrameError):
            list(decode(EventStreamDecoder(), pieces))


def test_more_headers_than_the_limit_are_refused_before_they_are_read() -> None:
    headers = b"".join(string_header(f"h{number}", "x" * 1000) for number in range(140))
    for pieces in ([seal(headers)], [seal(headers)[:20]]):
        with pytest.raises(FrameError, match="bytes of headers, over 131072"):
            list(decode(EventStreamDecoder(), pieces))


def test_an_unknown_event_is_skipped_only_if_it_carries_nothing() -> None:
    ping = encode_message({":message-type": "event", ":event-type": "Ping"})
    first = encode_message({":message-type": "event", ":event-type": "initial-response"}, b"{}")
    assert EventStreamDecoder().feed(first + ping + PART) == [b'{"a":1}']
    with pytest.raises(WireError, match=r"'Ping'.*some words"):
        EventStreamDecoder().feed(encode_message({":message-type": "event", ":event-type": "Ping"}, b"some words"))


def test_a_part_with_other_headers_is_still_a_part() -> None:
    headers = {":message-type": "event", ":event-type": "PayloadPart", "more": 1}
    assert EventStreamDecoder().feed(encode_message(headers, b"x")) == [b"x"]


@pytest.mark.parametrize("headers", [{}, {":message-type": "rumour"}, {":message-type": 1}])
def test_an_unknown_message_type_is_refused(headers: dict[str, object]) -> None:
    with pytest.raises(WireError, match=":message-type"):
        EventStreamDecoder().feed(encode_message(headers, b"x"))


def test_a_web_page_is_a_frame_error() -> None:
    with pytest.raises(FrameError):
        EventStreamDecoder().feed(b"<html><body>502 Bad Gateway</body></html>")


def test_a_large_frame_in_small_pieces_takes_linear_work() -> None:
    payload = bytes(5_000_000)
    frame = encode_payload_part(payload)
    decoder = EventStreamDecoder()
    pieces = [frame[i : i + 20] for i in range(0, len(frame), 20)]
    # 250 000 pieces: joining what was read so far with each would copy 600 GB.
    assert list(decode(decoder, pieces)) == [payload]


def test_payloads_over_the_limit_are_not_encoded() -> None:
    with pytest.raises(ValueError, match="larger than the format allows"):
        encode_payload_part(bytes(24 * 1024 * 1024 + 1))
