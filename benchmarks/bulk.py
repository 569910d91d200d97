"""Bulk jobs beside a LangChain `abatch` loop and LiteLLM's batch completion, on one emulator; and memory by rows.

    python benchmarks/bulk.py [--rows 2000] [--latency 0.05] [--memory-rows 1000000]

Peers that are not installed are left out. The emulator runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sagewire import AsyncClient, bulk
from sagewire.transports.base import Body
from sagewire.types import Invocation, ResponseInfo

SERVER = """
import sys, orjson
from sagewire.emulator import Emulator, EndpointSpec
with Emulator({"chat": EndpointSpec("openai_chat", engine="echo", latency=float(sys.argv[1]))}) as emulator:
    print(orjson.dumps({**emulator.environ(), "container": emulator.container_url("chat")}).decode(), flush=True)
    sys.stdin.read()
"""


class AtOnce:
    """A transport that answers from memory: what is left is the job's own work."""

    ANSWER = json.dumps(
        {
            "choices": [{"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1},
        }
    ).encode()

    async def invoke(self, call: Invocation) -> Body:
        await asyncio.sleep(0)
        return Body(self.ANSWER, ResponseInfo(content_type="application/json"))

    async def close(self) -> None:
        pass


def write_rows(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.writelines(f'{{"id":{number},"prompt":"question {number}"}}\n' for number in range(rows))


def resident() -> float:
    """Megabytes in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def run_bulk(folder: Path, rows: int, concurrency: int | None) -> str:
    report = bulk.run(
        str(folder / "in.jsonl"),
        "sagemaker/chat",
        str(folder / "out.jsonl"),
        overwrite=True,
        concurrency=concurrency,
    )
    assert (report.rows, report.failed) == (rows, 0)
    return f"ended at {report.concurrency} in flight"


def run_langchain(prompts: list[str], concurrency: int) -> str:
    from sagewire.integrations.langchain import ChatSagemakerEndpoint

    llm = ChatSagemakerEndpoint(endpoint_name="chat")

    async def loop() -> None:
        for start in range(0, len(prompts), 256):
            await llm.abatch(prompts[start : start + 256], config={"max_concurrency": concurrency})

    asyncio.run(loop())
    return "chunks of 256, nothing durable"


def run_litellm(prompts: list[str], concurrency: int, url: str) -> str:
    import litellm

    messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
    litellm.batch_completion("openai/chat", messages, api_base=url, api_key="none", max_workers=concurrency)
    return "threads, nothing durable"


def measured(name: str, rows: int, work: Any) -> None:
    started, cpu = time.perf_counter(), time.process_time()
    note = work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(f"{name:34} {rows / seconds:8,.0f} rows/s  {cpu / rows * 1e6:7,.0f} us of CPU a row  {note}")


def memory(folder: Path, rows: int) -> None:
    write_rows(folder / "many.jsonl", rows)
    client = AsyncClient(transport=AtOnce(), handler="openai_chat")
    peaks: dict[int, float] = {}

    def watch(tally: bulk.Tally) -> None:
        step = tally.rows * 10 // rows
        peaks[step] = max(peaks.get(step, 0.0), resident())

    started, cpu = time.perf_counter(), time.process_time()
    report = bulk.run(
        str(folder / "many.jsonl"),
        client,
        str(folder / "many.parquet"),
        overwrite=True,
        watch=watch,
        max_concurrency=64,
    )
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    assert (report.rows, report.failed) == (rows, 0)
    print(f"{rows:,} rows without a server: {rows / seconds:,.0f} rows/s, {cpu / rows * 1e6:,.0f} us of CPU a row")
    print("MB in memory by tenth of the rows:", " ".join(f"{peaks[step]:.0f}" for step in sorted(peaks)))
    print(f"after the output was written: {resident():.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--memory-rows", type=int, default=100_000)
    chosen = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(chosen.latency)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        environment = json.loads(server.stdout.readline())
        container = environment.pop("container")
        os.environ.update(environment)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_rows(folder / "in.jsonl", chosen.rows)
            prompts = [f"question {number}" for number in range(chosen.rows)]
            measured("sagewire.bulk, adapting", chosen.rows, lambda: run_bulk(folder, chosen.rows, None))
            measured("sagewire.bulk, 64 in flight", chosen.rows, lambda: run_bulk(folder, chosen.rows, 64))
            if importlib.util.find_spec("langchain_core"):
                measured("LangChain abatch, 64 in flight", chosen.rows, lambda: run_langchain(prompts, 64))
            if importlib.util.find_spec("litellm"):
                url = f"{container}/v1"
                measured("LiteLLM batch_completion, 64", chosen.rows, lambda: run_litellm(prompts, 64, url))
            memory(folder, chosen.memory_rows)
    finally:
        server.stdin.close()
        server.wait(10)


if __name__ == "__main__":
    main()
