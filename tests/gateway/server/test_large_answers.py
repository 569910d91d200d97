"""Answers that are written piece by piece."""

import asyncio
import itertools
import socket

import orjson
import pytest

from sagewire.gateway.errors import ClientGone
from sagewire.gateway.routes import vectors
from sagewire.gateway.server import large_answers
from sagewire.gateway.server.large_answers import respond_in_pieces
from sagewire.http.timer_pool import TimerPool


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_they_are_what_small_ones_are(everything, upstream, monkeypatch, encoding) -> None:
    asked = {"model": "embedding", "input": [f"text {number}" for number in range(300)], "encoding_format": encoding}
    whole = everything.post("/v1/embeddings", asked)
    monkeypatch.setattr(vectors, "NUMBERS_AT_ONCE", 1000)
    large = everything.post("/v1/embeddings", asked)
    assert (large.status, large.data) == (200, whole.data)
    assert large.headers["transfer-encoding"] == "chunked"
    assert large.headers["content-type"] == whole.headers["content-type"] == "application/json"
    assert large.headers["x-request-id"]
    assert [one["index"] for one in orjson.loads(large.data)["data"]] == list(range(300))


async def test_pieces_are_sent_together_and_the_last_ends_the_body() -> None:
    sent = []

    async def send(message):
        sent.append(message)

    pieces = [b"a" * 40_000, b"b" * 40_000, b"c"]
    await respond_in_pieces(send, pieces, TimerPool(asyncio.get_running_loop()))
    assert sent[0]["type"] == "http.response.start"
    assert [(len(one["body"]), one.get("more_body", False)) for one in sent[1:]] == [(80_000, True), (1, False)]


@pytest.mark.parametrize(("size", "most"), [(100_000, 1), (1, 10)])
async def test_who_does_not_read_is_given_up(monkeypatch, size, most) -> None:
    monkeypatch.setattr(large_answers, "STALL_SECONDS", 0.01)
    written = 0

    def pieces():
        nonlocal written
        for _ in range(10):
            written += 1
            yield b"x" * size

    async def send(message):
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async with asyncio.timeout(20):
        with pytest.raises(ClientGone):
            await respond_in_pieces(send, pieces(), TimerPool(asyncio.get_running_loop()))
    assert written == most


def test_a_caller_that_leaves_halfway_ends_the_writing(everything, upstream, monkeypatch, until) -> None:
    monkeypatch.setattr(vectors, "NUMBERS_AT_ONCE", 1)
    monkeypatch.setattr(vectors, "embedding_pieces", lambda *_, **__: itertools.repeat(b"x" * 10_000))
    body = orjson.dumps({"model": "embedding", "input": ["a", "b"]})
    host, port = everything.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as caller:
        head = f"POST /v1/embeddings HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n"
        caller.sendall(head.encode() + body)
        assert caller.recv(10).startswith(b"HTTP/1.1")
        # An earlier request may not have been settled.
        (log,) = until(lambda: (live := list(everything.gateway.live.values())) and len(live) == 1 and live)
    until(lambda: not everything.gateway.live)
    assert (log.status, log.error) == (499, "client_gone")
    monkeypatch.setattr(vectors, "NUMBERS_AT_ONCE", 1000)
    assert everything.post("/v1/embeddings", {"model": "embedding", "input": "Hi"}).status == 200
