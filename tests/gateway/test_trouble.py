"""What goes wrong around a gateway: callers that stall, servers that vanish, a restart in the middle."""

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest
import urllib3

from sagewire.emulator import Emulator
from sagewire.gateway.accounting.database import Store, open_store
from sagewire.gateway.accounting.database_calls import DatabaseCalls
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.accounting.usage_writer import UsageWriter
from sagewire.gateway.config import load_config, parse_config
from sagewire.gateway.errors import ClientGone
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.keys import Key, digest_of
from sagewire.gateway.server.app import Gate
from sagewire.gateway.server.http_exchange import EventStream
from sagewire.gateway.server.reloading import Reloader
from sagewire.gateway.threads import BlockingCalls
from sagewire.types import Usage

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
    (deployment,) = gateway.gateway.router.models["m"].deployments
    assert str(port) in deployment.label
    assert deployment.last_error == "EndpointError: cannot connect to the model's server: connection refused"


def test_an_error_inside_an_answer_is_told_in_the_servers_words(start, vllm) -> None:
    vllm.answers = {"completions": (200, {"error": {"message": "the prompt has 9000 tokens", "code": 400}})}
    answer = start(f"models: {{m: {{url: '{vllm.url}', handler: openai_chat}}}}").post("/v1/chat/completions", HI)
    assert (answer.status, answer.json()["error"]["message"]) == (400, "the prompt has 9000 tokens")


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


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"


