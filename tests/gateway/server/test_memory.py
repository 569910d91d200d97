"""The memory that one connection can take, measured: what strangers send, and the largest requests of callers."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc"),
]

CONFIG = "models: {chat: {endpoint: chat, handler: openai_chat}}\nkeys: [{name: u, key: sk-u}]\n"
SETTINGS = "server: {access_log: false, database_url: 'sqlite://'}\n"
# Megabytes that one connection may take at most, its buffers in kernel and allocator included.
MOST = 6.0
SENT = 48 << 20
CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
GET = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
EMPTY_POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Server:
    """A gateway in a process of its own."""

    pid: int
    port: int

    def megabytes(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def post(self, body: bytes) -> tuple[int, bytes]:
        url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        headers = {"authorization": "Bearer sk-u", "content-type": "application/json"}
        answer = urllib3.request("POST", url, body=body, headers=headers, retries=False, timeout=120)
        # An error's words; nothing of an answer, which may be long.
        return answer.status, answer.data if answer.status != 200 else b""


@pytest.fixture
def server(upstream, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, CONFIG) as one:
        # The first request of each kind loads what all others use.
        hello = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}
        assert one.post(json.dumps(hello).encode()) == (200, b"")
        yield one


@contextmanager
def serving(tmp_path: Path, config: str) -> Iterator[Server]:
    path = tmp_path / "gateway.yaml"
    path.write_text(config + SETTINGS)
    command = [sys.executable, "-m", "sagewire", "gateway", "--config", str(path), "--port", "0"]
    errors = (tmp_path / "errors").open("w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    found = next(filter(None, (re.search(r"base_url=http://[^:]+:(\d+)/", line) for line in process.stdout)))
    one = Server(process.pid, int(found[1]))
    try:
        yield one
    finally:
        process.kill()
        process.communicate()
        errors.close()


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(CHUNKED, (b"x: " + b"a" * 1000 + b"\r\n") * 64, id="trailers"),
        pytest.param(CHUNKED + b"x: ", b"a" * 65_536, id="one trailer"),
        pytest.param(b"", GET * 1000, id="requests ahead"),
        pytest.param(b"", EMPTY_POST * 1000, id="posts ahead"),
        pytest.param(GET, b"GET / HTTP/1.1\r\nx: " + b"a" * 60_000, id="a second request without end"),
    ],
)
def test_a_stranger_takes_a_few_megabytes(server: Server, head: bytes, piece: bytes) -> None:
    before = peak = server.megabytes()
    with server.connect() as caller:
        caller.settimeout(2)
        sent = 0
        # It is cut off, or no longer read from: both are bounds.
        with suppress(OSError):
            caller.sendall(head)
            while sent < SENT:
                caller.sendall(piece)
                sent += len(piece)
                peak = max(peak, server.megabytes())
        peak = max(peak, server.megabytes())
    assert peak - before < MOST, f"{peak - before:.1f} MB for {sent / 1e6:.0f} MB sent"


def test_kept_connections_with_half_a_second_request(server: Server) -> None:
    count = 100
    before = server.megabytes()
    with ExitStack() as stack:
        for _ in range(count):
            caller = stack.enter_context(server.connect())
            caller.sendall(GET)
            assert caller.recv(1000).startswith(b"HTTP/1.1 200")
            caller.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 30_000)
        # Answered behind all of them.
        with server.connect() as last:
            last.sendall(GET)
            last.recv(1000)
        grown = server.megabytes() - before
    assert grown / count < 1, f"{grown / count:.2f} MB for each connection"


def test_unfinished_bodies_of_a_key(server: Server) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-u\r\n"
    head += b"content-length: 19900000\r\n\r\n"
    before = server.megabytes()

    def send(caller: socket.socket) -> None:
        caller.settimeout(2)
        # Those that find no room are read no further.
        with suppress(OSError):
            caller.sendall(head + b" " * 19_000_000)

    with ExitStack() as stack, ThreadPoolExecutor(30) as pool:
        list(pool.map(send, [stack.enter_context(server.connect()) for _ in range(30)]))
        grown = server.megabytes() - before
        assert (
            server.post(json.dumps({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}).encode())[0]
            == 200
        )
    # Half of 200 MB, and the buffers of the connections.
    assert grown < 100 + 30 * MOST / 2, f"{grown:.0f} MB"


def test_the_largest_lists_of_callers(server: Server) -> None:
    text = {"role": "user", "content": "a"}
    bodies = [
        {"messages": [text], "stop": ["x" * 990 + str(number) for number in range(64)], "stream": True},
        {"messages": [text, {"role": "assistant", "content": "b"}] * 4_999 + [text]},
    ]
    at_once = 8
    for body in bodies:
        data = json.dumps({"model": "chat", "max_tokens": 5, **body}).encode()
        # Several decoded copies of a body live side by side; what they are made of is bounded by the body's size.
        allowed = at_once * (MOST + 20 * len(data) / 1e6)
        before = server.megabytes()
        with ThreadPoolExecutor(at_once) as pool:
            answers = set(pool.map(server.post, [data] * at_once * 2))
        grown = server.megabytes() - before
        # So many messages have passed the gateway, and are more than the model can read.
        assert all(status == 200 or b"context_length_exceeded" in words for status, words in answers), answers
        assert grown < allowed, f"{grown:.0f} MB for {at_once} requests of {len(data) / 1e6:.1f} MB"


def test_vectors_of_the_largest_request(vllm, tmp_path: Path) -> None:
    count, dimensions = 4096, 1024
    row = [((number * 7919) % 100_003) / 100_003 for number in range(dimensions)]

    def answer(path: str, body: dict[str, list[str]], headers: dict[str, str]) -> tuple[int, object]:
        return 200, {"data": [{"index": index, "embedding": row} for index in range(len(body["input"]))]}

    vllm.answer = answer
    config = f"models: {{m: {{url: '{vllm.url}/v1', embedding_handler: openai_embeddings}}}}\n"
    with serving(tmp_path, config) as one:

        def embed(texts: list[str]) -> int:
            body = json.dumps({"model": "m", "input": texts}).encode()
            url = f"http://127.0.0.1:{one.port}/v1/embeddings"
            headers = {"content-type": "application/json"}
            answered = urllib3.request("POST", url, body=body, headers=headers, timeout=120, preload_content=False)
            assert answered.status == 200
            return sum(len(piece) for piece in answered.stream(1 << 16))

        embed(["Hi"])
        before = one.megabytes()
        Path(f"/proc/{one.pid}/clear_refs").write_text("5")
        sent = embed([f"text {number}" for number in range(count)]) / 1e6
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{one.pid}/status").read_text())
        assert found is not None
        grown = int(found[1]) * 1024 / 1e6 - before
    # As Python floats, whose text is put together as a whole, they took 450 MB.
    assert grown < 180, f"{grown:.0f} MB for an answer of {sent:.0f} MB"
