"""Bulk jobs beside a LangChain `abatch` loop and LiteLLM's batch completion, on one emulator; and memory by rows.

    python benchmarks/bulk.py [--rows 2000] [--latency 0.05] [--memory-rows 100000 500000 1000000] [--save]

Peers that are not installed are left out (`pip install -e ".[bulk,langchain]" litellm`). The emulator runs in a process
of its own, and so does each job whose memory is measured. `--save` writes `benchmarks/bulk.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sagewire import AsyncClient, bulk
from sagewire.transports.base import Body
from sagewire.types import Invocation, ResponseInfo

RESULTS = Path(__file__).with_suffix(".json")
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
    write_rows(folder / "in.jsonl", rows)
    report = bulk.run(
        str(folder / "in.jsonl"),
        "sagemaker/chat",
        str(folder / "out.jsonl"),
        overwrite=True,
        concurrency=concurrency,
    )
    assert (report.rows, report.failed) == (rows, 0)
    return f"ended at {report.concurrency} in flight"


def questions(rows: int) -> list[str]:
    return [f"question {number}" for number in range(rows)]


def run_langchain(rows: int, concurrency: int) -> str:
    from sagewire.integrations.langchain import ChatSagemakerEndpoint

    llm, prompts = ChatSagemakerEndpoint(endpoint_name="chat"), questions(rows)

    async def loop() -> None:
        for start in range(0, len(prompts), 256):
            some = prompts[start : start + 256]
            found = await llm.abatch(some, config={"max_concurrency": concurrency})
            assert [one.text for one in found] == some

    asyncio.run(loop())
    return "chunks of 256, nothing durable"


def served_at(url: str) -> str:
    """Return the name of the model that a server has."""
    with urllib.request.urlopen(f"{url}/models") as response:
        return str(json.load(response)["data"][0]["id"])


def run_litellm(rows: int, concurrency: int, url: str, model: str) -> str:
    # It would fetch prices from the internet.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    prompts = questions(rows)
    messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
    found = litellm.batch_completion(f"openai/{model}", messages, api_base=url, api_key="none", max_workers=concurrency)
    # Errors are returned rather than raised.
    failed = [one for one in found if isinstance(one, Exception)]
    assert not failed, failed[0]
    assert [one.choices[0].message.content for one in found] == prompts
    return "threads, nothing durable"


def measured(name: str, rows: int, work: Callable[[int], str]) -> dict[str, Any]:
    # Imports and first connections are paid once, and not what is compared.
    work(16)
    started, cpu = time.perf_counter(), time.process_time()
    note = work(rows)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(f"{name:34} {rows / seconds:8,.0f} rows/s  {cpu / rows * 1e6:7,.0f} us of CPU a row  {note}", flush=True)
    return {
        "who": name,
        "rows_per_second": round(rows / seconds),
        "cpu_microseconds_per_row": round(cpu / rows * 1e6),
        "note": note,
    }


class Watched:
    """Notes down this process's memory ten times a second, whatever it does."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, resident())

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def memory(rows: int) -> dict[str, Any]:
    """Run a job of so many rows without a server, in this process; writing the Parquet output is part of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "many.jsonl", rows)
        client = AsyncClient(transport=AtOnce(), handler="openai_chat")
        at: dict[int, float] = {}
        marks = [rows * tenth // 10 for tenth in range(1, 11)]

        def watch(tally: bulk.Progress) -> None:
            if marks and tally.rows >= marks[0]:
                at[marks.pop(0)] = resident()

        started, cpu = time.perf_counter(), time.process_time()
        with Watched() as watched:
            source, output = str(folder / "many.jsonl"), str(folder / "many.parquet")
            report = bulk.run(source, client, output, watch=watch, max_concurrency=64)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    assert (report.rows, report.failed) == (rows, 0)
    return {
        "rows": rows,
        "peak_megabytes": round(watched.peak),
        "megabytes_by_tenth": [round(at[mark]) for mark in sorted(at)],
        "rows_per_second": round(rows / seconds),
        "cpu_microseconds_per_row": round(cpu / rows * 1e6),
    }


def memory_apart(rows: int) -> dict[str, Any]:
    """Run such a job in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one-memory", str(rows)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    print(
        f"{rows:>9,} rows without a server: peak {found['peak_megabytes']} MB, {found['rows_per_second']:,} rows/s, "
        f"{found['cpu_microseconds_per_row']} us of CPU a row",
        flush=True,
    )
    print("          MB by tenth of the rows:", *found["megabytes_by_tenth"], flush=True)
    return found


def beside_peers(rows: int, latency: float) -> list[dict[str, Any]]:
    """Run the same rows through whoever is installed."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(latency)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        environment = json.loads(server.stdout.readline())
        url = f"{environment.pop('container')}/v1"
        os.environ.update(environment)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found = [
                measured("sagewire.bulk, adapting", rows, lambda some: run_bulk(folder, some, None)),
                measured("sagewire.bulk, 64 in flight", rows, lambda some: run_bulk(folder, some, 64)),
            ]
            if importlib.util.find_spec("langchain_core"):
                found.append(measured("LangChain abatch, 64 in flight", rows, lambda some: run_langchain(some, 64)))
            if importlib.util.find_spec("litellm"):
                model = served_at(url)
                found.append(
                    measured("LiteLLM batch_completion, 64", rows, lambda some: run_litellm(some, 64, url, model))
                )
            return found
    finally:
        server.stdin.close()
        server.wait(10)


def save(results: dict[str, Any]) -> None:
    """Write what was measured, beside what was measured before and not this time."""
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    names = ("sagewire", "pyarrow", "orjson", "langchain-core", "litellm")
    packages = {name: version(name) for name in names if importlib.util.find_spec(name.replace("-", "_"))}
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "packages": packages,
    }
    RESULTS.write_text(
        json.dumps({**before, **{name: {**about, **one} for name, one in results.items()}}, indent=2) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Bulk jobs beside others, and their memory.")
    parser.add_argument("--rows", type=int, default=2000, help="rows for each candidate; 0 leaves them out")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds the emulator takes for an answer")
    parser.add_argument(
        "--memory-rows", type=int, nargs="*", default=[100_000], help="rows of the jobs without a server"
    )
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--one-memory", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one_memory:
        print(json.dumps(memory(chosen.one_memory)))
        return
    results: dict[str, Any] = {}
    if chosen.rows:
        rows = beside_peers(chosen.rows, chosen.latency)
        results["beside"] = {"rows": chosen.rows, "latency_seconds": chosen.latency, "results": rows}
    if chosen.memory_rows:
        results["memory"] = {"results": [memory_apart(rows) for rows in chosen.memory_rows]}
    if chosen.save:
        save(results)


if __name__ == "__main__":
    main()
