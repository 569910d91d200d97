"""Requests that offer another protocol, as Java's HTTP client does with its first one: served in HTTP/1.1."""

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest

from tests.cases import each

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}).encode()
H2C = b"connection: Upgrade, HTTP2-Settings\r\nhttp2-settings: AAEAAEAAAAIAAAAB\r\nupgrade: h2c\r\n"
WEBSOCKET = b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
CHUNKS = b"5\r\n%b\r\n%x;a=b\r\n%b\r\n0\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])
GET = b"GET /health/live HTTP/1.1\r\nhost: x\r\n"
PLAIN = POST + LENGTH + b"\r\n" + BODY


@pytest.fixture
def port(start, vllm) -> int:
    gateway = start(
        f"models: {{m: {{url: '{vllm.url}', handler: openai_chat}}}}\nserver: {{header_seconds: 5, access_log: false}}"
    )
    return int(gateway.url.rpartition(":")[2])


def statuses(answers: bytes) -> list[int]:
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def answers_to(port: int, pieces: Iterator[bytes], count: int) -> list[int]:
    with socket.create_connection(("127.0.0.1", port), 30) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Who is refused early is not listened to any more; the answer is there all the same.
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                caller.sendall(piece)
        found = b""
        while len(statuses(found)) < count and (piece := caller.recv(65536)):
            found += piece
    return statuses(found)


@each(
    ("sent", "expected"),
    [
        (POST + H2C + LENGTH + b"\r\n" + BODY, [200]),
        (POST + LENGTH + H2C + b"\r\n" + BODY, [200]),
        (POST + H2C + CHUNKED + b"\r\n" + CHUNKS, [200]),
        (POST + WEBSOCKET + LENGTH + b"\r\n" + BODY, [200]),
        (GET + H2C + b"\r\n", [200]),
        (GET + WEBSOCKET + b"\r\n", [200]),
        # Further requests on the connection, which may offer it again.
        ((POST + H2C + LENGTH + b"\r\n" + BODY) * 3 + PLAIN + GET + H2C + b"\r\n" + PLAIN, [200] * 6),
        # What is wrong stays wrong.
        (POST + H2C + LENGTH + CHUNKED + b"\r\n" + BODY, [400]),
        (POST + H2C + CHUNKED + b"\r\nxyz\r\n", [400]),
        (POST + H2C + b"\r\n", [400]),
    ],
)
def test_offers_of_other_protocols_are_passed_over(port: int, vllm, sent: bytes, expected: list[int]) -> None:
    for size in (len(sent), 7):
        asked = len(vllm.bodies)
        pieces = (sent[at : at + size] for at in range(0, len(sent), size))
        assert answers_to(port, pieces, len(expected)) == expected
        posts = 0 if expected[-1] == 400 else sent.count(b"POST ")
        assert [body["messages"][0]["content"] for body in vllm.bodies[asked:]] == ["Hello"] * posts
