"""How near a bulk job that finds its concurrency by itself comes to the best fixed one, on servers of several kinds.

    python benchmarks/bulk_pace.py [--rows 3000] [--fixed 8 16 24 32 64] [--save]

Each server runs in a process of its own. `--save` writes `benchmarks/bulk_pace.json`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from beside.slow_server import KINDS, run_slow_server

from sagewire import bulk

RESULTS = Path(__file__).with_suffix(".json")


def run(folder: Path, url: str, rows: int, concurrency: int | None) -> tuple[float, bulk.Report]:
    """Return the rows per second of a job, and its report."""
    source = folder / "in.jsonl"
    with source.open("w") as file:
        file.writelines(f'{{"prompt": "question {number}"}}\n' for number in range(rows))
    report = bulk.run(
        str(source),
        url,
        str(folder / "out.jsonl"),
        overwrite=True,
        concurrency=concurrency,
        client_arguments={"handler": "openai_chat"},
    )
    assert (report.rows, report.failed) == (rows, 0)
    return rows / report.seconds, report


def measure(kind: str, rows: int, fixed: list[int]) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=run_slow_server, args=(kind, theirs), daemon=True)
    server.start()
    url = json.loads(ours.recv())
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run(folder, url, 16, 8)
            # A fixed number is at its pace at once, so that fewer rows tell it.
            rates = {number: run(folder, url, rows // 4, number)[0] for number in fixed}
            adapting, report = run(folder, url, rows, None)
    finally:
        server.terminate()
        server.join()
    best = max(rates, key=lambda number: rates[number])
    found = {
        "server": KINDS[kind],
        "best fixed": best,
        "rows/s at the best fixed": round(rates[best], 1),
        "rows/s adapting": round(adapting, 1),
        "share of the best": round(adapting / rates[best], 2),
        "ended at": report.concurrency,
        "throttled": report.throttled,
        "rows/s fixed": {str(number): round(rate, 1) for number, rate in rates.items()},
    }
    print(json.dumps({kind: found}, indent=2), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--fixed", type=int, nargs="*", default=[8, 16, 24, 32, 64])
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load average before": round(os.getloadavg()[0], 1),
        "rows": arguments.rows,
        "servers": {kind: measure(kind, arguments.rows, arguments.fixed) for kind in KINDS},
    }
    if arguments.save:
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
