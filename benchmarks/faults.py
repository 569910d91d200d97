"""Every fault of sagewire's emulator, met by sagewire, langchain-aws, LlamaIndex's class and LiteLLM, run live.

    python benchmarks/faults.py [--only WORD] [--fault WORD]

Installs the newest peers into `.bench-venv` once a day, asks for a whole answer and for a stream, called and awaited
where the library can do both, and compares what comes back with the text that the model wrote. Writes
`benchmarks/faults.json`, of which `docs/tables.py` makes the tables in the documentation. Takes some
minutes, most of which is waiting: for retries, and for calls that hang until they are killed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

# The scripts' own folder is on the path; `beside` lies in it.
from beside.environment import run_inside
from beside.fault_rows import LIMIT, PATIENCE, ROWS, TEXT, FaultRow

RESULTS = Path(__file__).resolve().with_name("faults.json")
PACKAGES = ("sagewire", "boto3", "langchain-aws", "llama-index-llms-sagemaker-endpoint", "litellm")
# Libraries at once: they wait most of the time.
AT_ONCE = 3


def measure(library: str, emulator: Any, rows: Sequence[FaultRow]) -> list[str]:
    """Return the outcome of each row: one phrase, or two where awaiting ends otherwise than calling."""
    from beside.fault_callers import LIBRARIES
    from beside.fault_outcomes import Caller

    from sagewire.emulator import EndpointSpec, Scripted

    wire = LIBRARIES[library][0]
    prefix = "".join(character if character.isalnum() else "-" for character in library.lower())[:40]

    def ended(caller: Caller, number: int, fault: str, mode: str, how: str) -> str:
        name = f"{prefix}-{number}-{mode}-{how}"
        emulator.add(name, EndpointSpec(wire, Scripted([TEXT], loop=True), faults=[fault]))
        return caller.ask(name, mode, how)

    emulator.add(prefix, EndpointSpec(wire, Scripted([TEXT], loop=True)))
    with Caller(library, prefix) as caller:
        outcomes = []
        for number, row in enumerate(rows, 1):
            ways = [how for mode, how in caller.offers if mode == row.mode]
            found = {how: ended(caller, number, row.fault, row.mode, how) for how in ways}
            outcomes.append("; awaited: ".join(dict.fromkeys(found.values())))
        print(f"measured: {library}", file=sys.stderr, flush=True)
        return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="only libraries whose name contains this word; writes nothing")
    parser.add_argument("--fault", default="", help="only faults with this word; the other rows stay as they are")
    asked = parser.parse_args()
    run_inside(__file__)

    from beside.fault_callers import LIBRARIES

    from sagewire.emulator import Emulator

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    # A closed port: whatever the Hub is asked for, nothing leaves this machine.
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
    names = [name for name in LIBRARIES if asked.only.lower() in name.lower()]
    chosen = [row for row in ROWS if asked.fault in row.fault]
    with Emulator({}) as emulator, ThreadPoolExecutor(AT_ONCE) as pool:
        os.environ.update(emulator.environ())
        columns = dict(zip(names, pool.map(lambda name: measure(name, emulator, chosen), names), strict=True))
    rows = [
        {
            "fault": row.fault,
            "mode": row.mode,
            "right": row.right,
            "outcomes": {name: columns[name][at] for name in names},
        }
        for at, row in enumerate(chosen)
    ]
    show(rows, names)
    if not asked.only:
        write(rows if not asked.fault else merged(rows))


def merged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the file with these in their places."""
    known = {(row["fault"], row["mode"]): row for row in [*json.loads(RESULTS.read_text())["rows"], *rows]}
    return [known[row.fault, row.mode] for row in ROWS]


def write(rows: list[dict[str, Any]]) -> None:
    about = {"date": datetime.date.today().isoformat(), "packages": {name: version(name) for name in PACKAGES}}
    written = {**about, "patience_seconds": PATIENCE, "limit_seconds": LIMIT, "rows": rows}
    RESULTS.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")


def show(rows: list[dict[str, Any]], names: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("fault", "call", "right", *names, title="How each call ended")
    for row in rows:
        table.add_row(row["fault"], row["mode"], row["right"], *row["outcomes"].values())
    Console(width=60 + 24 * len(names)).print(table)


if __name__ == "__main__":
    main()
