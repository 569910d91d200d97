"""How results are shown: a table, a JSON file, and a plot."""

from __future__ import annotations

import datetime
import json
import platform
import statistics
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from beside.rows import Row

__all__ = ["Result", "draw", "show", "write"]

VERSIONS = ("sagewire", "boto3", "langchain-aws", "llama-index-llms-sagemaker-endpoint", "litellm", "langchain-core")
SIGNS = {"less": "<=", "more": ">="}


@dataclass(frozen=True)
class Result:
    """A row with what was measured, round by round."""

    row: Row
    rounds: dict[str, list[float]]

    @property
    def values(self) -> dict[str, float]:
        """The median of each candidate's rounds."""
        return {name: statistics.median(taken) for name, taken in self.rounds.items()}

    @property
    def found(self) -> float:
        """What the target is a bound on.

        Compared within each round, the median of which counts: a machine that is shared has fast and slow spells, which
        last longer than a round.
        """
        ours, *others = self.rounds.values()
        if self.row.kind == "value":
            return statistics.median(ours)
        pairs = zip(ours, others[0], strict=True)
        return statistics.median(our / their if self.row.kind == "ratio" else our - their for our, their in pairs)

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.found <= self.row.target if self.row.better == "less" else self.found >= self.row.target

    @property
    def other(self) -> str:
        """Whom sagewire is compared with."""
        return next((name for name in list(self.values)[1:]), "")

    def text(self, number: float) -> str:
        """Return a target or a finding with what it is."""
        if self.row.kind == "ratio":
            return f"{number:.2f} x"
        return f"{number:,.1f}" + (" more" if self.row.kind == "difference" else "")


def show(results: list[Result]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="sagewire beside its peers: medians of interleaved rounds, one run, loopback")
    for name, side in (("work", "left"), ("sagewire", "right"), ("other", "right"), ("unit", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for name in ("compared with", "target", "measured", "verdict"):
        table.add_column(name, justify="left" if name in ("compared with", "verdict") else "right")
    for result in results:
        row, (ours, *others) = result.row, result.values.values()
        table.add_row(
            row.work,
            _number(ours),
            _number(others[0]) if others else "",
            row.unit,
            result.other,
            f"{SIGNS[row.better]} {result.text(row.target)}",
            result.text(result.found),
            "[green]met[/]" if result.met else "[red]missed[/]",
        )
    Console(width=160).print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def write(results: list[Result], path: Path) -> None:
    """Write the results, with the versions they are of, as JSON."""
    rows: list[dict[str, Any]] = [
        {
            "work": result.row.work,
            "unit": result.row.unit,
            "values": {name: round(value, 4) for name, value in result.values.items()},
            "target": f"{SIGNS[result.row.better]} {result.text(result.row.target)}",
            "measured": round(result.found, 4),
            "met": result.met,
        }
        for result in results
    ]
    about = {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in VERSIONS},
    }
    path.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


def draw(results: list[Result], path: Path) -> None:
    """Draw how many times better sagewire is than whom it is compared with, with a mark at each target."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [result for result in results if result.row.kind == "ratio" and result.other != "sagewire at 64"][::-1]
    labels = [f"{result.row.work}\nbeside {result.other}" for result in shown]
    times = [_times(result, result.found) for result in shown]
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(shown) + 1.2))
    axes.barh(labels, times, color="#2a6f97")
    for place, result in enumerate(shown):
        target = _times(result, result.row.target)
        axes.plot([target, target], [place - 0.4, place + 0.4], color="#e07a5f", linewidth=2)
        axes.text(times[place] * 1.03, place, f"{times[place]:.1f} x", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(0.8, max(times) * 1.5)
    axes.set_xticks([1, 2, 5, 10, 20], ["1 x", "2 x", "5 x", "10 x", "20 x"])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("sagewire beside its peers: times faster or less CPU (line: target)", fontsize=10)
    axes.tick_params(axis="y", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def _times(result: Result, ratio: float) -> float:
    return 1 / ratio if result.row.better == "less" else ratio
