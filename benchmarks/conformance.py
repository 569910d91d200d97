"""LangChain's own standard suites: sagewire on every wire, beside langchain-aws and langchain-huggingface, run live.

    python benchmarks/conformance.py

Each cell is what passed of what ran; skipped cases are those a suite leaves out by itself. Writes
`benchmarks/conformance.json`, of which `python docs/tables.py` makes the tables in the documentation.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from beside.environment import ROOT, run_inside

SUITES = ("Unit", "ByTool", "ByJsonSchema")
TITLES = ("unit", "integration, tools", "integration, JSON schema")
OURS = {
    "Vllm": "sagewire, vLLM (OpenAI chat)",
    "Lmi": "sagewire, LMI chat",
    "TgiMessages": "sagewire, TGI messages",
    "TgiText": "sagewire, TGI generate + prompt format",
    "HuggingFace": "sagewire, Hugging Face URL",
}
PEERS = {
    "LangchainAws": "langchain-aws ChatSagemakerEndpoint, vLLM",
    "HuggingFace": "langchain-huggingface ChatHuggingFace, TGI messages",
}
PACKAGES = ("sagewire", "langchain-core", "langchain-tests", "langchain-aws", "langchain-huggingface")
HERE = Path(__file__).resolve().parent


class Outcomes:
    """Counts outcomes by test class."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count a case once: by its call, or by a setup that did not get there."""
        if report.when != "call" and not (report.when == "setup" and report.outcome != "passed"):
            return
        name = report.nodeid.split("::")[1]
        self.counts[name]["xfailed" if hasattr(report, "wasxfail") else report.outcome] += 1


def run(path: Path, *options: str) -> dict[str, Counter[str]]:
    """Run a file of suites without its output, and count."""
    import pytest

    outcomes = Outcomes()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main([str(path), "-q", "-p", "no:cacheprovider", *options], plugins=[outcomes])
    if not outcomes.counts:
        raise SystemExit(f"no case of {path.name} ran")
    return outcomes.counts


def cell(counts: Counter[str]) -> str:
    """Return a cell's text."""
    ran = counts["passed"] + counts["failed"] + counts["xfailed"]
    notes = [f"{counts[name]} {name}" for name in ("xfailed", "skipped") if counts[name]]
    return (f"{counts['passed']} of {ran}" + (f" ({', '.join(notes)})" if notes else "")) if ran else ""


def collect() -> dict[str, dict[str, Counter[str]]]:
    """Run everything: row -> suite -> counts."""
    ours = run(ROOT / "tests" / "integrations" / "langchain" / "test_conformance.py")
    theirs = run(HERE / "beside" / "peer_suites.py", "-W", "ignore", "-o", "asyncio_mode=auto", "-c", os.devnull)
    rows: dict[str, dict[str, Counter[str]]] = {title: {} for title in (*OURS.values(), *PEERS.values())}
    for wire, title in OURS.items():
        names = {"Unit": f"TestUnitOn{wire}", "ByTool": f"Test{wire}ByTool", "ByJsonSchema": f"Test{wire}ByJsonSchema"}
        rows[title] = {suite: ours.get(name, Counter()) for suite, name in names.items()}
    for who, title in PEERS.items():
        rows[title] = {suite: theirs.get(f"Test{suite}On{who}", Counter()) for suite in SUITES}
    return rows


def main() -> None:
    run_inside(__file__)
    from rich.console import Console
    from rich.table import Table

    rows = collect()
    table = Table("model and container", *TITLES, title="LangChain's standard suites: cases passed")
    for title, suites in rows.items():
        table.add_row(title, *(cell(suites[suite]) for suite in SUITES))
    Console(width=140).print(table)
    about = {"date": datetime.date.today().isoformat(), "packages": {name: version(name) for name in PACKAGES}}
    (HERE / "conformance.json").write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
