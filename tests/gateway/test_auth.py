"""Keys: who gets in, what for, how much, and what is written down of it."""

import hashlib
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
import sqlalchemy as sa

from sagewire.errors import UsageError
from sagewire.gateway.accounting.database import Store, default_url, open_store
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.accounting.tables import UsageRow
from sagewire.gateway.accounting.usage_writer import UsageWriter
from sagewire.gateway.auth import Authenticator
from sagewire.gateway.config import parse_config
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key, digest_of, new_secret
from sagewire.types import Usage

HI = {"model": "chat", "messages": [{"role": "user", "content": "Hello there"}]}
KEYS = f"""
models:
  chat: {{endpoint: chat, handler: openai_chat}}
  tgi: {{endpoint: tgi, handler: tgi, format: chatml}}
aliases: {{friendly: tgi}}
server: {{master_key: sk-master-key}}
keys:
  - {{name: team, key: sk-team}}
  - {{name: hashed, sha256: {hashlib.sha256(b"sk-hashed").hexdigest()}}}
  - {{name: chat-only, key: sk-chat, models: [chat]}}
  - {{name: alias-only, key: sk-alias, models: [friendly]}}
  - {{name: old, key: sk-old, expires: 2020-01-01}}
  - {{name: slow, key: sk-slow, requests_per_minute: 2}}
  - {{name: short, key: sk-short, tokens_per_minute: 10}}
"""


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_who_gets_in(start) -> None:
    gateway = start(KEYS)
    for headers in (bearer("sk-master-key"), bearer("sk-team"), bearer("sk-hashed"), {"api_key": "sk-team"}):
        assert gateway.post("/v1/chat/completions", HI, **headers).status == 200
    for headers, says in (
        ({}, "no API key"),
        (bearer(""), "no API key"),
        (bearer("sk-wrong"), "not known"),
        ({"authorization": "Basic sk-team"}, "no API key"),
        (bearer("sk-old"), "expired"),
        (bearer(hashlib.sha256(b"sk-hashed").hexdigest()), "not known"),
    ):
        answer = gateway.post("/v1/chat/completions", HI, **headers)
        assert answer.status == 401
        assert says in answer.json()["error"]["message"]
        assert answer.headers["www-authenticate"] == "Bearer"
    client = openai.OpenAI(base_url=gateway.url, api_key="nope", max_retries=0)
    with client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_models_of_a_key(start) -> None:
    gateway = start(KEYS)
    assert gateway.post("/v1/chat/completions", HI | {"model": "tgi"}, **bearer("sk-chat")).status == 403
    listed = gateway.get("/v1/models", **bearer("sk-chat")).json()["data"]
    assert [model["id"] for model in listed] == ["chat"]
    assert gateway.post("/v1/chat/completions", HI | {"model": "friendly"}, **bearer("sk-alias")).status == 200
    assert gateway.post("/v1/chat/completions", HI | {"model": "tgi"}, **bearer("sk-alias")).status == 403
    unknown = gateway.post("/v1/chat/completions", HI | {"model": "x"}, **bearer("sk-chat"))
    assert "known: chat" in unknown.json()["error"]["message"]
    assert "tgi" not in unknown.json()["error"]["message"]


def test_the_body_of_a_stranger_is_not_read(start) -> None:
    gateway = start(KEYS)
    assert gateway.post("/v1/chat/completions", "not even an object", **bearer("sk-wrong")).status == 401


def test_requests_per_minute(start) -> None:
    gateway = start(KEYS)
    answers = [gateway.post("/v1/chat/completions", HI, **bearer("sk-slow")) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert gateway.post("/v1/chat/completions", HI, **bearer("sk-team")).status == 200


def test_tokens_per_minute_count_streams_and_hang_ups(start) -> None:
    gateway = start(KEYS)
    long = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "many words " * 20}]}
    first = gateway.post("/v1/chat/completions", long, **bearer("sk-short"))
    assert first.status == 200
    assert first.headers["x-ratelimit-limit-tokens"] == "10"
    # The tokens are counted when the answer has gone out.
    assert 429 in [gateway.post("/v1/chat/completions", HI, **bearer("sk-short")).status for _ in range(5)]


