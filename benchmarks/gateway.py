"""The gateway beside LiteLLM's proxy: the same configuration file, the same model server, the same load, in one run.

    python benchmarks/gateway.py [--litellm PATH] [--seconds 5] [--soak 60]

`--litellm` is a `litellm` command in an environment of its own (its dependencies do not go with ours); without it only
the gateway is measured. Everything stays on loopback and ends by itself.

Requests per second are given per CPU-second of the server's own processes (user and system time out of /proc), so that
neither the load generator nor the model server beside them on the same cores counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from beside.model_server import INTERVAL, run_model_server

TOKENS = 100
CONFIG = """
model_list:
  - model_name: m
    litellm_params: {{model: hosted_vllm/served, api_base: "{url}/v1", api_key: none}}
general_settings: {{master_key: sk-benchmark}}
"""
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


async def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    async with aiohttp.ClientSession() as session:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with {process.returncode}")
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                if (await ask(session, url, "fast ready", False))[2]:
                    return
            if time.monotonic() > deadline:
                raise SystemExit("the server does not start")
            await asyncio.sleep(0.3)


async def measure(server: Server, direct: str, seconds: float) -> dict[str, Any]:
    whole = await load(server, server.url, 64, seconds, 8, False)
    short = await load(server, server.url, 64, seconds, 8, True)
    alone_base = await load(None, direct, 1, seconds / 2, 8, True)
    alone = await load(server, server.url, 1, seconds / 2, 8, True)
    base = await load(None, direct, 64, seconds, TOKENS, True)
    long = await load(server, server.url, 64, seconds, TOKENS, True)
    return {
        "answers/s": whole.done / whole.seconds,
        "answers per CPU-s": whole.done / max(whole.cpu, 0.01),
        "streams of 8 per CPU-s": short.done / max(short.cpu, 0.01),
        "chunks per CPU-s (64 streams of 100)": long.done * TOKENS / max(long.cpu, 0.01),
        "first piece added, one stream, p50 ms": quantile(alone.first, 0.5) - quantile(alone_base.first, 0.5),
        "first piece added, 64 streams, p50 ms": quantile(long.first, 0.5) - quantile(base.first, 0.5),
        "first piece added, 64 streams, p99 ms": quantile(long.first, 0.99) - quantile(base.first, 0.99),
        "answer p50 ms at 64": quantile(whole.whole, 0.5),
        "answer p99 ms at 64": quantile(whole.whole, 0.99),
        "memory MB": server.megabytes(),
        "wrong answers": whole.wrong + short.wrong + long.wrong,
    }


def start(name: str, command: list[str], port: int, log: Path) -> Server:
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
    return Server(name, f"http://127.0.0.1:{port}", process)


def stop(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


def compare(litellm: str | None, seconds: float) -> None:
    upstream = free_port()
    model = multiprocessing.get_context("spawn").Process(target=run_model_server, args=(upstream,), daemon=True)
    model.start()
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        direct = f"http://127.0.0.1:{upstream}"
        config.write_text(CONFIG.format(url=direct))
        os.environ["XDG_STATE_HOME"] = folder
        commands = {"sagewire": [sys.executable, "-m", "sagewire", "gateway"]}
        if litellm:
            commands["litellm"] = [litellm]
        for name, command in commands.items():
            port = free_port()
            arguments = [*command, "--config", str(config), "--port", str(port)]
            server = start(name, arguments, port, Path(folder) / f"{name}.log")
            try:
                asyncio.run(wait_for(server.url, server.process))
                rows[name] = asyncio.run(measure(server, direct, seconds))
            finally:
                stop(server)
    model.terminate()
    show(rows)


def show(rows: dict[str, dict[str, Any]]) -> None:
    print(f"{'':42}" + "".join(f"{name:>12}" for name in rows) + ("       ratio" if len(rows) == 2 else ""))
    for measure_name in next(iter(rows.values())):
        values = [row[measure_name] for row in rows.values()]
        ratio = f"{values[0] / values[1]:12.2f}" if len(values) == 2 and values[1] else ""
        print(f"{measure_name:42}" + "".join(f"{value:12.1f}" for value in values) + ratio)


SOAK = """
models:
  m:
    attempts: 4
    deployments:
      - {{endpoint: good, handler: openai_chat, weight: 4}}
      # A breaker that never opens: they are to be met all the time.
      - {{endpoint: throttled, handler: openai_chat, breaker_failures: 1000000}}
      - {{endpoint: cut, handler: openai_chat, breaker_failures: 1000000}}
      - {{endpoint: resetting, handler: openai_chat, breaker_failures: 1000000}}
