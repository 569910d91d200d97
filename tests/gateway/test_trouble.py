"""What goes wrong around a gateway: callers that stall, servers that vanish, a restart in the middle."""

import asyncio
import json
import socket

import pytest
import urllib3

from sagewire.emulator import Emulator
from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.config import parse_config
from sagewire.gateway.errors import ClientGone
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.server.app import Gate
from sagewire.gateway.server.http_exchange import EventStream
from sagewire.gateway.server.reloading import Reloader

HI = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}
ONE = "models: {m: {endpoint: chat, handler: openai_chat}}"


def post(gateway, body: bytes) -> tuple[int, dict[str, object]]:
    answer = urllib3.request("POST", f"{gateway.url}/v1/chat/completions", body=body, retries=False, timeout=60)
    return answer.status, answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"model": "m", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
        b'{"model": "m", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": ' + b"9" * 400 + b"}",
        json.dumps(HI).encode("utf-16"),
    ],
)
def test_bodies_that_are_no_json_are_the_callers_fault(start, upstream: Emulator, body: bytes) -> None:
    status, error = post(start(ONE), body)
    assert status == 400
    assert "not JSON" in str(error["message"])
    assert upstream.calls == []


def test_callers_do_not_learn_where_a_server_is(start) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gateway = start(f"models: {{m: {{url: 'http://127.0.0.1:{port}', handler: openai_chat, attempts: 1}}}}")
    answer = gateway.post("/v1/chat/completions", HI)
    assert (answer.status, "cannot be reached" in answer.json()["error"]["message"]) == (502, True)
    assert str(port) not in answer.data.decode()
    assert str(port) in gateway.gateway.router.models["m"].deployments[0].last_error


def test_a_stream_that_breaks_off_says_so(start) -> None:
    gateway = start("models: {m: {endpoint: chat--reset-mid-stream, handler: openai_chat}}")
    answer = gateway.post("/v1/chat/completions", HI | {"stream": True})
    error = json.loads(answer.data.partition(b"event: error\ndata: ")[2].partition(b"\n")[0])["error"]
    assert error["code"] == "stream_truncated"
    assert "127.0.0.1" not in error["message"]


async def test_who_reads_nothing_gives_up_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagewire.gateway.server.http_exchange.STALL_SECONDS", 0.01)

    async def send(message: object) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ClientGone):
        await EventStream(send).write(b"data: {}\n\n")


@pytest.mark.parametrize("draining", [True, False])
async def test_what_outlives_the_draining_is_told(draining: bool) -> None:
    gateway = Gateway(parse_config(ONE), open_store("sqlite://"))
    gateway.draining = draining
    sent: list[dict[str, object]] = []
    began = asyncio.Event()

    async def app(scope: object, receive: object, send: object) -> None:
        began.set()
        await asyncio.Event().wait()

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    task = asyncio.create_task(Gate(app, gateway)(scope, asyncio.Event().wait, send))
    await began.wait()
    task.cancel()
    if draining:
        await task
        assert sent[0]["status"] == 503
        assert b"shutting_down" in sent[1]["body"]
    else:
        # Whoever else cancels it wants it cancelled.
        with pytest.raises(asyncio.CancelledError):
            await task
    await gateway.close()


async def test_a_broken_file_is_seen_in_the_metrics(tmp_path, upstream: Emulator) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(ONE)
    gateway = Gateway(parse_config(ONE), open_store("sqlite://"))
    reloader = Reloader(gateway, path)
    for text, current in ((ONE + "\naliases: {a: m}", 1), ("models: {m: {endpont: x}}", 0), (ONE, 1)):
        path.write_text(text)
        assert await reloader.check() == bool(current)
        assert f"sagewire_gateway_config_current {current}.0" in gateway.metrics.text().decode()
    await gateway.close()


def test_embedding_with_a_chat_model_does_not_stop_its_chats(start, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever may only invoke endpoints cannot ask what they run.
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    gateway = start("models:\n  m: {endpoint: chat, handler: openai_chat, breaker_failures: 1}\n")
    for path, body in (("/v1/embeddings", {"input": "a"}), ("/v1/rerank", {"query": "a", "documents": ["b"]})):
        answer = gateway.post(path, {"model": "m", **body})
        assert (answer.status, answer.json()["error"]["code"]) == (502, "undetected_container")
        assert "embedding_handler" in answer.json()["error"]["message"]
    answer = gateway.post("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Hello"}]})
    assert answer.status == 200
