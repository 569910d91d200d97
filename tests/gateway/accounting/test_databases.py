"""Keys, usage and limits in real PostgreSQL and Redis servers, which these tests start."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sagewire.errors import UsageError
from sagewire.gateway.accounting.budgets import SpendTable
from sagewire.gateway.accounting.database import Batch, Store, open_store
from sagewire.gateway.accounting.recent_requests import RecentRequests
from sagewire.gateway.accounting.report import report
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.accounting.tables import UsageRow
from sagewire.gateway.config import parse_config
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key, digest_of
from sagewire.gateway.rate_limits import RateLimits, Reservation
from tests.gateway.accounting.logs import ended

pytestmark = pytest.mark.slow
Until = Callable[..., Any]
HI = {"model": "chat", "messages": [{"role": "user", "content": "Hello there"}]}


def test_machines_with_one_worker_each_count_together_in_postgres(start, database: str) -> None:
    text = (
        "models: {chat: {endpoint: chat, handler: openai_chat}}\nkeys: [{name: k, key: sk-k, requests_per_minute: 3}]"
    )
    machines = [start(text, open_store(database)) for _ in range(2)]
    found = [
        machines[number % 2].post("/v1/chat/completions", HI, authorization="Bearer sk-k").status for number in range(8)
    ]
    # A minute may begin in between, with three more.
    assert sorted(found)[:3] == [200] * 3
    assert found.count(429) >= 2


def test_postgres_keeps_keys_and_adds_up_usage(database: str) -> None:
    store, other = open_store(database), open_store(database)
    expires = datetime(2030, 1, 1, tzinfo=UTC)
    key = Key("team", digest_of("secret"), ("chat",), expires, 5, 100)
    store.add_key(key)
    assert other.key(digest_of("secret")) == key
    with pytest.raises(UsageError, match="already"):
        other.add_key(Key("team", digest_of("another")))
    hour = datetime(2026, 1, 1, 5, tzinfo=UTC)

    def add(number: int) -> None:
        rows = [UsageRow(hour, name, "chat", 1, 0, 0, 2, 3) for name in ("a", "b", "c")]
        target: Store = store if number % 2 else other
        target.add_usage(rows if number % 3 else rows[::-1])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(60)))
    assert store.usage(key_name="b") == [UsageRow(hour, "b", "chat", 60, 0, 0, 120, 180)]
    shown = report(other, 168, now=hour + timedelta(hours=1))
    assert (shown["total"]["requests"], {one["name"] for one in shown["keys"]}) == (180, {"a", "b", "c"})
    recent = RecentRequests(store)
    for error in (None, "broken"):
        recent.note(ended(route="chat", key=Key("a"), status=200, error=error), "chat")
    recent.write(recent.take())
    assert [one["error"] for one in RecentRequests(other).newest(key_name="a", failed=True)] == ["broken"]
    spender = Key("spender", max_budget=1.0)
    tables = [SpendTable(one) for one in (store, other)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: tables[number % 2].reserve(spender, 10**8), range(30)))
    good = [one for one in found if one.nanodollars]
    assert len(good) == 10
    for one in good:
        tables[0].settle(one, 10**7)
    assert tables[1].of(spender).nanodollars == 10**8
    assert store.remove_key("team")
    assert other.key(digest_of("secret")) is None
    store.close()
    other.close()


def test_a_gateway_on_postgres_and_redis(start, until: Until, postgres: str, redis: Any) -> None:
    config = f"""
