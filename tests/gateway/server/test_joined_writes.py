"""A response's head and the first bytes of its body go out together; nothing waits longer than a turn of the loop."""

import asyncio

from sagewire.gateway.server.joined_writes import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Wire:
    """A transport that remembers what is sent at once."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.abort = self.is_closing = self.pause_reading = self.resume_reading = lambda: None

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.sent.append(b"closed")

    def get_extra_info(self, name: str) -> str:
        return name


async def test_the_head_waits_for_the_first_bytes_of_the_body() -> None:
    wire = Wire()
    out = JoinedWrites(wire, asyncio.get_running_loop())
    out.write(HEAD)
    out.write(b"HTTP/1.1 is in this body")
    out.write(b"more")
    assert wire.sent == [HEAD + b"HTTP/1.1 is in this body", b"more"]
    await asyncio.sleep(0)
    assert len(wire.sent) == 2
    assert out.get_extra_info("peername") == "peername"


async def test_a_head_alone_is_sent_at_the_end_of_the_turn_or_before_the_connection_closes() -> None:
    wire = Wire()
    out = JoinedWrites(wire, asyncio.get_running_loop())
    out.write(HEAD)
    await asyncio.sleep(0)
    assert wire.sent == [HEAD]
    out.write(HEAD)
    out.close()
    assert wire.sent == [HEAD, HEAD, b"closed"]
    await asyncio.sleep(0)
    assert len(wire.sent) == 3
