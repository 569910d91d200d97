"""Requests and tokens per minute in the database, as several workers count them together without Redis."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sagewire.gateway.accounting.database import Store, open_store
from sagewire.gateway.accounting.rate_table import Count, Counted, RateMemory, RateTable, Take
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key, digest_of
from sagewire.gateway.rate_limits import RateLimits

CHAT = "models: {chat: {endpoint: chat, handler: openai_chat}}"
HI = {"model": "chat", "messages": [{"role": "user", "content": "Hello there"}]}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Store]]:
    url = f"sqlite:///{tmp_path}/keys.db" if request.param == "sqlite" else request.getfixturevalue("database")
    stores = [open_store(url) for _ in range(3)]
    yield stores
    for store in stores:
        store.close()


def request(table: RateTable, name: str, limit: int, cost: int) -> Counted:
    found = table.run([Take(name, requests=(limit, cost))])[0].requests
    assert found is not None
    return found


def reserve(table: RateTable, name: str, limit: int, tokens: int) -> Counted:
    found = table.run([Take(name, tokens=(limit, tokens))])[0].tokens
    assert found is not None
    return found


def count(table: RateTable, name: str, tokens: int) -> None:
    table.run([Count(name, tokens)])


def test_of_parallel_steps_no_more_than_the_limit_go_in(stores: list[Store]) -> None:
    tables = [RateTable(store, lambda: 6000.0) for store in stores]
    with ThreadPoolExecutor(6) as pool:
        requests = list(pool.map(lambda number: request(tables[number % 3], "k", 10, 1), range(30)))
        tokens = list(pool.map(lambda number: reserve(tables[number % 3], "k", 1000, 300), range(30)))
    assert sum(one.taken for one in requests) == 10
    # What is left over goes to one, and nobody gets more.
    assert sorted(one.taken for one in tokens if one.taken) == [100, 300, 300, 300]
    assert request(tables[0], "another key", 10, 1).left == 9


def test_minutes(stores: list[Store]) -> None:
    now = [6000.0]
    table = RateTable(stores[0], lambda: now[0])
    for _ in range(10):
        assert request(table, "k", 10, 1).taken == 1
    full = request(table, "k", 10, 1)
    assert (full.taken, full.left, full.reset) == (0, 0, 6060.0)
    # A third of the next minute: as many requests of the last one no longer count.
    now[0] = 6081.0
    assert [request(table, "k", 10, 1).taken for _ in range(5)] == [1, 1, 1, 1, 0]
    assert 6081 < request(table, "k", 10, 1).reset <= 6084
    # Several at once go in as a whole, or not at all.
    assert request(table, "k", 10, 5).taken == 0
    now[0] = 6200.0
    assert request(table, "k", 10, 10).taken == 10
    # Tokens count in the minute that they are settled in, also beyond the limit, and never below nothing.
    assert reserve(table, "k", 100, 80).left == 20
    count(table, "k", -500)
    assert reserve(table, "k", 100, 60).left == 40
    count(table, "k", 2**62)
    count(table, "k", 2**62)
    assert reserve(table, "k", 100, 1).taken == 0
    now[0] = 6260.0
    assert reserve(table, "k", 100, 1).left == 99
    # Names have any length and script.
    assert reserve(table, "漢\U0001f600" * 500, 5, 1).taken == 1


def test_a_clock_that_was_set_ahead_shuts_nobody_out(stores: list[Store]) -> None:
    now = [6000.0 + 86400]
    table = RateTable(stores[0], lambda: now[0])
    assert (request(table, "k", 1, 1).taken, reserve(table, "k", 100, 100).taken) == (1, 100)
    now[0] = 6000.0
    # In the minute after that it holds still, and then no more.
    assert request(table, "k", 1, 1).reset == 6060.0
    assert reserve(table, "k", 100, 100).taken == 0
    now[0] = 6125.0
    assert (request(table, "k", 1, 1).taken, reserve(table, "k", 100, 100).taken) == (1, 100)


def test_times_are_those_of_this_machine(stores: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [RateTable(stores[0]), RateMemory()]
    # Of counters that are on PostgreSQL's clock, or on one that nobody sets.
    ahead = 3600.0 if stores[0].on_network else 0.0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    took = tables[0].run([Take("k", requests=(5, 1))])[0].requests
    own = tables[1].run(Take("k", requests=(5, 1))).requests
    assert took is not None
    assert own is not None
    assert 0 <= took.reset - time.time() <= 61
    assert 0 <= own.reset - time.time() <= 61


def test_counters_of_one_process() -> None:
    now = [6000.0]
    memory = RateMemory(lambda: now[0])
    for number in range(100):
        memory.run(Take(f"caller {number}", requests=(1, 1)))
    assert memory.run(Take("caller 7", requests=(1, 1))).requests.taken == 0
    now[0] += 3600
    assert memory.run(Take("caller 7", requests=(1, 1))).requests.taken == 1
    # Those that nobody uses any more are forgotten.
    assert len(memory._rows) == 1


async def test_workers_share_limits_and_go_on_without_the_database(tmp_path: Path, monkeypatch) -> None:
    key = Key("k", requests_per_minute=3, tokens_per_minute=1000)
    one, other = (RateLimits(store=open_store(f"sqlite:///{tmp_path}/keys.db")) for _ in range(2))
    headers, reservation = await one.admit(key, tokens=900)
    assert headers["x-ratelimit-remaining-tokens"] == "100"
    await other.settle(reservation, 100)
    headers, _ = await other.admit(key, tokens=100)
    assert headers["x-ratelimit-remaining-tokens"] == "800"
    await one.admit(key, tokens=10)
    with pytest.raises(GatewayError, match="3 requests per minute"):
        await other.admit(key, tokens=10)

    def away(*arguments: object) -> None:
        raise StoreError("cannot count rates in the database: gone")

    monkeypatch.setattr(RateTable, "run", away)
    # Looser, and nobody is refused for it.
    await other.admit(key, tokens=10)


async def test_a_burst_is_counted_by_the_database_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = RateLimits(store=open_store(f"sqlite:///{tmp_path}/keys.db"))
    # To count in this process would fail.
    monkeypatch.setattr(rates, "_local", None)
    key = Key("k", requests_per_minute=100, tokens_per_minute=10_000)
    found = await asyncio.gather(*(rates.admit(key, tokens=10) for _ in range(500)), return_exceptions=True)
    refused = [one for one in found if isinstance(one, GatewayError)]
    assert (len(found) - len(refused), {one.status for one in refused}) == (100, {429})
    # A request that is refused keeps no tokens.
    headers, _ = await rates.admit(Key("k", tokens_per_minute=10_000), tokens=1)
    assert headers["x-ratelimit-remaining-tokens"] == "8999"


async def test_what_nobody_waits_for_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = RateLimits(store=open_store(f"sqlite:///{tmp_path}/keys.db"))
    key = Key("k", requests_per_minute=2, tokens_per_minute=100)
    began, go_on = asyncio.Event(), threading.Event()
    loop, run = asyncio.get_running_loop(), RateTable.run

    def slow(table: RateTable, steps: list[Take]) -> object:
        loop.call_soon_threadsafe(began.set)
        go_on.wait(30)
        return run(table, steps)

    monkeypatch.setattr(RateTable, "run", slow)
    gone = asyncio.create_task(rates.admit(key, tokens=60))
    await began.wait()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    go_on.set()
    headers, _ = await rates.admit(key, tokens=60)
    assert headers["x-ratelimit-remaining-tokens"] == "40"
    assert headers["x-ratelimit-remaining-requests"] == "1"


async def test_too_long_a_queue_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = RateLimits(store=open_store(f"sqlite:///{tmp_path}/keys.db"))
    monkeypatch.setattr(rates, "_local", None)
    monkeypatch.setattr("sagewire.gateway.accounting.rate_counters.LONGEST_QUEUE", -1.0)
    with pytest.raises(GatewayError, match="waiting") as caught:
        await rates.admit(Key("k", requests_per_minute=2))
    assert (caught.value.status, caught.value.headers["retry-after"]) == (503, "5")


def test_a_key_made_beside_running_workers(start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    gateways = [start(CHAT, open_store(url), workers=2, require_keys=True) for _ in range(2)]
    store = open_store(url)
    store.add_key(Key("k", digest_of("sk-key-k"), requests_per_minute=3))
    found = [
        gateway.post("/v1/chat/completions", HI, authorization="Bearer sk-key-k").status
        for gateway in (*gateways, *gateways, *gateways)
    ]
    assert found == [200, 200, 200, 429, 429, 429]