models: {{chat: {{endpoint: chat, handler: openai_chat}}}}
keys: [{{name: few, key: sk-few, requests_per_minute: 3}}]
server: {{database_url: "{postgres}", redis_url: "{redis.url}"}}
"""
    first, second = start(config, open_store(postgres)), start(config, open_store(postgres))
    statuses = [
        gateway.post("/v1/chat/completions", HI, authorization="Bearer sk-few").status
        for _ in range(3)
        for gateway in (first, second)
    ]
    # Both gateways count together.
    assert statuses.count(200) == 3
    assert statuses.count(429) == 3
    assert first.get("/health/ready").status == 200
    store = open_store(postgres)
    until(lambda: sum(row.requests for row in store.usage(key_name="few")) >= 6)
    store.close()


async def test_limits_survive_a_redis_that_goes_away(redis: Any) -> None:
    now = [0.0]
    rates = RateLimits(redis.url, clock=lambda: now[0])
    key = Key("k", requests_per_minute=2, tokens_per_minute=50)
    await rates.admit(key)
    redis.stop()
    # Counted here now: again two, then none.
    await rates.admit(key)
    await rates.admit(key)
    with pytest.raises(GatewayError):
        await rates.admit(key)
    await rates.settle(Reservation(key.quota), 100)
    redis.start()
    now[0] = 10.0  # the pause after a failure is over
    assert int((await rates.admit(key))[0]["x-ratelimit-remaining-requests"]) == 1
    await rates.settle(Reservation(key.quota), 60)
    with pytest.raises(GatewayError, match="50 tokens per minute"):
        await rates.admit(key)
    await rates.close()


async def test_a_redis_that_was_started_again_counts_at_once(redis: Any, caplog: pytest.LogCaptureFixture) -> None:
    rates = RateLimits(redis.url)
    key = Key("k", requests_per_minute=100)
    await asyncio.gather(*(rates.admit(key) for _ in range(20)))
    # Nobody asks while it is away, and all connections that are kept are dead.
    redis.stop()
    redis.start()
    left = [
        int(found[0]["x-ratelimit-remaining-requests"])
        for found in await asyncio.gather(*(rates.admit(key) for _ in range(20)))
    ]
    assert min(left) == 80
    assert "redis does not answer" not in caplog.text
    await rates.close()


def test_urls_that_cannot_be_used_are_not_repeated(postgres: str, port: int) -> None:
    for text in ("nonsense://u:hush@h", "redis://:hush@h:notaport/0"):
        with pytest.raises(UsageError) as caught:
            RateLimits(text)
        assert "hush" not in str(caught.value)
    with pytest.raises(StoreError) as failed:
        open_store(f"postgresql://u:hush@127.0.0.1:{port}/d")
    assert "hush" not in str(failed.value)
    config = parse_config(f"models: {{m: {{endpoint: e}}}}\nserver: {{database_url: '{postgres}'}}")
    assert postgres not in repr(config)


def test_usage_of_a_broken_connection_is_added_once(database: str) -> None:
    store = open_store(database)
    row = UsageRow(datetime(2026, 1, 1, 5, tzinfo=UTC), "a", "chat", 1, 0, 0, 2, 3)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.add_usage([row], Batch("w", 1 + number // 4)), range(12)))
    assert store.usage() == [replace(row, requests=3, prompt_tokens=6, completion_tokens=9)]
    store.close()


def threads_at_work() -> int:
    return sum(thread.name == "sagewire-blocking" for thread in threading.enumerate())


def test_a_database_that_falls_silent(
    start, until: Until, database: str, cut_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = cut_network(database)
    # Every request wants to look its key up, and nothing is at rest.
    monkeypatch.setattr("sagewire.gateway.auth.FRESH", 0.0)
    monkeypatch.setattr("sagewire.gateway.accounting.database_calls.PAUSE", 0.0)
    monkeypatch.setattr("sagewire.gateway.accounting.postgresql.BoundedConnection.answer_seconds", 3.0)
    store = open_store(network.url)
    store.add_key(Key("known", digest_of("sk-known-key")))
    gateway = start("models: {chat: {endpoint: chat, handler: openai_chat}}", store)
    known = {"authorization": "Bearer sk-known-key"}
    assert gateway.post("/v1/chat/completions", HI, **known).status == 200
    network.cut = True
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: gateway.post("/v1/chat/completions", HI, **known).status, range(24))
        assert set(answers) == {200}
        told = [answer.json() for answer in pool.map(gateway.get, ["/health/ready"] * 8)]
        assert {(one["status"], one["database"]) for one in told} == {("degraded", "unreachable")}
        assert all(0 < one["known_keys_seconds"] <= 600 for one in told)
        assert gateway.post("/v1/chat/completions", HI, authorization="Bearer sk-other-key").status == 503
    # Four that look up, one that writes usage.
    assert threads_at_work() <= 5
    network.cut = False
    # The connections that are lost are given up, and new ones are made.
    until(lambda: gateway.get("/health/ready").json() == {"status": "ready"}, 60)
    assert gateway.post("/v1/chat/completions", HI, authorization="Bearer sk-other-key").status == 401
    reader = open_store(database)
    until(lambda: sum(row.requests for row in reader.usage(key_name="known")) == 25, 60)
    reader.close()
