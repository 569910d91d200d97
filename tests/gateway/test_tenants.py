"""Tenants cannot hurt each other: models and adapters of a key, quotas, memory, secrets, web pages."""

import asyncio
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sagewire import Client
from sagewire.errors import SagewireError
from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.config import DeploymentConfig, parse_config
from sagewire.gateway.config.public_url import public_url
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key
from sagewire.gateway.quota import Quota, estimated_answer, estimated_prompt, estimated_tokens, number_of_prompts
from sagewire.gateway.rate_limits import RateLimits, Reservation
from sagewire.gateway.redaction import Redaction
from sagewire.gateway.server import header_limits
from sagewire.gateway.server.browser_guard import check_browser
from tests.cases import each

POISON = {"messages": [{"role": "user", "content": "poison"}]}
HELLO = [{"role": "user", "content": "Hello there"}]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


ROUTES = {
    "/v1/chat/completions": {"messages": HELLO},
    "/v1/completions": {"prompt": "Hello"},
    "/v1/responses": {"input": "Hello"},
    "/v1/embeddings": {"input": "Hello"},
    "/v1/rerank": {"query": "Hello", "documents": ["a"]},
}
CHOICES = [
    {"adapter": "secret"},
    *({"extra": {name: "secret"}} for name in ("model", "adapter_id", "adapters", "lora_path", "Model", "model_id")),
    {"extra": {"messages": [{"role": "user", "content": "other"}]}},
    {"extra": {"temperature": 2}},
    {"extra": {"lora": [{"id": 0, "scale": 1.0}]}},
    {"adapter_id": "secret"},
    {"adapters": "secret"},
    {"lora_request": {"lora_name": "secret"}},
    {"models": ["secret"]},
    {"extra": {"fallbacks": ["secret"]}},
    {"guardrails": ["pii"]},
    {"context_window_fallback_dict": {"a": "secret"}},
    {"inputs": "other"},
    {"api_base": "http://elsewhere"},
    {"kv_transfer_params": {"remote_host": "elsewhere"}},
    *(
        {name: "secret"}
        for name in (
            "modelName",
            "TargetModel",
            "target-model",
            " model",
            "model\0",
            "ｍｏｄｅｌ",
            "LoRA",
            "engine",
            "provider",
            "user_config",
            "litellm_params",
            "webhook_url",
            "InferenceComponentName",
        )
    ),
    {"options": {"model": "secret"}},
    {"nvext": {"plugins": [{"loraName": "secret"}]}},
    {"extra": {"vllm_xargs": {"lora_path": "secret"}}},
    # Looking at all of these would take the other callers' time.
    {"x" * 201: 1},
    {f"field_{number}": 1 for number in range(1_001)},
    {"nvext": {"inner": {f"field_{number}": 1 for number in range(10_001)}}},
    {"extra": {"nested": [[[]] for _ in range(10_001)]}},
]


def test_callers_choose_neither_model_nor_adapter_nor_server(start, vllm) -> None:
    gateway = start(
        f"""
models:
  a: {{url: "{vllm.url}", handler: openai_chat, served_model: base, embedding_handler: openai_embeddings}}
  "lora/*": {{url: "{vllm.url}", handler: openai_chat, served_model: "*"}}
keys:
  - {{name: ka, key: sk-key-a, models: [a]}}
  - {{name: kl, key: sk-key-l, models: [lora/one]}}
"""
    )
    for key, model in (("sk-key-a", "a"), ("sk-key-l", "lora/one")):
        for path, body in ROUTES.items():
            for choice in CHOICES:
                answer = gateway.post(path, {"model": model, **body, **choice}, **bearer(key))
                assert (answer.status, answer.json()["error"]["code"]) == (400, "field_not_allowed"), (path, choice)
    assert vllm.bodies == []
    # What changes neither goes through.
    fine = {
        "extra": {
            "guided_choice": ["a"],
            "guided_decoding": {"json": {"properties": {"car_model": {"type": "string"}}}},
        },
        "chat_template_kwargs": {"model_identity": "x"},
        "adapter": None,
        "models": None,
    }
    assert (
        gateway.post("/v1/chat/completions", {"model": "a", "messages": HELLO, **fine}, **bearer("sk-key-a")).status
        == 200
    )
    assert vllm.bodies[-1]["guided_choice"] == ["a"]


