"""Gateways that share a database: started, balanced, restarted one after the other, and cut off from the database."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from beside.gateway_load import Server, free_port


class Relay:
    """A way to a server that can fall silent: connections stay open, and what is sent on them disappears.

    Args:
        host: The server.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self.silent = False
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._carry_both, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _carry_both(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            if self.silent:
                await near.read(-1)
                return
            far, there = await asyncio.open_connection(*self._target)
            await asyncio.gather(self._carry(near, there), self._carry(far, back))
        except OSError:
            pass
        finally:
            back.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        lost = False
        while data := await source.read(65536):
            lost = lost or self.silent
            if not lost:
                sink.write(data)
                await sink.drain()
        sink.close()


@dataclass
class Member:
    """One gateway of several."""

    number: int
    command: list[str]
    url: str
    log: Path
    server: Server | None = None
    in_rotation: bool = False

    async def start(self, session: aiohttp.ClientSession) -> None:
        self.server = await asyncio.to_thread(self._start)
        await self.until_ready(session)
        self.in_rotation = True

    def _start(self) -> Server:
        with self.log.open("ab") as out:
            process = subprocess.Popen(self.command, stdout=out, stderr=out, start_new_session=True)
        return Server(f"gateway {self.number}", self.url, process)

    async def until_ready(self, session: aiohttp.ClientSession) -> None:
        deadline = time.monotonic() + 120
        while await self.ready(session) != "ready":
            assert self.server is not None
            if self.server.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"gateway {self.number} is not ready:\n{self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.2)

    async def ready(self, session: aiohttp.ClientSession) -> str:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{self.url}/health/ready") as response:
                return str((await response.json())["status"])
        return "away"

    async def end(self) -> None:
        """End as a pod of Kubernetes does: first out of the rotation, then told to stop."""
        self.in_rotation = False
        await asyncio.sleep(0.2)
        assert self.server is not None
        self.server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.server.process.wait, 60)

    def kill(self) -> None:
        if self.server is not None and self.server.process.poll() is None:
            os.killpg(self.server.process.pid, signal.SIGKILL)
            self.server.process.wait()


@dataclass
class Cluster:
    """Several gateways behind a balancer that sends each request to the next one in the rotation."""

    members: list[Member]
    session: aiohttp.ClientSession
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    _next: int = 0

    async def ask(self, key: str, name: str) -> str:
        """Send a request; return its status, or the kind of error, and count it by the key's name."""
        choice = [one for one in self.members if one.in_rotation]
        self._next += 1
        member = choice[self._next % len(choice)]
        body = {"model": "m", "messages": [{"role": "user", "content": f"fast {self._next}"}]}
        headers = {"authorization": f"Bearer {key}"}
        try:
            async with self.session.post(f"{member.url}/v1/chat/completions", json=body, headers=headers) as response:
                answer = await response.json()
                status = " ".join([str(response.status), *([answer["error"]["code"]] if "error" in answer else [])])
        except (aiohttp.ClientError, TimeoutError) as error:
            status = type(error).__name__
        self.answers[name, status] += 1
        return status

    async def load(
        self, keys: dict[str, str], concurrency: int, until: Callable[[], bool], pause: float = 0.0
    ) -> float:
        """Keep requests under way until a condition holds; return the seconds that it took."""
        began = time.perf_counter()

        async def worker(number: int) -> None:
            name, key = list(keys.items())[number % len(keys)]
            while not until():
                await self.ask(key, name)
                await asyncio.sleep(pause)

        await asyncio.gather(*map(worker, range(concurrency)))
        return time.perf_counter() - began


@contextlib.asynccontextmanager
async def cluster(config: Path, gateways: int, workers: int, folder: Path) -> AsyncIterator[Cluster]:
    """Start gateways with one configuration; kill what is left of them in the end."""
    members = []
    for number in range(gateways):
        port = free_port()
        command = [sys.executable, "-m", "sagewire", "gateway", "--config", str(config), "--port", str(port)]
        command += ["--workers", str(workers)]
        members.append(Member(number, command, f"http://127.0.0.1:{port}", folder / f"gateway{number}.log"))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as session:
        try:
            await asyncio.gather(*(member.start(session) for member in members))
            yield Cluster(members, session)
        finally:
            for member in members:
                member.kill()
