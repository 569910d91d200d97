"""The framing of chunked bodies, against the standard library as judge."""

from __future__ import annotations

import io
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagewire.http.chunked_bodies import ChunkedBody
from sagewire.testing import chop

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Socket:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *arguments: Any) -> io.BytesIO:
        return io.BytesIO(self.data)


def judged(data: bytes) -> bytes:
    response = HTTPResponse(Socket(HEAD + data))  # type: ignore[arg-type]
    response.begin()
    return response.read()


def unpack(pieces: list[bytes]) -> tuple[bytes, ChunkedBody]:
    body = ChunkedBody()
    found = b"".join(body.feed(piece) for piece in pieces)
    body.close()
    return found, body


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.sampled_from([b"", b";a=b", b" "])), max_size=6),
    st.sampled_from([b"0\r\n\r\n", b"0\r\nA: b\r\nC: d\r\n\r\n", b"000;x\r\n\r\n"]),
    st.integers(1, 9),
)
def test_any_cut_gives_the_same_body(chunks: list[tuple[bytes, bytes]], end: bytes, step: int) -> None:
    data = b"".join(chunk(*each) for each in chunks) + end
    expected = judged(data)
    for pieces in (*chop(data), [data[at : at + step] for at in range(0, len(data), step)]):
        found, body = unpack(pieces)
        assert found == expected == b"".join(payload for payload, _ in chunks)
        assert body.ended
        assert not body.surplus


def test_what_has_arrived_of_a_chunk_is_handed_on() -> None:
    body = ChunkedBody()
    assert [body.feed(piece) for piece in (b"5\r\nab", b"c", b"de", b"\r\n")] == [b"ab", b"c", b"de", b""]
    assert body.feed(b"1\r\nf\r\n2\r\ngh\r\n") == b"fgh"


def test_bytes_behind_the_end_are_noticed() -> None:
    _, body = unpack([chunk(b"ab") + b"0\r\n\r\nHTTP/1.1"])
    assert body.surplus


@pytest.mark.parametrize("line", [b"xyz", b"-1", b"", b"0x", b"0x4", b"+4", b"1_0", b"\xc2\xb2", b"4 4", b";4"])
def test_what_came_before_a_broken_size_is_handed_on(line: bytes) -> None:
    body = ChunkedBody()
    assert body.feed(chunk(b"ab") + line + b"\r\nmore") == b"ab"
    with pytest.raises(HTTPException):
        body.feed(b"even more")
    with pytest.raises(HTTPException):
        body.close()


@pytest.mark.parametrize("data", [b"", b"5", b"5\r\nab", chunk(b"ab"), chunk(b"ab") + b"0"])
def test_a_body_that_breaks_off_is_an_error(data: bytes) -> None:
    with pytest.raises(HTTPException):
        unpack([data])


def test_a_missing_trailer_is_none() -> None:
    found, body = unpack([chunk(b"ab") + b"0\r\n"])
    assert found == b"ab"
    assert not body.ended


def test_a_chunk_that_is_longer_than_its_size_is_an_error() -> None:
    body = ChunkedBody()
    assert body.feed(b"2\r\nabAA5\r\nmore") == b"ab"
    with pytest.raises(HTTPException):
        body.feed(b"even more")


def test_a_size_without_end_is_an_error() -> None:
    body = ChunkedBody()
    body.feed(b"0" * 5_000)
    with pytest.raises(HTTPException):
        body.feed(b"0" * 5_000)
