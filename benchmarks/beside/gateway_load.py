"""What asks the gateways: paced and unpaced streams, and what they cost the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from beside.model_server import INTERVAL

TOKENS = 100
HEADERS = {"authorization": "Bearer sk-benchmark"}


@dataclass
class Server:
    """A proxy under load."""

    name: str
    url: str
    process: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    waiting += map(int, (task / "children").read_text().split())
        return found

    def cpu_seconds(self) -> float:
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return total * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Result:
    """What a load found."""

    done: int = 0
    wrong: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ask(session: aiohttp.ClientSession, url: str, text: str, stream: bool) -> tuple[float, float, bool]:
    """Return the time to the first piece, to the last, and whether the answer was the right one."""
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}
    started = time.perf_counter()
    first = 0.0
    async with session.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS) as response:
        if not stream:
            answer = await response.json()
            took = time.perf_counter() - started
            right = response.status == 200 and answer["choices"][0]["message"]["content"] == text
            return took, took, right
        parts = []
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            piece = event["choices"][0]["delta"].get("content") if event.get("choices") else None
            if piece:
                first = first or time.perf_counter() - started
                parts.append(piece)
        return first, time.perf_counter() - started, response.status == 200 and "".join(parts).strip() == text


async def load(server: Server | None, url: str, concurrency: int, seconds: float, words: int, stream: bool) -> Result:
    """Keep `concurrency` requests under way for a while."""
    result = Result()
    connector = aiohttp.TCPConnector(limit=0)
    prefix = "slow" if words == TOKENS else "fast"
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(120)) as session:
        await ask(session, url, f"{prefix} warm up", stream)
        before = server.cpu_seconds() if server else 0.0
        began = time.perf_counter()

        async def worker(number: int) -> None:
            # Streams that begin together would measure the queue in front of each other.
            await asyncio.sleep(number / concurrency * (words * INTERVAL if prefix == "slow" else 0))
            count = 0
            while time.perf_counter() - began < seconds:
                count += 1
                text = " ".join([prefix, *(f"{number}.{count}.{word}" for word in range(words - 1))])
                first, whole, right = await ask(session, url, text, stream)
                result.first.append(first)
                result.whole.append(whole)
                result.done += 1
                result.wrong += not right

        await asyncio.gather(*map(worker, range(concurrency)))
        result.seconds = time.perf_counter() - began
        result.cpu = (server.cpu_seconds() if server else 0.0) - before
    return result


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1000