def test_adapters_are_names_that_a_key_allows(start, vllm) -> None:
    gateway = start(
        f"""
models:
  a: {{url: "{vllm.url}", handler: openai_chat, served_model: base, adapters: [law, health]}}
keys:
  - {{name: lawyer, key: sk-lawyer, models: [a, law]}}
  - {{name: everything, key: sk-everything}}
"""
    )
    asked = {"model": "a", "messages": HELLO}
    for key, adapter, status in (
        ("sk-lawyer", "law", 200),
        ("sk-lawyer", "health", 403),
        ("sk-everything", "health", 200),
        ("sk-everything", "other", 400),
    ):
        assert gateway.post("/v1/chat/completions", asked | {"adapter": adapter}, **bearer(key)).status == status
    assert [body["model"] for body in vllm.bodies] == ["law", "health"]


@pytest.mark.parametrize(
    ("answers", "path", "body"),
    [
        ({"/embeddings": (404, {"detail": "Not Found"})}, "/v1/embeddings", {"input": "x"}),
        ({"/embeddings": (405, {})}, "/v1/embeddings", {"input": "x"}),
        ({"/embeddings": (501, {"error": {"message": "not here"}})}, "/v1/embeddings", {"input": "x"}),
        ({"/rerank": (200, {"object": "list"})}, "/v1/rerank", {"query": "q", "documents": ["d"]}),
        ({"poison": (500, {"error": "x"})}, "/v1/chat/completions", POISON),
        ({"poison": (400, {"error": "x"})}, "/v1/chat/completions", POISON),
        ({"poison": (422, {"error": "x"})}, "/v1/chat/completions", POISON),
        ({"poison": (429, {"error": "x"})}, "/v1/chat/completions", POISON),
        # As from a server without the route: an adapter that is not loaded, an answer that cannot be read.
        ({"poison": (404, {"error": "x"})}, "/v1/chat/completions", POISON),
        ({"poison": (200, ["x"])}, "/v1/chat/completions", POISON),
    ],
)  # fmt: skip
def test_requests_of_one_key_take_no_model_from_another(start, vllm, answers, path, body) -> None:
    vllm.answers = answers
    gateway = start(
        f"""
models:
  m: {{url: "{vllm.url}", handler: openai_chat, embedding_handler: openai_embeddings, rerank_handler: vllm_rerank}}
keys: [{{name: alice, key: sk-alice}}, {{name: bob, key: sk-bob}}]
"""
    )
    for _ in range(5):
        assert gateway.post(path, {"model": "m", **body}, **bearer("sk-bob")).status >= 400
    for _ in range(3):
        assert (
            gateway.post("/v1/chat/completions", {"model": "m", "messages": HELLO}, **bearer("sk-alice")).status == 200
        )


def test_a_route_that_a_server_lacks_is_remembered(start, vllm) -> None:
    vllm.answers = {"/embeddings": (404, {"detail": "Not Found"})}
    gateway = start(f"models: {{m: {{url: '{vllm.url}', handler: openai_chat, embedding_handler: openai_embeddings}}}}")
    gateway.post("/v1/embeddings", {"model": "m", "input": "x"})
    answer = gateway.post("/v1/embeddings", {"model": "m", "input": "x"})
    assert (answer.status, answer.json()["error"]["code"]) == (404, "route_not_offered")
    assert len(vllm.bodies) == 1