@pytest.mark.parametrize(
    "text",
    [
        "models: " + "[" * 3000,
        "models: " + "{a: " * 3000,
        BOMB + "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nmodels: [*e,*e,*e,*e,*e,*e,*e,*e]",
        "models: &m\n  a: *m",
        "models: {m: {endpoint: 2027-13-45}}",
        "models: {m: {endpoint: " + "9" * 10_000 + "}}",
        "models: {m: {endpoint: !!python/object:os.system x}}",
        "models: {? [a, b] : c}",
        "environment: [a]\nmodels: {m: {endpoint: a}}",
        "model_list: 5",
        "model_list: [{model_name: m, litellm_params: {model: sagemaker/e, timeout: soon}}]",
        "model_list: [{model_name: m, litellm_params: {model: sagemaker/e, rpm: [1]}}]\nrouter_settings: {timeout: x}",
        "\x00",
        "- a",
    ],
)
async def test_the_reloader_survives_any_file(tmp_path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(ONE)
    files: dict[Path, bytes] = {}
    gateway = Gateway(load_config(path, files), open_store("sqlite://"))
    reloader = Reloader(gateway, path, files)
    path.write_text(text)
    assert not await reloader.check()
    assert "not reloaded" in caplog.text
    assert gateway.metrics.config_current._value.get() == 0
    path.write_text(ONE + "\naliases: {a: m}")
    assert await reloader.check()
    assert gateway.config.aliases == {"a": "m"}
    await gateway.close()


async def test_what_needs_a_restart_is_said(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(ONE + "\nserver: {drain_seconds: 5}")
    gateway = Gateway(parse_config(ONE), open_store("sqlite://"))
    assert await Reloader(gateway, path).check()
    assert "restart the gateway" in caplog.text
    assert "drain_seconds" in caplog.text
    assert gateway.metrics.config_current._value.get() == 0
    await gateway.close()


async def test_limits_that_several_workers_cannot_count_are_not_reloaded(tmp_path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(ONE + "\nkeys: [{name: k, key: sk-key-k, requests_per_minute: 2}]")
    gateway = Gateway(parse_config(ONE), open_store("sqlite://"), workers=2)
    assert not await Reloader(gateway, path).check()
    await gateway.close()


def test_keys_with_limits_of_their_own_need_one_worker_or_redis(start) -> None:
    store = open_store("sqlite://")
    store.add_key(Key("k", digest_of("sk-key-k"), requests_per_minute=5))
    gateway = start(ONE, store, workers=2)
    answer = gateway.post("/v1/chat/completions", HI, authorization="Bearer sk-key-k")
    assert (answer.status, answer.json()["error"]["code"]) == (503, "limits_not_shared")


def test_one_deaf_server_stops_nothing_else(start, upstream: Emulator) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as deaf:
        port = deaf.getsockname()[1]
        store = open_store("sqlite://")
        store.add_key(Key("k", digest_of("sk-key-k")))
        lost = "".join(f"  lost{number}: {{url: 'http://127.0.0.1:{port}/{number}'}}\n" for number in range(20))
        gateway = start(f"models:\n  m: {{endpoint: chat, handler: openai_chat}}\n{lost}", store)
        gateway.loop_call(gateway.gateway.warm_up)
        answer = gateway.post("/v1/chat/completions", HI, authorization="Bearer sk-key-k")
        assert answer.status == 200
        assert gateway.get("/health/ready").json() == {"status": "ready"}


def test_ready_while_the_database_is_away(start, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("sqlite://")
    gateway = start(ONE, store)

    def down() -> None:
        raise StoreError("down")

    monkeypatch.setattr(store, "ping", down)
    answer = gateway.get("/health/ready")
    assert (answer.status, answer.json()["status"]) == (200, "degraded")


async def test_a_database_that_hangs_is_asked_no_more_for_a_while() -> None:
    ended = threading.Event()

    class Hanging(Store):
        asked = 0

        def __init__(self) -> None: ...

        def key(self, digest: str) -> Key | None:
            self.asked += 1
            ended.wait(30)
            return None

    store = Hanging()
    calls = DatabaseCalls(store)
    calls._calls = BlockingCalls(2, 0.02)
    for _ in range(5):
        with pytest.raises(StoreError):
            await calls.key("digest")
    assert store.asked == 1
    ended.set()


async def test_usage_survives_whatever_a_server_counts() -> None:
    store = open_store("sqlite://")
    writer = UsageWriter(store)
    for count in (2**70, -5, 2**63, 7):
        writer.note("k" * 500, "m", Usage(prompt_tokens=count, completion_tokens=1), failed=False)
    for _ in range(3):
        await writer.flush()
    writer.note("k", "m", Usage(prompt_tokens=3, completion_tokens=4), failed=False)
    await writer.flush()
    rows = {row.key_name: row for row in store.usage()}
    assert (rows["k"].prompt_tokens, rows["k"].completion_tokens) == (3, 4)
    assert rows["k" * 200].requests == 4


def test_errors_tell_web_pages_what_they_are(start) -> None:
    gateway = start(ONE + "\nserver: {cors_origins: ['https://app.example'], master_key: sk-master-key}")
    for key, model, status in (("sk-wrong", "m", 401), ("sk-master-key", "x", 404)):
        answer = gateway.post(
            "/v1/chat/completions",
            HI | {"model": model},
            origin="https://app.example",
            authorization=f"Bearer {key}",
        )
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "https://app.example")


def test_counts_that_cannot_be_true_are_none(start, vllm) -> None:
    """Of a server that counts in more than 64 bits, neither whole answers nor accounts may fail."""
    gateway = start(f"models: {{m: {{url: '{vllm.url}', handler: openai_chat}}}}")
    choice = {"index": 0, "finish_reason": "stop", "text": "ok", "message": {"role": "assistant", "content": "ok"}}
    for count in (2**63, 2**64 - 1, 1e308, 2**63 - 1):
        usage = {"prompt_tokens": count, "completion_tokens": count, "total_tokens": count}
        vllm.answers["completions"] = (200, {"choices": [choice], "usage": usage})
        for path, body in (
            ("/v1/chat/completions", {"messages": HI["messages"]}),
            ("/v1/completions", {"prompt": "Hello"}),
            ("/v1/responses", {"input": "Hello"}),
        ):
            answer = gateway.post(path, {"model": "m", **body})
            assert answer.status == 200, (path, count, answer.data)
            counted = answer.json().get("usage") or {}
            assert all(value == 0 for value in counted.values() if isinstance(value, int)), (path, count)
