"""`sagewire gateway` and `sagewire keys` as processes: refusing, reloading, draining, several workers."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest
import urllib3
from click.testing import Result
from typer.testing import CliRunner

from sagewire.cli import app
from sagewire.errors import UsageError
from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.config import parse_config
from sagewire.gateway.server.run import Plan, check_address, check_limits, is_loopback

Until = Callable[..., Any]
BROKEN = "  broken: {endpoint: chat--container-error-500, handler: openai_chat, breaker_failures: 1, attempts: 1}\n"
HI = [{"role": "user", "content": "Hello there"}]
CHAT = "models:\n  chat: {endpoint: chat, handler: openai_chat}\n  slow: {endpoint: slow, handler: openai_chat}\n"


class Process:
    """A gateway in a process of its own."""

    def __init__(self, log: Path, *arguments: str, **environment: str) -> None:
        self._log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sagewire", "gateway", "--port", "0", *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment},
            )
        self.url = ""
        for line in self.process.stdout:
            found = re.search(r"base_url=(\S+)/v1,", line)
            if found:
                self.url = found[1]
            if line.startswith("In a browser"):
                return
        raise AssertionError(self.errors())

    def errors(self) -> str:
        return self._log.read_text()

    def models(self) -> list[str]:
        answer = urllib3.request(
            "GET", f"{self.url}/v1/models", retries=urllib3.Retry(8, backoff_factor=0.1), timeout=60
        )
        return [model["id"] for model in answer.json()["data"]]

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="x", max_retries=3)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode


@pytest.fixture
def launch(upstream, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def start(*arguments: str, **environment: str) -> Process:
        log = tmp_path / f"gateway-{len(running)}.log"
        running.append(Process(log, *arguments, XDG_STATE_HOME=str(tmp_path / "state"), **environment))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            # Workers too, or they would keep the pipes open.
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.communicate()


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"NO_COLOR": "1", "COLUMNS": "200"})


def test_reloading_and_draining(launch: Callable[..., Process], until: Until, tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(CHAT)
    gateway = launch("--config", str(path))
    assert gateway.models() == ["chat", "slow"]
    with gateway.client() as client:
        words = " ".join(map(str, range(40)))
        stream = iter(
            client.chat.completions.create(model="slow", messages=[{"role": "user", "content": words}], stream=True)
        )
        text = next(stream).choices[0].delta.content or ""
        path.write_text(CHAT.replace("chat:", "renamed:", 1))
        until(lambda: gateway.models() == ["renamed", "slow"])
        path.write_text("models: {chat: {endpont: x}}")
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: "not reloaded" in gateway.errors())
        assert gateway.models() == ["renamed", "slow"]
        # SIGTERM while the stream is still being written: it ends as if nothing had happened.
        gateway.process.send_signal(signal.SIGTERM)
        text += "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert words in text
    out, _ = gateway.process.communicate(timeout=20)
    assert gateway.process.returncode == 0
    assert "did you mean 'endpoint'" in gateway.errors()
    assert '"path":"/v1/chat/completions"' in out


@pytest.mark.slow
def test_several_workers(launch: Callable[..., Process], until: Until, tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(CHAT + BROKEN)
    gateway = launch("--config", str(path), "--workers", "2")
    with gateway.client() as client:
        for _ in range(6):
            assert client.chat.completions.create(model="chat", messages=HI).choices[0].message.content
    counted = 'sagewire_gateway_requests_total{model="chat",route="chat",status="200"} 6.0'

    def metrics() -> str:
        return urllib3.request("GET", f"{gateway.url}/metrics", timeout=60).data.decode()

    # Whichever worker answers, the numbers are those of both.
    until(lambda: all(counted in metrics() for _ in range(4)))

    def status() -> dict[str, Any]:
        # A connection each, so that both workers answer.
        headers = {"connection": "close"}
        return urllib3.request("GET", f"{gateway.url}/status", headers=headers, timeout=60).json()

    def state() -> str:
        return {model["name"]: model["deployments"][0]["state"] for model in status()["models"]}["broken"]

    body = {"model": "broken", "messages": HI}
    urllib3.request("POST", f"{gateway.url}/v1/chat/completions", json=body, retries=False, timeout=60)
    until(lambda: all(state() == "circuit_open" for _ in range(8)))
    with gateway.client() as client:
        stream = client.chat.completions.create(
            model="slow", messages=[{"role": "user", "content": "word " * 600}], stream=True
        )
        until(lambda: all(status()["live"] == 1 for _ in range(8)))
        stream.close()
    assert status()["workers_known"] == 2
    path.write_text(CHAT.replace("chat:", "renamed:", 1))
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: all(gateway.models() == ["renamed", "slow"] for _ in range(6)))
    assert gateway.end() == 0


@pytest.mark.slow
def test_a_key_added_beside_several_workers(launch: Callable[..., Process], tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"{CHAT}\nserver: {{master_key: sk-master, database_url: 'sqlite:///{tmp_path}/keys.db'}}")
    gateway = launch("--config", str(path), "--workers", "2")
    key = command("keys", "add", "alice", "--config", str(path), "--rpm", "4").stdout.strip()
    statuses = []
    for _ in range(10):
        # A connection each, so that both workers answer.
        answer = urllib3.request(
            "POST",
            f"{gateway.url}/v1/chat/completions",
            json={"model": "chat", "messages": HI},
            headers={"authorization": f"Bearer {key}", "connection": "close"},
            retries=False,
            timeout=60,
        )
        statuses.append(answer.status)
    assert sorted(statuses) == [200] * 4 + [429] * 6
    assert gateway.end() == 0


@pytest.mark.slow
def test_endpoints_without_a_file(launch: Callable[..., Process], upstream) -> None:
    gateway = launch("-e", "mine=chat", "-e", f"direct={upstream.container_url('chat')}", "-e", "tgi")
    assert gateway.models() == ["direct", "mine", "tgi"]
    with gateway.client() as client:
        for model in ("mine", "direct"):
            reply = client.chat.completions.create(model=model, messages=HI)
            assert "Hello there" in reply.choices[0].message.content
    assert gateway.end(signal.SIGINT) == 130


@pytest.mark.slow
def test_demo_needs_no_aws(launch: Callable[..., Process]) -> None:
    gateway = launch("--demo", AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    with gateway.client() as client:
        for model in ("chat", "tgi"):
            question = [{"role": "user", "content": "The sky is blue. What is blue?"}]
            assert client.chat.completions.create(model=model, messages=question).choices[0].message.content
        assert client.embeddings.create(model="embedding", input="x").data[0].embedding
        with pytest.raises(openai.BadRequestError, match="embed"):
            client.embeddings.create(model="chat", input="x")


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("models:\n  chat:\n    endpont: x\n")
    checked = command("gateway", "--config", str(path), "--check")
    assert checked.exit_code == 2
    assert f"{path}, line 3: models.chat.endpont: unknown key; did you mean 'endpoint'?" in checked.stderr
    assert "Traceback" not in checked.stderr
    path.write_text(CHAT)
    assert command("gateway", "--config", str(path), "--check").exit_code == 0
    for arguments, says in (
        ((), "give one of --config"),
        (("--endpoint", "x", "--host", "0.0.0.0"), "--insecure"),
        (("--endpoint", "x", "--host", "192.0.2.1", "--insecure"), "cannot listen"),
        (("--config", str(tmp_path / "none")), "cannot read"),
    ):
        done = command("gateway", *arguments)
        assert (done.exit_code, says in done.stderr) == (2, True), done.stderr


def test_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.8.8.8")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.com")))
    config = parse_config(CHAT)
    with pytest.raises(UsageError, match="without keys everyone"):
        check_address(Plan(config, host="0.0.0.0"), with_keys=False)
    check_address(Plan(config, host="0.0.0.0", insecure=True), with_keys=False)
    check_address(Plan(config, host="0.0.0.0"), with_keys=True)
    limited = parse_config(CHAT + "keys: [{name: k, key: sk-key, requests_per_minute: 1}]")
    with pytest.raises(UsageError, match="redis_url"):
        check_limits(Plan(limited, workers=2), open_store("sqlite://"))
    check_limits(Plan(limited), open_store("sqlite://"))


def test_keys(tmp_path: Path, start, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "gateway.yaml"
    path.write_text(CHAT)
    made = command("keys", "add", "team", "-c", str(path), "--models", "chat", "--expires", "90d", "--rpm", "50")
    secret = made.stdout.strip()
    assert secret.startswith("sk-sagewire-")
    assert "team" in command("keys", "list").stdout
    assert command("keys", "add", "x", "-c", str(path), "--models", "nope").exit_code == 2
    assert command("keys", "add", "x", "--expires", "soon").exit_code == 2
    assert command("keys", "add", "a\nb").exit_code == 2
    gateway = start(CHAT, open_store())
    with openai.OpenAI(base_url=gateway.url, api_key=secret, max_retries=0) as client:
        client.chat.completions.create(model="chat", messages=HI)
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model="slow", messages=HI)
    stranger = openai.OpenAI(base_url=gateway.url, api_key="x", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    until(lambda: '"key":"team","model":"chat","requests":1' in command("keys", "usage", "--json").stdout)
    assert command("keys", "block", "team").stdout == "team is blocked.\n"
    (listed,) = json.loads(command("keys", "list", "--json").stdout)
    assert (listed["blocked"], listed["requests_per_minute"]) == (True, 50)
    assert command("keys", "unblock", "team").exit_code == 0
    assert not json.loads(command("keys", "list", "--json").stdout)[0]["blocked"]
    assert command("keys", "block", "nobody").exit_code == 2
    path.write_text(path.read_text() + "keys: [{name: x, key: sk-x}]\n")
    assert command("keys", "add", "x", "-c", str(path)).exit_code == 2
    assert command("keys", "add", "few", "--max-parallel", "3").exit_code == 0
    assert command("keys", "revoke", "team").exit_code == 0
    assert command("keys", "revoke", "team").exit_code == 2
    stored = (tmp_path / "state/sagewire/gateway.db").read_bytes()
    assert secret.encode() not in stored


def test_keys_for_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "gateway.yaml"
    path.write_text("models: {'any-*': {endpoint: '*'}}")
    assert command("keys", "add", "team", "-c", str(path), "--models", "any-*,any-chat").exit_code == 0
    refused = command("keys", "add", "x", "-c", str(path), "--models", "any-a!")
    assert (refused.exit_code, "there is no model 'any-a!'" in refused.stderr) == (2, True)


def test_public_names() -> None:
    import sagewire.gateway

    for name in sagewire.gateway.__all__:
        assert getattr(sagewire.gateway, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Gatway'"):
        sagewire.gateway.Gatway  # noqa: B018


def test_two_endpoints_of_one_name_are_an_error() -> None:
    for first, second in (("http://h:8001/v1", "http://h:8002/v1"), ("m=east", "m=west")):
        refused = command("gateway", "--check", "-e", first, "-e", second)
        assert (refused.exit_code, "MODEL=URL" in " ".join(refused.stderr.split())) == (2, True)
    fine = command("gateway", "--check", "-e", "http://gpu1:8000/v1", "-e", "http://gpu2:8000/v1")
    assert (fine.exit_code, "gpu1, gpu2" in fine.stdout) == (0, True)


def test_a_date_means_the_end_of_that_day(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(CHAT + f"server: {{database_url: 'sqlite:///{tmp_path}/keys.db'}}\n")
    today = datetime.now(UTC).date().isoformat()
    made = command("keys", "add", "bob", "-c", str(path), "--expires", today)
    assert "keys.db" in made.stderr
    (listed,) = json.loads(command("keys", "list", "-c", str(path), "--json").stdout)
    assert listed["expired"] is False
    text = f"models: {{m: {{endpoint: e}}}}\nkeys: [{{name: b, key: k, expires: {today}}}]"
    assert parse_config(text).keys[0].expires.isoformat() == listed["expires"]
