"""Server-sent events, judged by httpx-sse where it and the rules agree."""

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.errors import FrameError, StreamTruncated
from sagewire.streaming import SseDecoder, decode, finish
from sagewire.testing import chop, drain

ends = st.sampled_from(["\n", "\r", "\r\n"])
# U+2028, U+0085, form feed and vertical tab end lines in Python, but not in an event stream.
words = st.text(st.sampled_from('{"a": 1}\x0b\x0c\x1c\x85\u2028é字😀:'), max_size=8)
lines = st.one_of(
    st.builds("data:{}".format, words),
    st.builds("data: {}".format, words),
    st.builds("data:  {}".format, words),
    st.builds(": {}".format, words),
    st.sampled_from(["data", "event: token", "id: 1", "retry: 5", "", "", ""]),
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Any mixture of line ends, closed by a blank line."""
    parts = [draw(lines) + draw(ends) for _ in range(draw(st.integers(0, 12)))]
    return "".join([*parts, "\n\n"]).encode()


def judged(stream: bytes) -> list[bytes]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    return [event.data.encode() for event in EventSource(response).iter_sse() if event.data]


@given(streams())
@settings(max_examples=200)
def test_agrees_with_httpx_sse_at_every_cut(stream: bytes) -> None:
    expected = judged(stream)
    for pieces in chop(stream, random_cuts=4):
        # Events with empty data are skipped there along with events without data.
        assert [data for data in decode(SseDecoder(), pieces) if data] == expected


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("data: a|data:b|data:  c||", ["a\nb\n c"]),
        ("data||data|data||", ["", "\n"]),
        ("data:|||", [""]),
        (": keep alive||data: x||", ["x"]),
        ("event: token|id: 7|retry: 10|data: x||", ["x"]),
        ("event: ping||data: x||", ["x"]),
        ("|||data: x||||", ["x"]),
        ("database: x|Data: x|unknown|data: y||", ["y"]),
        ("data: [DONE]||", ["[DONE]"]),
        ("data: a\u2028b\x85c\x0bd||", ["a\u2028b\x85c\x0bd"]),
        ("\ufeffdata: x||data: \ufeffy||", ["x", "\ufeffy"]),
        ("data: x||\ufeffdata: y||", ["x"]),
    ],
)
def test_the_rules(stream: str, end: str, expected: list[str]) -> None:
    raw = stream.replace("|", end).encode()
    for pieces in chop(raw):
        assert [data.decode() for data in decode(SseDecoder(), pieces)] == expected


@pytest.mark.parametrize(
    "tail", ["data: b", "data: b\n", "data: b\r", "data: b\r\n", "data: b\n: bye", "data: b\nid: "]
)
def test_a_last_event_without_blank_line_is_delivered_at_the_end(tail: str) -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n\n" + tail.encode()) == [b"a"]
    assert decoder.close() == [b"b"]
    assert decoder.close() == [], "closing again delivers nothing twice"


@pytest.mark.parametrize("tail", ["d", "da", "dat", "eve"])
def test_a_stream_that_ends_inside_a_field_name_is_truncated(tail: str) -> None:
    for pieces in chop(b"data: a\n\ndata: b\n" + tail.encode()):
        decoder = SseDecoder()
        delivered = [data for piece in pieces for data in decoder.feed(piece)]
        held_back, error = finish(decoder)
        assert delivered + held_back == [b"a", b"b"]
        assert isinstance(error, StreamTruncated)


def test_half_a_byte_order_mark_is_no_line() -> None:
    with pytest.raises(StreamTruncated):
        list(decode(SseDecoder(), [b"\xef\xbb"]))


def test_an_event_is_delivered_with_the_carriage_return_that_ends_it() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"\r") == [b"a"], "waiting for a line feed would delay every token by one"
    assert decoder.feed(b"\ndata: b\r\r") == [b"b"]
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\n\n") == []


def test_what_is_no_event_stream_is_refused_when_strict() -> None:
    for stray in (b"Traceback (most recent call last):\n", b'{"error": "out of memory"}\n', b"database: x\n"):
        for pieces in chop(b"data: a\n\n" + stray):
            delivered, error = drain(decode(SseDecoder(strict=True), pieces))
            assert delivered == [b"a"]
            assert "expected server-sent events" in str(error)
    fine = b"event: x\nid\nretry: 1\n:\ndata\n\n"
    assert SseDecoder(strict=True).feed(fine) == [b""]


@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 100, b"data: " + b"x" * 100 + b"\n\n", b": " + b"x" * 100 + b"\n", b"data: xx\n" * 40]
)
def test_lines_and_events_are_bounded(stream: bytes) -> None:
    for pieces in chop(stream):
        with pytest.raises(FrameError, match="64 bytes"):
            list(decode(SseDecoder(max_bytes=64), pieces))


def test_a_long_line_in_small_pieces_takes_linear_work() -> None:
    data = b"x" * 4_000_000
    stream = b"data: " + data + b"\n\n"
    pieces = [stream[i : i + 16] for i in range(0, len(stream), 16)]
    # 250 000 pieces: copying the line so far for each would move 500 GB.
    assert list(decode(SseDecoder(), pieces)) == [data]


def test_many_events_in_one_piece_take_linear_work() -> None:
    assert SseDecoder().feed(b"data: x\n\n" * 300_000) == [b"x"] * 300_000