def test_usage_is_written_down(start, until, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    gateway = start(KEYS, open_store(url))
    for stream in (False, True):
        assert gateway.post("/v1/chat/completions", HI | {"stream": stream}, **bearer("sk-team")).status == 200
    gateway.post("/v1/chat/completions", HI | {"temperature": "x"}, **bearer("sk-team"))
    # Written by the gateway's own loop, every other second; a second reader of the same file sees it.
    reader = open_store(url)
    until(lambda: sum(row.requests for row in reader.usage(key_name="team")) >= 3)
    (row,) = reader.usage(key_name="team")
    assert (row.model, row.requests, row.failures, row.unmetered) == ("chat", 3, 1, 0)
    assert row.completion_tokens > 0
    assert row.prompt_tokens > 0


def test_keys_in_the_database(start) -> None:
    store = open_store("sqlite://")
    secret = new_secret()
    store.add_key(Key("db", digest_of(secret), ("chat",), datetime.now(UTC) + timedelta(days=1), 5, None))
    gateway = start("models: {chat: {endpoint: chat, handler: openai_chat}}", store)
    assert gateway.post("/v1/chat/completions", HI).status == 401
    answer = gateway.post("/v1/chat/completions", HI, **bearer(secret))
    assert (answer.status, answer.headers["x-ratelimit-limit-requests"]) == (200, "5")
    assert secret not in json.dumps([repr(key) for key in store.all_keys()])


def test_reloading_never_opens_a_gateway(start, until) -> None:
    gateway = start(KEYS)
    done = []
    without = parse_config("models: {chat: {endpoint: chat, handler: openai_chat}}")
    gateway.loop_call(lambda: (gateway.gateway.reload(without), done.append(True)))
    until(lambda: done)
    assert gateway.post("/v1/chat/completions", HI).status == 401


class _Broken(Store):
    def __init__(self) -> None:
        self.works = True

    def key(self, digest: str) -> Key | None:
        if not self.works:
            raise StoreError("down")
        return Key("k", digest) if digest == digest_of("good") else None


async def test_known_keys_stay_good_while_the_database_is_away() -> None:
    now = [0.0]
    store = _Broken()
    access = Authenticator(parse_config("models: {m: {endpoint: e}}"), store, required=True, clock=lambda: now[0])
    assert (await access.authenticate(bearer("good"))).name == "k"
    store.works = False
    now[0] = 100.0
    assert (await access.authenticate(bearer("good"))).name == "k"
    with pytest.raises(GatewayError) as caught:
        await access.authenticate(bearer("never seen"))
    assert caught.value.status == 503
    now[0] = 10_000.0
    with pytest.raises(GatewayError):
        await access.authenticate(bearer("good"))


async def test_a_revoked_key_is_noticed() -> None:
    now = [0.0]
    store = open_store("sqlite://")
    store.add_key(Key("k", digest_of("good")))
    access = Authenticator(parse_config("models: {m: {endpoint: e}}"), store, required=True, clock=lambda: now[0])
    assert (await access.authenticate(bearer("good"))).name == "k"
    assert store.remove_key("k")
    assert not store.remove_key("k")
    now[0] = 16.0
    with pytest.raises(GatewayError):
        await access.authenticate(bearer("good"))


def test_store_refuses_doubles_and_other_databases(tmp_path: Path, monkeypatch) -> None:
    store = open_store(f"sqlite:///{tmp_path}/a/b/keys.db")
    store.add_key(Key("k", digest_of("a")))
    with pytest.raises(UsageError, match="already"):
        store.add_key(Key("k", digest_of("b")))
    for url, says in (("mysql://x", "SQLite or PostgreSQL"), ("nonsense", "cannot be read")):
        with pytest.raises(UsageError, match=says):
            open_store(url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_url() == f"sqlite:///{tmp_path}/sagewire/gateway.db"
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="database_url"):
        open_store(f"sqlite:///{tmp_path}/file/x/keys.db")


async def test_usage_survives_a_database_that_is_away(tmp_path: Path) -> None:
    store = open_store("sqlite://")
    usage_writer = UsageWriter(store, clock=lambda: datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    usage_writer.note("k", "m", Usage(1, 2), failed=False)
    with store._engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE sagewire_usage RENAME TO away"))
    await usage_writer.flush()
    with store._engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO sagewire_usage"))
    usage_writer.note("k", "m", None, failed=False)
    await usage_writer.flush()
    await usage_writer.flush()
    assert store.usage() == [UsageRow(datetime(2026, 1, 2, 3, tzinfo=UTC), "k", "m", 2, 0, 1, 1, 2)]


async def test_a_known_key_does_not_wait_for_a_database_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagewire.gateway.auth.KNOWN_WAITS", 0.01)
    now, ended, asked = [0.0], threading.Event(), []

    class Hanging(_Broken):
        def key(self, digest: str) -> Key | None:
            if not self.works:
                asked.append(digest)
                ended.wait(60)
            return super().key(digest)

    store = Hanging()
    access = Authenticator(parse_config("models: {m: {endpoint: e}}"), store, required=True, clock=lambda: now[0])
    assert (await access.authenticate(bearer("good"))).name == "k"
    store.works, now[0] = False, 100.0
    assert {(await access.authenticate(bearer("good"))).name for _ in range(5)} == {"k"}
    assert (access.known_keys_seconds, access.needs_database) == (500.0, True)
    # Asked once for all of them.
    assert asked == [digest_of("good")]
    store.works = True
    ended.set()


async def test_keys_are_remembered_before_they_are_used() -> None:
    now, store = [0.0], open_store("sqlite://")
    for name in ("kept", "revoked"):
        store.add_key(Key(name, digest_of(name)))
    access = Authenticator(parse_config("models: {m: {endpoint: e}}"), store, required=True, clock=lambda: now[0])
    await access.refresh()
    assert store.remove_key("revoked")
    now[0] = 60.0
    await access.refresh()
    store.close()
    store.key = lambda *_: (_ for _ in ()).throw(StoreError("down"))  # type: ignore[method-assign]
    now[0] = 600.0
    assert (await access.authenticate(bearer("kept"))).name == "kept"
    with pytest.raises(GatewayError) as caught:
        await access.authenticate(bearer("revoked"))
    assert caught.value.status == 503


async def test_a_key_that_changes_while_all_are_read_is_not_remembered_as_it_was(monkeypatch) -> None:
    store = open_store("sqlite://")
    store.add_key(before := Key("k", digest_of("good")))
    access = Authenticator(parse_config("models: {m: {endpoint: e}}"), store, required=True)
    read = store.all_keys

    def block_meanwhile(*args: Any, **options: Any) -> list[Key]:
        found = read(*args, **options)
        assert store.update_key(replace(before, blocked=True), before)
        access.forget(before.digest)
        return found

    monkeypatch.setattr(store, "all_keys", block_meanwhile)
    await access.refresh()
    with pytest.raises(GatewayError, match="blocked"):
        await access.authenticate(bearer("good"))


@pytest.mark.parametrize("master", [False, True])
async def test_readiness_after_the_grace(start, master: bool) -> None:
    store = open_store("sqlite://")
    store.add_key(Key("k", digest_of("sk-key-k")))
    only = "models: {chat: {endpoint: chat, handler: openai_chat}}\n"
    gateway = start(only + ("server: {master_key: sk-master-key}" if master else ""), store)
    store.close()
    store.ping = store.key = lambda *_: (_ for _ in ()).throw(StoreError("down"))  # type: ignore[method-assign]
    answer = gateway.get("/health/ready")
    # Nobody has used a key yet, so that nobody is served but those who need no database.
    assert (answer.status, answer.json()["status"]) == ((200, "degraded") if master else (503, "unready"))
    assert answer.json()["known_keys_seconds"] == 0
