"""The comparison with other libraries, out of what the benchmarks wrote: `benchmarks/*.json`.

A part says so where its benchmark has not been run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from table_rows import code, table

__all__ = [
    "bulk_jobs",
    "bulk_memory",
    "bulk_pace",
    "fault_outcomes",
    "fault_summary",
    "gateway_cluster",
    "gateway_load",
    "measures",
    "measures_readme",
    "packages",
    "standard_suites",
]

FOLDER = Path(__file__).parents[1] / "benchmarks"
NOT_RUN = "No run has been recorded yet.\n"
SUITES = {"Unit": "Unit", "ByTool": "Integration, tools", "ByJsonSchema": "Integration, JSON schema"}
# What of `gateway.json` is shown.
LOAD = (
    "answers per CPU-s",
    "streams of 8 per CPU-s",
    "chunks per CPU-s (64 streams of 100)",
    "first piece added, alone, p50 ms",
    "first piece added, beside 64 streams, p50 ms",
    "first piece added, beside 64 streams, p99 ms",
    "first piece added, without pauses, alone, p50 ms",
    "first piece added, without pauses, beside 64 streams, p50 ms",
    "memory MB",
)
# What of `gateway_cluster.json` is shown.
CLUSTER = (
    "requests/s per process",
    "requests per CPU-s",
    "requests of known keys",
    "of them failed",
    "counted wrongly",
    "limit",
    "admitted of three times the limit",
)
# What of `results.json` the README shows.
README_ROWS = {
    ("LangChain chat invoke", "langchain-aws"),
    ("LlamaIndex chat", "llama-index-llms-sagemaker-endpoint"),
    ("64 AsyncClient.chat in flight", "LiteLLM"),
}
# A fault's outcome, by how it begins; the first that matches counts.
ENDS = {
    "hangs": "hangs",
    "text lost silently": "text lost silently",
    "text doubled": "wrong text",
    "wrong text": "wrong text",
    "untyped error": "untyped error",
    "typed error": "an error, though the text could be had",
    "full text": "a text, though there was an error",
}


def standard_suites() -> str:
    """Return how many cases of LangChain's standard suites pass."""
    found = _read("conformance.json")
    if found is None:
        return NOT_RUN
    rows = [(title, *(_passed(suites.get(suite, {})) for suite in SUITES)) for title, suites in found["rows"].items()]
    return (
        f"{table(('Class and container', *SUITES.values()), rows)}\n{_when(found, 'python benchmarks/conformance.py')}"
    )


def measures() -> str:
    """Return every measurement, with its target."""
    found = _read("results.json")
    if found is None:
        return NOT_RUN
    head = ("What is measured", "Unit", "sagewire", "The other", "Ratio", "Target", "Met")
    rows = []
    for row in found["rows"]:
        ours, other, theirs = _pair(row)
        ratio = f"{_times(row):.1f} x" if theirs is not None else ""
        shown = f"{_number(theirs)} ({other})" if theirs is not None else ""
        met = "yes" if row["met"] else "no"
        rows.append((row["work"], row["unit"], _number(ours), shown, ratio, row["target"], met))
    return f"{table(head, rows)}\n{_when(found, 'make bench')}"


def measures_readme() -> str:
    """Return three measurements beside published classes for the same endpoints."""
    found = _read("results.json")
    if found is None:
        return NOT_RUN
    rows = []
    for row in found["rows"]:
        ours, other, theirs = _pair(row)
        if (row["work"], other) in README_ROWS:
            shown = f"{_number(ours)} {row['unit']}", f"{_number(theirs)} ({other})", f"{_times(row):.1f} x"
            rows.append((row["work"], *shown))
    return f"{table(('Work', 'sagewire', 'Compared with', 'Speed-up'), rows)}\n{_when(found, 'make bench')}"


def gateway_load() -> str:
    """Return what gateway, floor and LiteLLM's proxy do with the same load, and how the minute of faults ended."""
    found = _read("gateway.json")
    if found is None:
        return NOT_RUN
    servers = found["servers"]
    rows = [(what, *(_number(server[what]) for server in servers.values())) for what in LOAD]
    soak = found["soak"]
    ends = ", ".join(f"{_number(count)} {end}" for end, count in soak["ends"].items())
    return (
        f"{table(('What is measured', *servers), rows)}\n{_when(found, 'python benchmarks/gateway.py')}\n"
        f"The load average of its {found['cores']} cores was {found['load average before']} before it began.\n\n"
        f"{soak['streams at a time']} streams at a time for {soak['seconds']:.0f} seconds, with faults and reloads: "
        f"{ends}.\n"
    )


def gateway_cluster() -> str:
    """Return what several gateways on one database do under load, in a restart and without the database."""
    found = _read("gateway_cluster.json")
    if found is None:
        return NOT_RUN
    rows = [(what, _number(found[what])) for what in CLUSTER]
    away, load = found["seconds without the database"], found["load average before"]
    command = "python benchmarks/gateway_cluster.py"
    return (
        f"{table(('What is measured', 'Result'), rows)}\n{_when(found, command)}\n"
        f"The database was silent for {away:.0f} seconds; {found['cores']} cores, load average {load:g} before.\n"
    )


