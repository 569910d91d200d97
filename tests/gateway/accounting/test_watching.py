"""What can be seen of a gateway: metrics, access log, health, status, the page; and its limits."""

import contextlib
import logging
import re
import socket

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.accounting.recent_requests import RecentRequests
from sagewire.gateway.accounting.report import percentile
from sagewire.gateway.keys import Key
from sagewire.gateway.routes.reports import FILES
from tests.gateway.accounting.logs import ended

HI = {"model": "chat", "messages": [{"role": "user", "content": "Hello there"}]}
ONE = "models: {chat: {endpoint: chat, handler: openai_chat}}"


def samples(gateway) -> dict[tuple[str, ...], float]:
    text = gateway.get("/metrics").data.decode()
    return {
        (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics(start, until) -> None:
    gateway = start(ONE + "\nserver: {access_log: false}")
    for stream in (False, True):
        gateway.post("/v1/chat/completions", HI | {"stream": stream})
    gateway.post("/v1/chat/completions", HI | {"model": "made-up-" * 50})
    until(lambda: ("sagewire_gateway_refused_total", "code=model_not_found") in samples(gateway))
    found = samples(gateway)
    name = "sagewire_gateway_requests_total"
    assert found[(name, "model=chat", "route=chat", "status=200")] == 2
    # A name that callers make up is no label.
    assert found[(name, "model=", "route=chat", "status=404")] == 1
    assert found[("sagewire_gateway_first_token_seconds_count", "model=chat")] == 1
    assert found[("sagewire_gateway_request_seconds_count", "model=chat", "route=chat")] == 2
    assert found[("sagewire_gateway_tokens_total", "key=open", "kind=completion", "model=chat")] > 0
    assert found[("sagewire_gateway_refused_total", "code=model_not_found")] == 1
    assert found[("sagewire_gateway_deployment_healthy", "deployment=chat", "model=chat")] == 1
    assert found[("sagewire_gateway_in_flight",)] == 1  # this very request


def test_upstream_errors_are_counted_also_where_a_retry_helped(start) -> None:
    gateway = start("models: {m: {endpoint: chat--unavailable-1, handler: openai_chat}}")
    assert gateway.post("/v1/chat/completions", HI | {"model": "m"}).status == 200
    errors = [value for key, value in samples(gateway).items() if key[0] == "sagewire_gateway_upstream_errors_total"]
    assert errors == [1]


def test_metrics_behind_a_key(start) -> None:
    gateway = start(ONE + "\nserver: {master_key: sk-master-key, metrics_need_key: true}")
    assert gateway.get("/metrics").status == 401
    assert gateway.get("/metrics", authorization="Bearer sk-master-key").status == 200


def test_access_log(start, until, caplog: pytest.LogCaptureFixture) -> None:
    gateway = start(ONE)
    with caplog.at_level(logging.INFO, "sagewire.gateway.access"):
        gateway.post("/v1/chat/completions", HI, x_request_id="abc")
        gateway.post("/v1/chat/completions", HI | {"temperature": "x"}, authorization="Bearer hush")
        gateway.get("/health/live")
        gateway.get("/v1/models")
        # A request is over, and logged, a moment after its last byte.
        until(lambda: sum(record.name.endswith(".access") for record in caplog.records) >= 3)
    lines = [orjson.loads(record.message) for record in caplog.records if record.name == "sagewire.gateway.access"]
    assert [line["path"] for line in lines] == ["/v1/chat/completions", "/v1/chat/completions", "/v1/models"]
    good, bad, _ = lines
    assert good["request_id"] == "abc"
    assert (good["status"], good["model"], good["key"], good["deployment"]) == (200, "chat", "open", "chat")
    assert good["completion_tokens"] > 0
    assert good["upstream_request_id"]
    assert (bad["status"], bad["error"]) == (400, "BadRequest")
    assert "hush" not in caplog.text
    assert "Hello there" not in caplog.text


def test_health(start) -> None:
    gateway = start(ONE + "\nserver: {master_key: sk-master-key}")
    assert gateway.get("/health/live").json() == {"status": "alive"}
    assert gateway.get("/health/ready").json() == {"status": "ready"}
    assert gateway.get("/health/liveliness").status == 200
    gateway.gateway.draining = True
    assert gateway.get("/health/ready").status == 503
    assert gateway.get("/health/live").status == 200


def test_status_shows_a_key_only_its_own(start) -> None:
    gateway = start(
        ONE + "\nserver: {master_key: sk-master-key}\nkeys: [{name: team, key: sk-team}, {name: none, key: sk-none,"
        " models: []}, {name: master, key: sk-sounds-like-it}]"
    )
    assert gateway.get("/status").status == 401
    whole = gateway.get("/status", authorization="Bearer sk-master-key").json()
    assert whole["models"][0]["deployments"][0]["name"] == "chat"
    for key in ("sk-team", "sk-sounds-like-it"):
        seen = gateway.get("/status", authorization=f"Bearer {key}").json()
        assert seen["models"][0]["deployments"][0]["name"] == "deployment 1"
    assert gateway.get("/status", authorization="Bearer sk-none").json()["models"] == []


def test_the_page_loads_nothing_from_elsewhere(start) -> None:
    gateway = start(ONE)
    answer = gateway.get("/")
    text = answer.data.decode()
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    files = re.findall(r"""(?:src|href)=["'](?!data:)(.*?)["']""", text)
    assert all(file.startswith("/page/") for file in files)
    for file in FILES:
        found = gateway.get(f"/page/{file}")
        assert (found.status, found.headers["x-content-type-options"]) == (200, "nosniff")
        assert b"innerHTML" not in found.data
        assert not re.findall(rb"https?://(?!www\.w3\.org/2000/svg)", found.data)
    for other in ("secret", "..%2fgateway.py", "__init__.py"):
        assert gateway.get(f"/page/{other}").status == 404
    for element in ("<main", "<h1", 'lang="en"', 'role="log"'):
        assert element in text


def test_usage_over_time_and_recent_requests(start, until) -> None:
    keys = "keys: [{name: a, key: sk-a}, {name: b, key: sk-b}]\nserver: {master_key: sk-master-key}"
    gateway = start(f"{ONE[:-2]}, input_cost_per_token: 0.01}}}}\n{keys}")
    master = {"authorization": "Bearer sk-master-key"}
    for key in ("a", "a", "b"):
        gateway.post("/v1/chat/completions", HI, authorization=f"Bearer sk-{key}")
    gateway.post("/v1/chat/completions", HI | {"temperature": "x"}, authorization="Bearer sk-b")

    def report(query: str = "", **headers: str) -> dict:
        return gateway.get(f"/status/usage?{query}", **(headers or master)).json()

    until(lambda: report()["total"]["requests"] == 4)
    whole = report()
    assert len(whole["series"]) == 24
    assert (whole["series"][-1]["requests"], whole["series"][0]["requests"]) == (4, 0)
    assert {one["name"]: (one["requests"], one["failures"]) for one in whole["keys"]} == {"a": (2, 0), "b": (2, 1)}
    assert whole["total"]["cost"] == 0.01 * whole["total"]["prompt_tokens"]
    assert 0 < whole["total"]["p50"] <= whole["total"]["p95"]
    assert report("key=b&hours=720")["total"]["requests"] == 2
    # A key sees its own only, whatever it asks for.
    assert [one["name"] for one in report("key=b", authorization="Bearer sk-a")["keys"]] == ["a"]
    requests = gateway.get("/status/requests?key=b", **master).json()["requests"]
    assert [(one["key"], one["status"], one["error"]) for one in requests] == [
        ("b", 400, "BadRequest"),
        ("b", 200, None),
    ]
    assert "Hello there" not in str(requests)
    assert len(gateway.get("/status/requests?failed=1", **master).json()["requests"]) == 1
    assert len(gateway.get("/status/requests?key=b", authorization="Bearer sk-a").json()["requests"]) == 2
    for path in ("/status/usage?hours=5", "/status/requests?limit=0", "/status/requests?limit=x"):
        assert gateway.get(path, **master).status == 400
        assert gateway.get(path).status == 401


def test_recent_requests_are_bounded() -> None:
    recent = RecentRequests(open_store("sqlite://"))
    for number in range(700):
        log = ended(f"req-{number}", route="chat", key=Key("k"), error=None if number % 2 else "broken")
        recent.note(log, "m")
        if number % 50 == 49:
            recent.write(recent.take())
    for _ in range(600):
        recent.note(ended("good", route="chat", key=Key("k")), "m")
    rows = recent.take()
    assert len(rows) == 50
    for _ in range(10):
        recent.write(rows)
    # Those that failed are not pushed out by others.
    assert len(recent.newest(limit=2000)) == 500 + 350
    assert len(recent.newest(failed=True, limit=2000)) == 350


def test_percentiles() -> None:
    assert percentile((0,) * 12, 0.5) is None
    assert percentile((10,) + (0,) * 11, 0.5) == 0.025
    assert percentile((0,) * 11 + (3,), 0.95) == 100.0
    assert percentile((0, 0, 0, 90, 10, 0, 0, 0, 0, 0, 0, 0), 0.95) == 0.75


def test_bodies_have_a_limit(start) -> None:
    gateway = start(ONE + "\nserver: {max_body_bytes: 2000}")
    answer = gateway.post("/v1/chat/completions", HI | {"user": "x" * 3000})
    assert (answer.status, answer.json()["error"]["code"]) == (413, "request_too_large")
    # Without Content-Length, the bytes are counted.
    with socket.create_connection(_address(gateway)) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.sendall(b"7d0\r\n" + b"x" * 2000 + b"\r\n7d0\r\n" + b"x" * 2000 + b"\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_headers_have_a_limit(start) -> None:
    gateway = start(ONE + "\nserver: {max_header_bytes: 2000}")
    assert gateway.get("/v1/models", x_padding="x" * 1000).status == 200
    assert gateway.get("/v1/models", x_padding="x" * 2500).status == 431
    with socket.create_connection(_address(gateway)) as connection:
        connection.settimeout(5)
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-endless: ")
        received = b""
        try:
            for _ in range(1000):
                connection.sendall(b"x" * 1000)
        except OSError:
            pass
        try:
            received = connection.recv(4096)
        except OSError:
            return  # the reset overtook the answer
        assert received.startswith(b"HTTP/1.1 431")


def test_headers_have_a_deadline(start) -> None:
    gateway = start(ONE + "\nserver: {header_seconds: 0.2}")
    with socket.create_connection(_address(gateway)) as connection:
        connection.settimeout(5)
        connection.sendall(b"GET /v1/models HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    assert gateway.get("/v1/models").status == 200


def test_garbage_is_answered_in_openais_envelope(start) -> None:
    gateway = start(ONE)
    for path, body, status in (
        ("/v1/chat/completions", [], 400),
        ("/v1/chat/completions", {}, 400),
        ("/v1/chat/completions", {"model": 5}, 400),
        ("/v1/chat/completions", {"model": "chat"}, 400),
        ("/v1/chat/completions", {"model": "chat", "messages": [{"role": "poet"}]}, 400),
        ("/v1/chat/completions", {"model": "chat", "messages": [5]}, 400),
        ("/v1/chat/completions", HI | {"tools": [5]}, 400),
        ("/v1/chat/completions", HI | {"stream": "yes"}, 400),
        ("/v1/completions", {"model": "chat", "prompt": {}}, 400),
        ("/v1/embeddings", {"model": "chat", "input": [[1, 2]]}, 400),
        ("/v1/rerank", {"model": "chat"}, 400),
        ("/v1/responses", {"model": "chat", "input": 5}, 400),
        ("/v1/nothing", {}, 404),
        ("/v1/models", {}, 405),
    ):
        answer = gateway.post(path, body)
        assert answer.status == status, (path, body, answer.data)
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert answer.headers["x-request-id"]


def test_cors_is_off_unless_configured(start) -> None:
    assert "access-control-allow-origin" not in start(ONE).get("/v1/models", origin="https://x").headers
    gateway = start(ONE + "\nserver: {cors_origins: ['https://x']}")
    assert gateway.get("/v1/models", origin="https://x").headers["access-control-allow-origin"] == "https://x"
    assert "access-control-allow-origin" not in gateway.get("/v1/models", origin="https://y").headers


def test_spans_continue_the_callers_trace(start, until, telemetry) -> None:
    spans, _ = telemetry
    number = "0af7651916cd43dd8448eb211c80319c"
    start(ONE).post("/v1/chat/completions", HI, traceparent=f"00-{number}-b7ad6b7169203331-01")
    until(lambda: any(span.name == "POST /v1/chat/completions" for span in spans.get_finished_spans()))
    span = next(span for span in spans.get_finished_spans() if span.name == "POST /v1/chat/completions")
    assert f"{span.context.trace_id:032x}" == number
    assert span.attributes["gen_ai.request.model"] == "chat"
    assert span.attributes["gen_ai.usage.output_tokens"] > 0
    assert "Hello there" not in str(span.to_json())


def _address(gateway) -> tuple[str, int]:
    host, port = gateway.url.removeprefix("http://").split(":")
    return host, int(port)
