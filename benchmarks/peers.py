"""sagewire beside boto3, langchain-aws, LlamaIndex's class and LiteLLM: the same work on the same bytes, in one run.

Installs the newest peers into `.bench-venv` once a day, prints a table, and writes `benchmarks/results.json` and
`benchmarks/results.png`, of which `python docs/tables.py` makes the tables in the documentation.

    python benchmarks/peers.py [--rounds 5] [--only WORD] [--no-files]

The numbers that count are the ratios within each round: candidates take turns, so a busy machine slows all of them.
"CPU" is that of the client's process, all its threads together; the server runs in another.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

# The scripts' own folder is on the path; `beside` lies in it.
from beside.environment import run_inside

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="how often each candidate takes its turn")
    parser.add_argument("--only", default="", help="only rows whose work contains this word")
    parser.add_argument("--no-files", action="store_true", help="print the table and write nothing")
    asked = parser.parse_args()
    run_inside(__file__)

    from beside.measures import interleaved
    from beside.processes import process_rows
    from beside.rows import work_rows
    from beside.server import serving
    from beside.table import Result, draw, show, write

    logging.disable(logging.WARNING)
    results = []
    with serving() as url:
        for row in [*work_rows(url), *process_rows(url)]:
            if asked.only.lower() in row.work.lower():
                print(f"measuring: {row.work}", file=sys.stderr, flush=True)
                results.append(Result(row, interleaved(row.measures, asked.rounds)))
    show(results)
    if not asked.no_files and not asked.only:
        write(results, HERE / "results.json")
        draw(results, HERE / "results.png")


if __name__ == "__main__":
    main()
