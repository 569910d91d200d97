"""Gateways on loopback in front of the emulator, as real servers in threads."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3
import uvicorn

from sagewire.emulator import Emulator, EndpointSpec
from sagewire.gateway.accounting import rate_counters
from sagewire.gateway.accounting.database import Store, open_store
from sagewire.gateway.accounting.rate_table import RateMemory, RateTable
from sagewire.gateway.config import parse_config
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.server.app import create_app
from sagewire.gateway.server.header_limits import limited_protocol

ENDPOINTS = {
    "chat": "openai_chat:echo",
    "facts": "openai_chat:extractive",
    "schema": "openai_chat:schema",
    "tgi": "tgi:echo",
    "embedding": "tei",
    "reranker": "tei_rerank",
    "slow": EndpointSpec("openai_chat", "echo", faults=["slow_tokens:0.05"]),
}

# Seconds; urllib3's own three are few on a busy machine.
PATIENCE = 60


@pytest.fixture(autouse=True)
def _closed_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every store a test opened: from Python 3.13 on, SQLite warns of connections that nobody closed."""
    opened: list[Store] = []
    begin = Store.__init__

    def remember(store: Store, *args: Any, **settings: Any) -> None:
        begin(store, *args, **settings)
        opened.append(store)

    monkeypatch.setattr(Store, "__init__", remember)
    yield
    for store in opened:
        store.close()


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a minute of rate limits begin with the test: in two of them callers may use twice as many tokens.

    PostgreSQL and Redis keep their own clocks.
    """
    ahead = 60 - time.time() % 60

    def clock() -> float:
        return time.time() + ahead

    def table(store: Store) -> RateTable:
        return RateTable(store, None if store.on_network else clock)

    monkeypatch.setattr(rate_counters, "RateMemory", lambda: RateMemory(clock))
    monkeypatch.setattr(rate_counters, "RateTable", table)


@dataclass
class Running:
    """A gateway under test."""

    url: str
    gateway: Gateway
    loop_call: Callable[[Callable[[], Any]], None]

    def post(self, path: str, body: Any, **headers: str) -> urllib3.BaseHTTPResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib3.request("POST", self.url + path, json=body, headers=names, retries=False, timeout=PATIENCE)

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib3.request("GET", self.url + path, headers=names, retries=False, timeout=PATIENCE)


@contextmanager
def running(config: str, store: Store | None = None, **settings: Any) -> Iterator[Running]:
    parsed = parse_config(config, "test.yaml")
    gateway = Gateway(parsed, store or open_store("sqlite://"), **settings)
    loops: list[Any] = []
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            loops.append(asyncio.get_running_loop())
            started.set()

    server = Server(
        uvicorn.Config(
            create_app(gateway),
            port=0,
            log_config=None,
            http=limited_protocol(parsed.server.max_header_bytes, parsed.server.header_seconds),
            timeout_graceful_shutdown=1,
            ws="none",
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(10)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Running(f"http://127.0.0.1:{port}", gateway, lambda call: loops[0].call_soon_threadsafe(call))
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def models() -> Iterator[Emulator]:
    with Emulator(ENDPOINTS) as emulator:
        yield emulator


@pytest.fixture
def upstream(models: Emulator, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    for name, value in models.environ().items():
        monkeypatch.setenv(name, value)
    models.clear()
    return models


@pytest.fixture
def start(upstream: Emulator) -> Iterator[Callable[..., Running]]:
    with ExitStack() as stack:
        yield lambda config, *args, **settings: stack.enter_context(running(config, *args, **settings))


ALL = """
models:
  chat: {endpoint: chat, handler: openai_chat}
  facts: {endpoint: facts, handler: openai_chat}
  schema: {endpoint: schema, handler: openai_chat}
  slow: {endpoint: slow, handler: openai_chat}
  never: {endpoint: chat--never-answer, handler: openai_chat}
  tgi: {endpoint: tgi, handler: tgi, format: chatml}
  embedding: {endpoint: embedding, embedding_handler: tei}
  reranker: {endpoint: reranker, rerank_handler: tei_rerank}
aliases: {gpt-4o: chat}
"""


@pytest.fixture(scope="module")
def everything(models: Emulator) -> Iterator[Running]:
    """One gateway for all tests of a module that change nothing."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in models.environ().items():
            monkeypatch.setenv(name, value)
        with running(ALL) as gateway:
            yield gateway


class Upstream:
    """A server in the manner of vLLM that remembers what it was asked, and answers as it is told."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                upstream.bodies.append(body)
                status, answer = upstream.answer(self.path, body, dict(self.headers))
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        for part, found in self.answers.items():
            if part in path or part in json.dumps(body):
                return found(headers) if callable(found) else found
        choice = {"index": 0, "finish_reason": "stop", "text": "ok", "message": {"role": "assistant", "content": "ok"}}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 60, "completion_tokens": 40, "total_tokens": 100}}


@pytest.fixture
def vllm() -> Iterator[Upstream]:
    upstream = Upstream()
    thread = threading.Thread(target=upstream.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield upstream
    upstream.server.shutdown()
    upstream.server.server_close()
    thread.join()