server: {{master_key: sk-benchmark, access_log: false}}
aliases: {{alias{number}: m}}
"""


async def soak(server: Server, config: Path, seconds: float, concurrency: int = 500) -> Counter[str]:
    """Count how streams end while deployments throttle, cut and reset, and the configuration is reloaded."""
    ends: Counter[str] = Counter()
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def worker(number: int) -> None:
            await asyncio.sleep(number / concurrency * 5)
            count = 0
            while time.perf_counter() - began < seconds:
                count += 1
                ends[await one(session, server.url, f"{number}.{count} " + " ".join(map(str, range(20))))] += 1

        async def reload() -> None:
            for number in range(int(seconds)):
                await asyncio.to_thread(config.write_text, SOAK.format(number=number))
                ends["reloads"] += 1
                await asyncio.sleep(1)

        await asyncio.gather(reload(), *map(worker, range(concurrency)))
    return ends


async def one(session: aiohttp.ClientSession, url: str, text: str) -> str:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
    parts, done, error = [], False, ""
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS) as response:
            if response.status != 200:
                return f"refused with {response.status}"
            async for line in response.content:
                if line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    if "error" in event:
                        error = event["error"]["code"]
                    elif event["choices"]:
                        parts.append(event["choices"][0]["delta"].get("content") or "")
                done = done or line.startswith(b"data: [DONE]")
    except aiohttp.ClientError as failure:
        return f"LOST: {type(failure).__name__}"
    answer = "".join(parts)
    if not text.startswith(answer.strip()) and text not in answer:
        return "MIXED UP"
    if error:
        return "told of an error"
    return "whole" if done and text in answer else "LOST: ended early without a word"


def run_soak(seconds: float) -> bool:
    from sagewire.emulator import Emulator, EndpointSpec

    endpoints: dict[str, Any] = {
        "good": "openai_chat:echo",
        "throttled": EndpointSpec("openai_chat", "echo", faults=["throttle"]),
        "cut": EndpointSpec("openai_chat", "echo", faults=["truncate_stream"]),
        "resetting": EndpointSpec("openai_chat", "echo", faults=["reset_mid_stream"]),
    }
    with Emulator(endpoints) as emulator, tempfile.TemporaryDirectory() as folder:
        os.environ.update(emulator.environ())
        os.environ["XDG_STATE_HOME"] = folder
        config = Path(folder) / "gateway.yaml"
        config.write_text(SOAK.format(number=0))
        port = free_port()
        command = [sys.executable, "-m", "sagewire", "gateway", "--config", str(config), "--port", str(port)]
        server = start("sagewire", command, port, Path(folder) / "log")
        try:
            asyncio.run(wait_for(server.url, server.process))
            ends = asyncio.run(soak(server, config, seconds))
            memory = server.megabytes()
        finally:
            stop(server)
    for name, count in sorted(ends.items()):
        print(f"{name:42}{count:12}")
    print(f"{'memory MB':42}{memory:12.1f}")
    return not any(name.startswith(("LOST", "MIXED")) for name in ends)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--litellm", default=os.environ.get("SAGEWIRE_LITELLM"))
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--soak", type=float, default=0.0, help="seconds of 500 concurrent streams with faults")
    arguments = parser.parse_args()
    compare(arguments.litellm, arguments.seconds)
    if arguments.soak:
        print(f"\n500 streams at a time for {arguments.soak:g} s:")
        if not run_soak(arguments.soak):
            raise SystemExit("streams were lost or mixed up")


if __name__ == "__main__":
    main()