@pytest.mark.parametrize(
    "first",
    [
        (501, {"detail": "logprobs are not built in"}),
        (200, {"choices": []}),
        (200, ["another shape"]),
        (
            200,
            {
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "no call"}, "finish_reason": "stop"}
                ]
            },
        ),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_the_first_request_of_all_says_nothing_about_the_route(start, vllm, first, stream: bool) -> None:
    vllm.answers = {"poison": first}
    gateway = start(
        f"models: {{m: {{url: '{vllm.url}', handler: openai_chat, attempts: 1}}}}\nkeys: [{{name: bob, key: sk-bob}}]"
    )
    tool = {"type": "function", "function": {"name": "poison", "parameters": {"type": "object", "properties": {}}}}
    must = {"tools": [tool], "tool_choice": "required", "stream": stream}
    answer = gateway.post("/v1/chat/completions", {"model": "m", "messages": HELLO, **must}, **bearer("sk-bob"))
    assert answer.status != 404
    # Its own next request, too.
    answer = gateway.post("/v1/chat/completions", {"model": "m", "messages": HELLO}, **bearer("sk-bob"))
    assert answer.status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"stop": [f"s{number}" for number in range(1000)]},
        {"stop": ["s" * 5000]},
        {"stop": "s" * 100_000},
        {"stop_sequences": "s" * 100_000},
        {"stop_sequences": [f"s{number}" for number in range(1000)]},
        {"messages": HELLO * 20_000},
        {"tools": [{"type": "function", "function": {"name": f"f{number}"}} for number in range(2000)]},
    ],
)
def test_requests_are_bounded(start, vllm, body: dict[str, Any]) -> None:
    gateway = start(f"models: {{m: {{url: '{vllm.url}', handler: openai_chat}}}}")
    assert gateway.post("/v1/chat/completions", {"model": "m", "messages": HELLO, **body}).status == 400
    assert vllm.bodies == []


def test_names_of_models_are_bounded(start, vllm) -> None:
    gateway = start(f"models: {{'*': {{url: '{vllm.url}', handler: openai_chat, served_model: base}}}}")
    long = "m" * 1_000_000
    began = time.monotonic()
    for body in ({"model": long}, {"model": "m", "fallbacks": [long] * 5}):
        answer = gateway.post("/v1/chat/completions", {"messages": HELLO, **body})
        assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert len(answer.data) < 1_000
    # To compare them with the names there are would take seconds, and stop all other requests.
    assert time.monotonic() - began < 2
    assert vllm.bodies == []
    assert gateway.post("/v1/chat/completions", {"model": "m" * 500, "messages": HELLO}).status == 200


def test_estimates() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("Hello there!") == 4
    assert estimated_tokens("你好世界") == 4
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    assert estimated_prompt({"messages": [{"role": "user", "content": [picture]}]}) < 1000
    assert estimated_prompt({"prompt": [1, 2, 3]}) == 3
    assert number_of_prompts({"prompt": ["a", "b"]}) == 2
    assert number_of_prompts({"prompt": [1, 2]}) == 1
    assert estimated_answer({"prompt": ["a", "b"], "max_tokens": 10, "n": 3}) == 60
    assert estimated_answer({"input": "a"}) == 0


async def test_tokens_are_reserved_and_settled() -> None:
    rates = RateLimits()
    key = Key("k", tokens_per_minute=1000)
    (_, first), (headers, second) = await rates.admit(key, tokens=600), await rates.admit(key, tokens=600)
    assert (first.tokens, second.tokens, headers["x-ratelimit-remaining-tokens"]) == (600, 400, "0")
    with pytest.raises(GatewayError, match="1000 tokens per minute"):
        await rates.admit(key, tokens=1)
    await rates.settle(first, 100)
    await rates.settle(second, 0)
    headers, third = await rates.admit(key, tokens=5)
    assert headers["x-ratelimit-remaining-tokens"] == "895"
    # More than was reserved counts, too.
    await rates.settle(third, 2000)
    with pytest.raises(GatewayError):
        await rates.admit(key, tokens=1)


async def test_parallel_requests_share_a_quota() -> None:
    rates = RateLimits()
    key = Key("k", tokens_per_minute=100)
    found = await asyncio.gather(*(rates.admit(key, tokens=80) for _ in range(20)), return_exceptions=True)
    reserved = [one[1].tokens for one in found if isinstance(one, tuple)]
    assert sum(reserved) == 100


async def test_each_prompt_is_a_request() -> None:
    rates = RateLimits()
    key = Key("k", requests_per_minute=10)
    await rates.admit(key, requests=8)
    with pytest.raises(GatewayError, match="10 requests per minute"):
        await rates.admit(key, requests=8)
    # More than ever are allowed would be served never, or beyond the limit.
    with pytest.raises(GatewayError, match="at most so many prompts") as refused:
        await rates.admit(Key("new", requests_per_minute=10), requests=11)
    assert refused.value.status == 400
    quota = Quota("deployment d", requests=10)
    assert isinstance(await rates.take(quota, requests=4), Reservation)
    assert isinstance(await rates.take(quota, requests=8), float)