def bulk_jobs() -> str:
    """Return how fast rows go through the same endpoint, by whoever sends them."""
    found = (_read("bulk.json") or {}).get("beside")
    if found is None:
        return NOT_RUN
    rows = [
        (one["who"], _number(one["rows_per_second"]), _number(one["cpu_microseconds_per_row"]), one["note"])
        for one in found["results"]
    ]
    head = ("Who", "Rows/s", "CPU per row, microseconds", "")
    return f"{table(head, rows)}\n{_when(found, 'python benchmarks/bulk.py --save')}"


def bulk_memory() -> str:
    """Return the memory of jobs of more and more rows."""
    found = (_read("bulk.json") or {}).get("memory")
    if found is None:
        return NOT_RUN
    rows = [
        (f"{one['rows']:,}", _number(one["peak_megabytes"]), _number(one["cpu_microseconds_per_row"]))
        for one in found["results"]
    ]
    head = ("Rows", "Most memory, MB", "CPU per row, microseconds")
    return f"{table(head, rows)}\n{_when(found, 'python benchmarks/bulk.py --save')}"


def bulk_pace() -> str:
    """Return how near a job that adapts comes to the best fixed number of calls in flight."""
    found = _read("bulk_pace.json")
    if found is None:
        return NOT_RUN
    rows = [
        (
            one["server"],
            f"{_number(one['rows/s at the best fixed'])} (at {one['best fixed']})",
            _number(one["rows/s adapting"]),
            f"{one['share of the best']:.2f}",
        )
        for one in found["servers"].values()
    ]
    head = ("Server", "Rows/s at the best fixed number", "Rows/s adapting", "Share")
    when = _when(found, "python benchmarks/bulk_pace.py --save")
    machine = f"{found['cores']} cores, load average {found['load average before']:g} before"
    return f"{table(head, rows)}\n{when}\n{found['rows']:,} rows each; {machine}.\n"


def fault_summary() -> str:
    """Return how often each library did what is right when something broke, and what it did instead."""
    found = _read("faults.json")
    if found is None:
        return NOT_RUN
    ends = {name: [end for _, end in _ends(found, name) if end] for name in _libraries(found)}
    kinds = [kind for kind in dict.fromkeys(ENDS.values()) if any(kind in ended for ended in ends.values())]
    rows = [
        (name, f"{ended.count('right')} of {len(ended)}", *(str(ended.count(kind) or "") for kind in kinds))
        for name, ended in ends.items()
    ]
    return f"{table(('Library', 'Right', *kinds), rows)}\n{_when(found, 'python benchmarks/faults.py')}"


def fault_outcomes() -> str:
    """Return what became of each call, and whose."""
    found = _read("faults.json")
    if found is None:
        return NOT_RUN
    ends = {name: _ends(found, name) for name in _libraries(found)}
    rows = []
    for number, row in enumerate(found["rows"]):
        others: dict[str, list[str]] = {}
        for name, ended in ends.items():
            text, end = ended[number]
            if end != "right":
                others.setdefault(text or "not offered", []).append(name)
        cell = "<br>".join(f"**{text}**: {', '.join(names)}" for text, names in others.items())
        rows.append((code(row["fault"]), row["mode"], row["right"], cell))
    head = ("Fault", "Call", "Right", "What else happened, and to whom")
    return f"{table(head, rows)}\n{_when(found, 'python benchmarks/faults.py')}"


def _libraries(found: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for row in found["rows"] for name in row["outcomes"]))


def _ends(found: Mapping[str, Any], library: str) -> list[tuple[str, str]]:
    """Return a library's outcome of each row, and what kind of outcome that is."""
    outcomes = [row["outcomes"].get(library, "") for row in found["rows"]]
    return [(text, _ended(text, row["right"])) for text, row in zip(outcomes, found["rows"], strict=True)]


def packages() -> int:
    """Return how many packages `pip install sagewire` installs, by the recorded measurement."""
    rows = _read("results.json")["rows"]
    return next(int(row["values"]["sagewire"]) for row in rows if row["unit"] == "packages")


def _read(name: str) -> Any:
    path = FOLDER / name
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def _when(found: Mapping[str, Any], command: str) -> str:
    packages = found.get("packages") or found.get("versions") or {}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return f"One run of `{command}` on {found['date']}" + (f", with {versions}.\n" if versions else ".\n")


def _passed(counts: Mapping[str, int]) -> str:
    passed = counts.get("passed", 0)
    ran = passed + counts.get("failed", 0) + counts.get("xfailed", 0)
    return f"{passed} of {ran}" if ran else ""


def _pair(row: Mapping[str, Any]) -> tuple[float, str, float | None]:
    """Return our value, and the other's name and value."""
    values = row["values"]
    other = next((name for name in values if name != "sagewire"), "")
    return values["sagewire"], other, values.get(other)


def _times(row: Mapping[str, Any]) -> float:
    ours, _, theirs = _pair(row)
    if theirs is None:
        return 1.0
    # The median of the rounds' ratios is steadier than the ratio of their medians.
    ratio = row["measured"] if row["target"].endswith("x") else ours / theirs
    return float(1 / ratio if row["target"].startswith("<") else ratio)


def _peers(found: Mapping[str, Any]) -> set[str]:
    """Return whose classes do the same as ours: not boto3, on which they are built, nor a raw socket."""
    return {*found["packages"], "LiteLLM"} - {"sagewire", "boto3"}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _ended(outcome: str, right: str) -> str:
    """Return `right`, or the kind of the first outcome (called, awaited) that is not."""
    for one in filter(None, outcome.split("; awaited: ")):
        if not one.startswith(right):
            return next(kind for start, kind in ENDS.items() if one.startswith(start))
    return "right" if outcome else ""
