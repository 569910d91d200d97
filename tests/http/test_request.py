"""Requests as they are written, by both engines."""

from __future__ import annotations

import asyncio

import pytest

from sagewire.errors import UsageError
from sagewire.http.async_engine import AsyncEngine
from sagewire.http.deadlines import Deadlines, Timeouts
from sagewire.http.origin import Origin
from sagewire.http.request import Request
from tests.cases import each


def test_the_head_names_the_host_once_and_the_length_of_the_body() -> None:
    request = Request("/v1/chat", {"Accept": "*/*"}, b"body")
    assert request.head("example.com") == (
        b"POST /v1/chat HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nContent-Length: 4\r\n\r\n"
    )
    named = Request("/", {"Host": "other"}, b"", "GET", names_host=True)
    assert named.head("example.com", "http://example.com", {"X-Proxy": "1"}) == (
        b"GET http://example.com/ HTTP/1.1\r\nX-Proxy: 1\r\nHost: other\r\nContent-Length: 0\r\n\r\n"
    )


@each("value", ["a\nb", "a\rb", "a\0b", "日本"])
def test_what_a_header_cannot_carry_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="a header's value"):
        Request("/", {"X-Note": value}, b"").head("example.com")


def test_head_and_body_go_out_in_one_write() -> None:
    arrived: list[bytes] = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            arrived.append(data)
            assert isinstance(self.transport, asyncio.WriteTransport)
            self.transport.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        engine = AsyncEngine(Origin(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        for _ in range(2):
            answer = await engine.send(Request("/", {}, b"x" * 1000), Deadlines(Timeouts(), "test"))
            assert (answer.status, await answer.read()) == (200, b"ok")
        await engine.close()
        server.close()

    asyncio.run(run())
    assert [data.count(b"x") for data in arrived] == [1000, 1000]