def test_quotas_bind_where_nothing_is_counted(start, upstream) -> None:
    gateway = start(
        "models: {slow: {endpoint: slow, handler: openai_chat}}\n"
        "keys: [{name: k, key: sk-key-k, tokens_per_minute: 50}]\n"
    )
    body = {
        "model": "slow",
        "stream": True,
        "max_tokens": 40,
        "messages": [{"role": "user", "content": "one two three"}],
    }
    raw = json.dumps(body).encode()
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-key-k\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw)
    )
    port = int(gateway.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 30) as caller:
        caller.sendall(head + raw)
        assert b"200 OK" in caller.recv(4096)
        # While it runs, its tokens are set aside.
        assert gateway.post("/v1/chat/completions", body, **bearer("sk-key-k")).status == 200
        assert gateway.post("/v1/chat/completions", body, **bearer("sk-key-k")).status in (200, 429)


def test_a_server_that_repeats_headers_gives_no_token_away(start, vllm, caplog) -> None:
    token = "hf_UPSTREAM/SECRETtoken123"
    vllm.answers = {"/": lambda headers: (400, {"error": {"message": f"invalid: {headers}"}})}  # type: ignore[dict-item]
    gateway = start(
        f"models: {{m: {{url: '{vllm.url}', handler: openai_chat, token: '{token}', "
        "headers: {X-Access: open-sesame}}}"
    )
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
        answer = gateway.post(path, {"model": "m", **ROUTES[path]})
        assert token not in answer.data.decode()
        assert "open-sesame" not in answer.data.decode()
    assert token not in caplog.text
    with (
        pytest.raises(SagewireError) as caught,
        Client(url=vllm.url, token=token, handler="openai_chat", retries=1) as client,
    ):
        client.chat("Hello")
    assert token not in str(caught.value)


@pytest.mark.parametrize("status", [400, 422, 429, 500])
def test_callers_do_not_learn_where_a_server_is(start, vllm, status: int) -> None:
    host = vllm.url.removeprefix("http://")
    vllm.answers["v1"] = status, {"error": {"message": f"as {host} says"}}
    gateway = start(f"models: {{m: {{url: '{vllm.url}', handler: openai_chat, attempts: 1}}}}")
    for stream in (False, True):
        answer = gateway.post("/v1/chat/completions", {"model": "m", "messages": HELLO, "stream": stream})
        message = answer.json()["error"]["message"]
        assert message == f"the model's server answered {status}: as the model's server says"


