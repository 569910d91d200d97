"""The gateway beside a floor and LiteLLM's proxy: the same model server, the same load, in one run.

    python benchmarks/gateway.py [--litellm PATH] [--seconds 5] [--soak 60] [--out benchmarks/gateway.json]

The floor is the least that a gateway on uvicorn and aiohttp can do: check a key, and pass bytes on. `--litellm` is a
`litellm` command in an environment of its own (its dependencies do not go with ours), which reads the same
configuration file. Everything stays on loopback and ends by itself.

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
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
from beside import floor
from beside.first_piece import added, run_relay, undisturbed
from beside.gateway_load import HEADERS, TOKENS, Server, ask, free_port, load, quantile
from beside.model_server import run_model_server

CONFIG = """
model_list:
  - model_name: m
    litellm_params: {{model: hosted_vllm/served, api_base: "{url}/v1", api_key: none}}
general_settings: {{master_key: sk-benchmark}}
"""

FLOOR = ["-m", "uvicorn", "--app-dir", str(Path(__file__).parent), "--loop", "uvloop", "--http", "httptools"]
FLOOR += ["--log-level", "warning", "beside.floor:app"]


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


async def measure(server: Server, direct: str, relay: str, seconds: float, first_in_line: list[int]) -> dict[str, Any]:
    whole = await load(server, server.url, 64, seconds, 8, False)
    short = await load(server, server.url, 64, seconds, 8, True)
    with undisturbed(first_in_line):
        alone = await added(server, direct, relay, seconds, 0)
        beside = await added(server, direct, relay, 2 * seconds, 64)
        alone_at_once = await added(server, direct, relay, seconds, 0, pauses=False)
        beside_at_once = await added(server, direct, relay, 2 * seconds, 64, pauses=False)
    long = await load(server, server.url, 64, seconds, TOKENS, True)
    return {
        "answers/s": whole.done / whole.seconds,
        "answers per CPU-s": whole.done / max(whole.cpu, 0.01),
        "streams of 8 per CPU-s": short.done / max(short.cpu, 0.01),
        "chunks per CPU-s (64 streams of 100)": long.done * TOKENS / max(long.cpu, 0.01),
        **{f"first piece added, alone, {name}": value for name, value in alone.items()},
        **{f"first piece added, beside 64 streams, {name}": value for name, value in beside.items()},
        **{f"first piece added, without pauses, alone, {name}": value for name, value in alone_at_once.items()},
        **{f"first piece added, without pauses, beside 64 streams, {name}": v for name, v in beside_at_once.items()},
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


def compare(litellm: str | None, seconds: float, real_time: bool) -> dict[str, dict[str, Any]]:
    upstream = free_port()
    model = multiprocessing.get_context("spawn").Process(target=run_model_server, args=(upstream,), daemon=True)
    model.start()
    relay_port = free_port()
    relay = multiprocessing.get_context("spawn").Process(target=run_relay, args=(relay_port, upstream), daemon=True)
    relay.start()
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        direct = f"http://127.0.0.1:{upstream}"
        config.write_text(CONFIG.format(url=direct))
        os.environ["XDG_STATE_HOME"] = folder
        os.environ[floor.UPSTREAM] = direct
        commands = {
            "sagewire": [sys.executable, "-m", "sagewire", "gateway", "--config", str(config)],
            "floor": [sys.executable, *FLOOR],
        }
        if litellm:
            commands["litellm"] = [litellm, "--config", str(config)]
        for name, command in commands.items():
            port = free_port()
            server = start(name, [*command, "--port", str(port)], port, Path(folder) / f"{name}.log")
            try:
                asyncio.run(wait_for(server.url, server.process))
                with_model = [os.getpid(), model.pid or 0, relay.pid or 0, *server.pids()] if real_time else []
                rows[name] = asyncio.run(measure(server, direct, f"http://127.0.0.1:{relay_port}", seconds, with_model))
            finally:
                stop(server)
    relay.terminate()
    model.terminate()
    show(rows)
    return rows


def show(rows: dict[str, dict[str, Any]]) -> None:
    print(f"{'':70}" + "".join(f"{name:>12}" for name in rows) + "".join(f"{'/ ' + name:>12}" for name in [*rows][1:]))
    for measure_name in next(iter(rows.values())):
        ours, *others = values = [row[measure_name] for row in rows.values()]
        ratios = "".join(f"{ours / other:12.2f}" if other else " " * 12 for other in others)
        print(f"{measure_name:70}" + "".join(f"{value:12.1f}" for value in values) + ratios)


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


def run_soak(seconds: float) -> dict[str, float]:
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
    return {**ends, "memory MB": round(memory, 1)}


def version_of(litellm: str | None) -> dict[str, str]:
    """Return the version of LiteLLM in the environment of this executable."""
    if litellm is None:
        return {}
    command = [Path(litellm).with_name("python"), "-c", "from importlib.metadata import *; print(version('litellm'))"]
    return {"litellm": subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--litellm", default=os.environ.get("SAGEWIRE_LITELLM"))
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--soak", type=float, default=0.0, help="seconds of 500 concurrent streams with faults")
    parser.add_argument("--real-time", action="store_true", help="measure latency before all else on a busy machine")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    arguments = parser.parse_args()
    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "packages": {
            **{name: version(name) for name in ("sagewire", "uvicorn", "aiohttp")},
            **version_of(arguments.litellm),
        },
        "cores": os.cpu_count(),
        "load average before": round(os.getloadavg()[0], 1),
        "seconds": arguments.seconds,
        "latency scheduled before other processes": arguments.real_time,
        "servers": compare(arguments.litellm, arguments.seconds, arguments.real_time),
    }
    if arguments.soak:
        print(f"\n500 streams at a time for {arguments.soak:g} s:")
        found["soak"] = {"seconds": arguments.soak, "streams at a time": 500, "ends": run_soak(arguments.soak)}
    if arguments.out:
        arguments.out.write_text(json.dumps(rounded(found), indent=2) + "\n")
    if any(name.startswith(("LOST", "MIXED")) for name in found.get("soak", {}).get("ends", {})):
        raise SystemExit("streams were lost or mixed up")


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return round(value, 2) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
