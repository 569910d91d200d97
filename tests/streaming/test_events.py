"""JSON events in either framing, told apart by their first bytes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.errors import StreamTruncated, WireError
from sagewire.streaming import JsonEventDecoder, decode, finish
from sagewire.testing import chop

objects = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3), max_size=5)

FRAMINGS = {
    "sse": lambda document: f"data: {document}\n\n",
    "sse without space": lambda document: f"data:{document}\n\n",
    "sse with everything": lambda document: f": hi\r\nevent: token\r\nid: 1\r\ndata: {document}\r\n\r\n",
    "sse over lines": lambda document: "".join(f"data: {line}\n" for line in document.split("\n")) + "\n",
    "lines": lambda document: f"{document}\n",
    "bare": lambda document: document,
}


@pytest.mark.parametrize("name", FRAMINGS)
@given(objects)
@settings(max_examples=30)
def test_every_framing_and_cut_gives_the_objects(name: str, given_objects: list[object]) -> None:
    indent = 1 if name == "sse over lines" else None
    stream = "".join(FRAMINGS[name](json.dumps(value, indent=indent)) for value in given_objects).encode()
    for start in (b"", b"\n \r\n", b"\xef\xbb\xbf"):
        for pieces in chop(start + stream, random_cuts=3):
            assert list(decode(JsonEventDecoder(), pieces)) == given_objects


@pytest.mark.parametrize("done", [b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n", b"data: [DONE]", b"data: [DONE] \n\n"])
def test_done_is_dropped_and_remembered(done: bytes) -> None:
    for pieces in chop(b'data: {"a": 1}\n\n' + done):
        decoder = JsonEventDecoder()
        assert not decoder.done
        assert list(decode(decoder, pieces)) == [{"a": 1}]
        assert decoder.done


def test_events_without_data_are_skipped() -> None:
    assert list(decode(JsonEventDecoder(), [b"data:\n\nevent: ping\n\ndata:  \n\ndata: {}\n\n"])) == [{}]


def test_a_last_event_without_blank_line_counts() -> None:
    decoder = JsonEventDecoder()
    assert decoder.feed(b'data: {"a": 1}\n\ndata: {"b": 2}') == [{"a": 1}]
    assert decoder.close() == [{"b": 2}]
    assert decoder.close() == []


@pytest.mark.parametrize(
    "stream", [b'data: {"a": 1}\n\ndata: {"b": 2}\n\n', b'{"a": 1}\n{"b": 2}\n', b'{"a": 1}{"b": 2}']
)
def test_cut_short_gives_what_is_whole_and_then_truncated(stream: bytes) -> None:
    expected = [{"a": 1}, {"b": 2}]
    for end in range(1, len(stream)):
        decoder = JsonEventDecoder()
        delivered = decoder.feed(stream[:end])
        held_back, error = finish(decoder)
        delivered += held_back
        assert delivered == expected[: len(delivered)]
        assert error is None or isinstance(error, StreamTruncated)
        # The cut goes unnoticed only where nothing but blanks is missing, or exactly between two events.
        if error is None:
            missing = stream[end:].strip()
            assert missing in (b"", stream[len(stream) // 2 :].strip())


@pytest.mark.parametrize(
    ("stream", "shown"),
    [
        (b"<html><head><title>502 Bad Gateway</title></head></html>", "an HTML or XML page: <html>"),
        (b"\n\n<!DOCTYPE html>", "an HTML or XML page"),
        (b"Internal Server Error", "Internal Server Error"),
        (b"upstream connect error", "upstream connect error"),
        (b"data: {'a': 1}\n\n", "{'a': 1}"),
        (b"data: hello\n\n", "hello"),
        (b'data: {"a": 1}\n\nTraceback (most recent call last):\n', "Traceback"),
        (b'data: {"a": 1}\n\n{"error": "out of memory"}\n', "out of memory"),
        (b'{"a": 1}\nKilled\n', "Killed"),
        (b"database error: gone\n", "database error"),
        (b"\xff\xfe\x00", "expected"),
    ],
)
def test_what_is_neither_framing_is_refused_with_an_excerpt(stream: bytes, shown: str) -> None:
    with pytest.raises(WireError) as caught:
        list(decode(JsonEventDecoder(), [stream]))
    assert shown in str(caught.value)
    for pieces in chop(stream):
        with pytest.raises(WireError):
            list(decode(JsonEventDecoder(), pieces))


@pytest.mark.parametrize("stream", [b"", b"\n\n  \r\n"])
def test_an_empty_stream_has_no_events(stream: bytes) -> None:
    for pieces in chop(stream):
        assert list(decode(JsonEventDecoder(), pieces)) == []


@pytest.mark.parametrize("stream", [b"d", b"dat", b"\xef", b"re"])
def test_a_stream_that_ends_before_it_is_anything_is_truncated(stream: bytes) -> None:
    with pytest.raises(StreamTruncated):
        list(decode(JsonEventDecoder(), [stream]))


def test_endless_blank_lines_take_no_memory() -> None:
    decoder = JsonEventDecoder()
    for _ in range(50_000):
        assert decoder.feed(b"\n" * 100) == []
    assert decoder.feed(b"data: {}\n\n") == [{}]


@given(st.lists(st.binary(max_size=12), max_size=6))
@settings(max_examples=200)
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    try:
        list(decode(JsonEventDecoder(), pieces))
    except WireError:
        return