def test_a_login_in_a_url_is_sent_as_such_and_to_nobody_else(start, vllm, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[str] = []

    def refused(headers: dict[str, str]) -> tuple[int, Any]:
        sent.append(headers["Authorization"])
        return 400, {"error": {"message": f"invalid request: {headers}"}}

    vllm.answers["poison"] = refused
    url = vllm.url.replace("://", "://svc:P4ss%21word@")
    gateway = start(f"models: {{m: {{url: '{url}', token: tok-secret, handler: openai_chat}}}}")
    gateway.loop_call(gateway.gateway.warm_up)
    answer = gateway.post("/v1/chat/completions", {"model": "m", **POISON})
    said = answer.data.decode() + caplog.text
    assert (answer.status, sent) == (400, ["Basic c3ZjOlA0c3Mhd29yZA=="])
    assert not any(secret in said for secret in ("c3ZjOlA0c3Mhd29yZA", "P4ss!word", "P4ss%21word"))


def test_redaction_reaches_all_of_an_error() -> None:
    redaction = Redaction.of(
        DeploymentConfig(url="http://me:pass-word@host/v1?api_key=query-secret", token="tok-secret")
    )
    error = GatewayError(502, "x", "sent tok-secret and query-secret")
    redaction.error(error)
    assert (str(error), error.args) == ("sent *** and ***", ("sent *** and ***",))
    assert public_url("http://me:pass-word@host:1/v1?api_key=query-secret#x") == "http://host:1/v1"
    assert DeploymentConfig(url="http://me:pass-word@host/v1?key=query-secret").label == "http://host/v1"


def test_metrics_are_for_keys_that_may_use_everything(start) -> None:
    gateway = start(
        "models: {m: {url: 'http://me:pass-word@127.0.0.1:1/?api_key=query-secret', handler: openai_chat}}\n"
        "server: {master_key: sk-master-key}\nkeys: [{name: acme, key: sk-acme, models: [m]}]"
    )
    assert gateway.get("/metrics").status == 401
    assert gateway.get("/metrics", **bearer("sk-acme")).status == 403
    text = gateway.get("/metrics", **bearer("sk-master-key")).data.decode()
    assert "deployment_healthy" in text
    assert "pass-word" not in text
    assert "query-secret" not in text


def test_the_database_file_is_private(tmp_path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/state/keys.db")
    store.add_key(Key("k", "digest"))
    files = list((tmp_path / "state").iterdir())
    assert files
    assert all(stat.S_IMODE(os.stat(file).st_mode) == 0o600 for file in files)
    store.close()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"host": "127.0.0.1:4000"}, None),
        ({"host": "localhost"}, None),
        ({"host": "[::1]:4000"}, None),
        ({"host": "app.localhost:4000", "origin": "http://localhost:3000"}, None),
        ({"host": "127.0.0.1", "origin": "https://app.example"}, None),
        ({"host": "evil.example:4000"}, "foreign_host"),
        ({"host": ""}, "foreign_host"),
        *(
            ({"host": host}, "foreign_host")
            for host in (
                "evil.example@localhost",
                "localhost?.evil.example",
                "127.1",
                "localhost%00.evil.example",
                "evil.example,127.0.0.1",
                "2130706433",
                "ｌｏｃａｌｈｏｓｔ",
                "localhost\t",
            )
        ),
        *(
            ({"host": host}, "foreign_host")
            for host in ("[::1].evil.example", "[::1]evil.example:4000", "localhost..", ".localhost", "localhost:80:80")
        ),
        ({"host": "[::ffff:127.0.0.1]:4000"}, None),
        ({"host": "localhost.:4000"}, None),
        *(
            ({"host": "localhost", "origin": origin}, "foreign_origin")
            for origin in (
                "http://evil.example\\@localhost",
                "//localhost",
                "http://\tlocalhost",
                "javascript://localhost/%0a",
            )
        ),
        ({"host": "127.0.0.1.evil.example"}, "foreign_host"),
        ({"host": "10.0.0.1"}, "foreign_host"),
        ({"host": "127.0.0.1", "origin": "https://evil.example"}, "foreign_origin"),
        ({"host": "127.0.0.1", "origin": "null"}, "foreign_origin"),
        ({"host": "127.0.0.1", "sec-fetch-site": "cross-site"}, "foreign_origin"),
        ({"host": "127.0.0.1", "content-type": "text/plain"}, "json_only"),
        ({"host": "127.0.0.1", "content-type": "multipart/form-data"}, "json_only"),
    ],
)
def test_web_pages_do_not_reach_a_gateway_without_keys(headers: dict[str, str], code: str | None) -> None:
    found = None
    try:
        check_browser("POST", {"content-type": "application/json", **headers}, ["https://app.example"])
    except GatewayError as error:
        found = error.code
    assert found == code


def test_the_guard_ends_where_keys_begin(start, vllm) -> None:
    text = f"models: {{m: {{url: '{vllm.url}', handler: openai_chat}}}}\n"
    asked = {"model": "m", "messages": HELLO}
    open_one = start(text, local_only=True)
    assert open_one.post("/v1/chat/completions", asked, host="evil.example").status == 403
    assert open_one.post("/v1/chat/completions", asked).status == 200
    locked = start(text + "keys: [{name: k, key: sk-key-k}]", local_only=True)
    assert locked.post("/v1/chat/completions", asked, host="my.example", **bearer("sk-key-k")).status == 200


@contextmanager
def connection(gateway) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), 30) as found:
        found.settimeout(30)
        yield found


def ended(caller: socket.socket, piece: bytes = b"", most: int = 0) -> bool:
    """Send until the other side has closed the connection, or `most` bytes were taken."""
    sent = 0
    try:
        while sent < most:
            sent += caller.send(piece)
        while caller.recv(65536):
            pass
    except ConnectionError:
        return True
    return sent < most or not most


