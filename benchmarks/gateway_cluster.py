"""Two gateways with two workers each, on one PostgreSQL and one Redis: under load, restarted, and without the database.

    python benchmarks/gateway_cluster.py --postgres postgresql://user@host/empty --redis redis://host/0
        [--seconds 10] [--away 30] [--out benchmarks/gateway_cluster.json]

Everything else is on loopback and ends by itself. The exit code is 1 if a request of a known key failed or a count is
not exact; speed decides nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from beside.cluster import Cluster, Relay, cluster
from beside.gateway_load import free_port
from beside.model_server import run_model_server

from sagewire.gateway import open_store
from sagewire.gateway.keys import Key, digest_of

GATEWAYS, WORKERS = 2, 2
LIMIT = 50
CONFIG = """
models: {{m: {{url: "{model}", handler: openai_chat}}}}
keys: [{{name: limited, key: sk-limited-key, requests_per_minute: {limit}}}]
server: {{database_url: "{database}", redis_url: "{redis}", access_log: false, drain_seconds: 20}}
"""
KEYS = {f"team{number}": f"sk-key-of-team-{number}" for number in range(4)}


async def run(arguments: argparse.Namespace, model: str, folder: Path) -> dict[str, Any]:
    url = sa.make_url(arguments.postgres)
    relay = Relay(url.host or "127.0.0.1", url.port or 5432)
    listening = await relay.start()
    through = url.set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
    config = folder / "gateway.yaml"
    config.write_text(CONFIG.format(model=model, database=through, redis=arguments.redis, limit=LIMIT))
    async with listening, cluster(config, GATEWAYS, WORKERS, folder) as gateways:
        speed = await under_load(gateways, arguments.seconds, arguments.concurrency)
        admitted = await burst(gateways)
        await while_all_is_asked(gateways, restarted(gateways))
        await while_all_is_asked(gateways, without_database(gateways, relay, arguments.away))
        # The last counts are written when the processes end.
        await asyncio.gather(*(member.end() for member in gateways.members))
    return speed | outcome(gateways, arguments.postgres, admitted)


async def under_load(gateways: Cluster, seconds: float, concurrency: int) -> dict[str, float]:
    for name, key in KEYS.items():
        for _ in range(4 * GATEWAYS * WORKERS):
            await gateways.ask(key, name)
    until = time.perf_counter() + seconds
    before = sum(gateways.answers.values())
    processors = [member.server.cpu_seconds() for member in gateways.members if member.server]
    took = await gateways.load(KEYS, concurrency, lambda: time.perf_counter() > until)
    used = sum(member.server.cpu_seconds() for member in gateways.members if member.server) - sum(processors)
    done = sum(gateways.answers.values()) - before
    return {"requests/s per process": done / took / (GATEWAYS * WORKERS), "requests per CPU-s": done / max(0.01, used)}


async def burst(gateways: Cluster) -> int:
    """Return how many requests of a limited key are admitted, all sent at once to all processes."""
    statuses = await asyncio.gather(*(gateways.ask("sk-limited-key", "limited") for _ in range(3 * LIMIT)))
    return statuses.count("200")


async def while_all_is_asked(gateways: Cluster, event: Any) -> None:
    happening = asyncio.ensure_future(event)
    # With pauses: processes that start need the processor, too.
    await gateways.load(KEYS, 8, happening.done, pause=0.05)
    await happening


async def restarted(gateways: Cluster) -> None:
    for member in gateways.members:
        await member.end()
        await member.start(gateways.session)


async def without_database(gateways: Cluster, relay: Relay, seconds: float) -> None:
    # What the workers know of the keys is up to 15 s old by then, and looked up again.
    relay.silent = True
    await asyncio.sleep(seconds)
    relay.silent = False
    for member in gateways.members:
        await member.until_ready(gateways.session)


def outcome(gateways: Cluster, database: str, admitted: int) -> dict[str, Any]:
    store = open_store(database)
    counted: dict[str, int] = {}
    for row in store.usage():
        counted[row.key_name] = counted.get(row.key_name, 0) + row.requests
    store.close()
    asked = dict.fromkeys((*KEYS, "limited"), 0)
    for (name, _), count in gateways.answers.items():
        asked[name] += count
    good = sum(count for (name, status), count in gateways.answers.items() if name in KEYS and status == "200")
    sent = sum(asked[name] for name in KEYS)
    return {
        "requests of known keys": sent,
        "of them failed": sent - good,
        "requests counted in the database": sum(counted.get(name, 0) for name in asked),
        "counted wrongly": sum(abs(counted.get(name, 0) - asked[name]) for name in asked),
        "limit": LIMIT,
        "admitted of three times the limit": admitted,
        "answers": {f"{name} {status}": count for (name, status), count in sorted(gateways.answers.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--postgres", required=True, help="the URL of an empty database")
    parser.add_argument("--redis", required=True, help="the URL of an empty Redis")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load while nothing happens")
    parser.add_argument("--away", type=float, default=30.0, help="seconds without the database")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    arguments = parser.parse_args()
    store = open_store(arguments.postgres)
    for name, key in KEYS.items():
        store.add_key(Key(name, digest_of(key)))
    store.close()
    port = free_port()
    model = multiprocessing.get_context("spawn").Process(target=run_model_server, args=(port,), daemon=True)
    model.start()
    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load average before": round(os.getloadavg()[0], 1),
        "gateways": GATEWAYS,
        "workers each": WORKERS,
        "seconds without the database": arguments.away,
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            found |= asyncio.run(run(arguments, f"http://127.0.0.1:{port}", Path(folder)))
    finally:
        model.terminate()
    found = {name: round(value, 1) if isinstance(value, float) else value for name, value in found.items()}
    print(json.dumps(found, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n")
    if found["of them failed"] or found["counted wrongly"] or found["admitted of three times the limit"] != LIMIT:
        raise SystemExit("requests failed, or counts are not exact")


if __name__ == "__main__":
    main()
