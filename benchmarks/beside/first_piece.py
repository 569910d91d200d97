"""What a gateway adds to the time until the first piece of a stream."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from beside.gateway_load import TOKENS, Server, ask, quantile
from beside.model_server import INTERVAL


class _Relay(asyncio.Protocol):
    """One side of a connection whose bytes go to the other side as they are."""

    def __init__(self, other: Any = None) -> None:
        self.other = other
        self.waiting = b""

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.waiting += data
        else:
            self.other.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None:
            self.other.close()


def run_relay(port: int, upstream: int) -> None:
    """Pass connections on, on the event loop that the gateway uses, too."""
    import uvloop

    class Front(_Relay):
        def connection_made(self, transport: Any) -> None:
            self.connecting = asyncio.ensure_future(self.connect(transport))

        async def connect(self, transport: Any) -> None:
            loop = asyncio.get_running_loop()
            self.other, _ = await loop.create_connection(lambda: _Relay(transport), "127.0.0.1", upstream)
            self.other.write(self.waiting)

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Front, "127.0.0.1", port)
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve())


@contextlib.contextmanager
def undisturbed(pids: list[int]) -> Iterator[None]:
    """Let processes run before whatever else the machine does; paced streams leave it most of its time."""
    threads = [int(task.name) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    for thread in threads:
        os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


async def added(
    server: Server, direct: str, relay: str, seconds: float, streams: int, *, pauses: bool = True
) -> dict[str, float]:
    """Return what the gateway adds to the first piece, beside `streams` paced streams that run through it all the time.

    The streams begin spread over time, as traffic does. Beside them short streams are opened one at a time, in turns
    straight at the model server, through the gateway, and through a relay that only passes bytes on: all wait for the
    same busy cores and the same busy load generator, so that the difference is the gateway's. What the relay adds is
    what this machine takes to wake up one more process, twice.
    """
    times: dict[str, list[float]] = {direct: [], relay: [], server.url: []}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(120)
    ) as session:
        for url in times:
            await ask(session, url, "fast warm up", True)
        done = asyncio.Event()

        async def background(number: int) -> None:
            await asyncio.sleep(number / max(1, streams) * TOKENS * INTERVAL)
            text = " ".join(["slow", *(f"{number}.{word}" for word in range(TOKENS - 1))])
            while not done.is_set():
                assert (await ask(session, server.url, text, True))[2], "a wrong answer"

        running = [asyncio.create_task(background(number)) for number in range(streams)]
        if streams:
            await asyncio.sleep(TOKENS * INTERVAL)
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            for url in random.sample(list(times), 3):
                await asyncio.sleep(random.uniform(0.005, 0.02) if pauses else 0)
                first, _, right = await ask(session, url, "fast one two three", True)
                assert right, "a wrong answer"
                times[url].append(first)
        done.set()
        await asyncio.gather(*running)
    there, through, relayed = times[direct], times[server.url], times[relay]
    return {
        "p50 ms": quantile(through, 0.5) - quantile(there, 0.5),
        "p99 ms": quantile(through, 0.99) - quantile(there, 0.99),
        "of it a bare relay's, p50 ms": quantile(relayed, 0.5) - quantile(there, 0.5),
        "of it a bare relay's, p99 ms": quantile(relayed, 0.99) - quantile(there, 0.99),
        "direct p50 ms": quantile(there, 0.5),
        "direct p99 ms": quantile(there, 0.99),
        "through p50 ms": quantile(through, 0.5),
        "through p99 ms": quantile(through, 0.99),
        "pairs": len(there),
    }