LIMITS = (
    "models: {m: {url: 'http://127.0.0.1:1', handler: openai_chat}}\n"
    "keys: [{name: u, key: sk-key-u}]\nserver: {header_seconds: 0.3, max_header_bytes: 8192, access_log: false}\n"
)
STRANGER = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (STRANGER + b"0\r\n", b"X: " + b"a" * 1000 + b"\r\n"),
        (STRANGER + b"0\r\nX: ", b"a" * 4096),
        (STRANGER, b"1;" + b"x" * 4096 + b"\r\na\r\n"),
        (b"", LIVE * 1000),
        (b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" * 1000),
        (LIVE, b"GET / HTTP/1.1\r\nX: " + b"a" * 65536),
    ],
)
def test_what_strangers_send_is_bounded(start, head: bytes, piece: bytes) -> None:
    gateway = start(LIMITS)
    with connection(gateway) as caller:
        caller.sendall(head)
        assert ended(caller, piece, 40 << 20)


@pytest.mark.parametrize(
    "start_of_second",
    [b"GET / HTTP/1.1\r\nX: ", b"G", b"\r\n", STRANGER + b"5\r\nab"],
)
def test_a_second_request_must_come_in_time_too(start, start_of_second: bytes) -> None:
    gateway = start(LIMITS)
    with connection(gateway) as caller:
        caller.sendall(LIVE)
        assert b"200 OK" in caller.recv(4096)
        caller.sendall(start_of_second)
        assert ended(caller)


@each("sent", [b"G\x00T / HTTP/1.1\r\n\r\n", STRANGER + b"-5\r\n", STRANGER[:-2] + b"Content-Length: 5\r\n\r\n"])
def test_what_is_not_http_is_told_so_in_openais_shape(start, sent: bytes) -> None:
    with connection(start(LIMITS)) as caller:
        caller.sendall(sent)
        head, _, body = b"".join(iter(lambda: caller.recv(65536), b"")).rpartition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "invalid_http"


def test_a_few_requests_ahead_are_answered(start) -> None:
    with connection(start(LIMITS)) as caller:
        caller.sendall(LIVE * 5)
        found = b""
        while found.count(b"200 OK") < 5:
            found += caller.recv(65536)


def test_who_hangs_up_with_further_requests_sent_is_noticed(start, upstream, until, caplog) -> None:
    gateway = start("models: {slow: {endpoint: slow, handler: openai_chat}}")
    # Ten seconds of answer.
    asked = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "word " * 200}]}
    body = json.dumps(asked).encode()
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    started = time.monotonic()
    with connection(gateway) as caller:
        caller.sendall((head % len(body) + body) * 3)
        assert b"200 OK" in caller.recv(4096)
    until(lambda: not gateway.gateway.live)
    assert time.monotonic() - started < 8
    assert "failed" not in caplog.text
    assert len(upstream.calls) == 1


def test_a_large_chunked_body_is_no_large_header(start, vllm) -> None:
    gateway = start(
        f"models: {{m: {{url: '{vllm.url}', handler: openai_chat}}}}\n"
        "server: {max_header_bytes: 2048, access_log: false}"
    )
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 300_000}]}).encode()
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(part), part) for part in (body[at : at + 50] for at in range(0, len(body), 50))
    )
    with connection(gateway) as caller:
        caller.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunks
            + b"0\r\n\r\n"
        )
        assert b"200 OK" in caller.recv(4096)


def test_an_answer_that_is_not_read_is_given_up(start, vllm, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, lose = threading.Event(), header_limits.LimitedProtocol.connection_lost
    monkeypatch.setattr(header_limits, "READ_SECONDS", 0.2)
    monkeypatch.setattr(
        header_limits.LimitedProtocol, "connection_lost", lambda protocol, error: (lose(protocol, error), lost.set())
    )
    text = "x" * 12_000_000
    vllm.answers["chat"] = 200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    gateway = start(f"models: {{m: {{url: '{vllm.url}', handler: openai_chat}}}}")
    body = json.dumps({"model": "m", "messages": HELLO}).encode()
    asked = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with connection(gateway) as caller:
        caller.sendall(asked)
        # Nothing is read.
        assert lost.wait(30)
    # One that is read is sent whole, also to a slow reader.
    monkeypatch.setattr(header_limits, "READ_SECONDS", 60.0)
    assert text in gateway.post("/v1/chat/completions", json.loads(body)).data.decode()


def test_secrets_of_a_file_are_not_in_its_repr() -> None:
    config = parse_config("models: {m: {url: 'http://h', headers: {X-Key: open-sesame}, token: tok-secret}}")
    assert "open-sesame" not in repr(config)
    assert "tok-secret" not in repr(config)
