"""Keys, usage and limits in real PostgreSQL and Redis servers, which these tests start."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sagewire.errors import UsageError
from sagewire.gateway.accounting.budgets import SpendTable
from sagewire.gateway.accounting.database import Store, StoreError, open_store
from sagewire.gateway.accounting.tables import UsageRow
from sagewire.gateway.config import parse_config
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key, digest_of
from sagewire.gateway.rate_limits import RateLimits

pytestmark = pytest.mark.slow
Until = Callable[..., Any]
HI = {"model": "chat", "messages": [{"role": "user", "content": "Hello there"}]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    try:
        open_store(url).close()
    except StoreError:  # it accepts connections before it answers
        return False
    return True


@pytest.fixture(scope="module")
def postgres(until: Until) -> Iterator[str]:
    pytest.importorskip("psycopg")
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin")]
    binaries = next((place for place in places if (place / "initdb").exists()), None)
    if binaries is None:
        pytest.skip("needs PostgreSQL (on Debian: apt-get install postgresql)")
    # PostgreSQL refuses to run as root.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="sagewire-postgres-", dir="/tmp"))
    if as_user:
        shutil.chown(folder, "postgres")
    data, port = folder / "data", free_port()
    subprocess.run(
        [*as_user, binaries / "initdb", "-D", data, "-U", "sagewire", "-A", "trust", "-E", "UTF8"],
        check=True,
        capture_output=True,
    )
    settings = ["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*as_user, binaries / "postgres", "-D", data, *settings], stdout=log, stderr=log)
    try:
        until(lambda: listens(port), 30)
        url = f"postgresql://sagewire@127.0.0.1:{port}/postgres"
        until(lambda: answers(url), 20)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis(tmp_path: Path, until: Until) -> Iterator["RedisServer"]:
    pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis (on Debian: apt-get install redis-server)")
    server = RedisServer(tmp_path, until)
    server.start()
    yield server
    server.stop()


class RedisServer:
    def __init__(self, folder: Path, until: Until) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._until = until
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        self._until(lambda: listens(self.port), 30)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)


def test_postgres_keeps_keys_and_adds_up_usage(postgres: str) -> None:
    store, other = open_store(postgres), open_store(postgres)
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


def test_a_gateway_on_postgres_and_redis(start, until: Until, postgres: str, redis: RedisServer) -> None:
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


async def test_limits_survive_a_redis_that_goes_away(redis: RedisServer) -> None:
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
    await rates.charge(key.quota, 100)
    redis.start()
    now[0] = 10.0  # the pause after a failure is over
    assert int((await rates.admit(key))[0]["x-ratelimit-remaining-requests"]) == 1
    await rates.charge(key.quota, 60)
    with pytest.raises(GatewayError, match="50 tokens per minute"):
        await rates.admit(key)
    await rates.close()


def test_urls_that_cannot_be_used_are_not_repeated(postgres: str) -> None:
    for text in ("nonsense://u:hush@h", "redis://:hush@h:notaport/0"):
        with pytest.raises(UsageError) as caught:
            RateLimits(text)
        assert "hush" not in str(caught.value)
    port = free_port()
    with pytest.raises(StoreError) as failed:
        open_store(f"postgresql://u:hush@127.0.0.1:{port}/d")
    assert "hush" not in str(failed.value)
    config = parse_config(f"models: {{m: {{endpoint: e}}}}\nserver: {{database_url: '{postgres}'}}")
    assert postgres not in repr(config)
