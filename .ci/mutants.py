"""Change the code in small ways and see whether a test notices: `make mutants`.

    python .ci/mutants.py [PART ...] [--each N]

cosmic-ray works on a copy of the project, because it changes files in place. Every part of the code has its own tests;
of all its mutants a sample is tried, always the same one, as trying all takes days. Survivors are printed: each is a
line that no test of that part holds, or a change that means the same.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Annotations are never evaluated, `x is None` and `x == None` are the same here, and decorators carry no decisions.
MEANINGLESS = (
    r"core/ReplaceBinaryOperator_BitOr_.*",
    r"core/ReplaceComparisonOperator_Is.*_.*",
    r"core/RemoveDecorator",
)
SECONDS = 600.0


@dataclass(frozen=True)
class Part:
    """A part of the package and the tests that hold it."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = {
    "streaming": Part(("streaming",), ("streaming",)),
    "client": Part(("client",), ("client",)),
    "retrying": Part(
        ("transports/retrying.py", "transports/backoff.py"),
        ("transports/test_retrying.py", "transports/test_patience.py", "transports/sagemaker"),
    ),
    "routing": Part(("gateway/routing",), ("gateway/routing",)),
    "quota": Part(
        ("gateway/auth.py", "gateway/keys.py", "gateway/quota.py", "gateway/rate_limits.py"),
        ("gateway/test_auth.py", "gateway/accounting"),
    ),
    "state": Part(("bulk/state",), ("bulk/state", "bulk/test_limits.py")),
}


def main() -> int:
    """Try the mutants of each part, and print how many survived."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART")
    parser.add_argument("--each", type=int, default=60, help="how many mutants of a part are tried")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*venv", ".git", "dist", "site", "__pycache__"))
        for name in chosen.parts or PARTS:
            try_part(name, PARTS[name], copy, chosen.each)
    return 0


def try_part(name: str, part: Part, copy: Path, count: int) -> None:
    """Try a sample of a part's mutants."""
    config, session = copy / f"{name}.toml", copy / f"{name}.sqlite"
    config.write_text(configuration(part), "utf-8")
    for step in (["cosmic-ray", "init"], ["cr-filter-operators"]):
        names = [session, config] if step == ["cr-filter-operators"] else [config, session]
        run(copy, *step, *map(str, names))
    total = take_sample(session, count)
    run(copy, "cosmic-ray", "--verbosity", "ERROR", "exec", str(config), str(session))
    killed, survivors = outcomes(session)
    tried = killed + len(survivors)
    print(f"{name}: {killed} of {tried} mutants noticed ({killed / max(tried, 1):.0%}), from {total}", flush=True)
    for survivor in survivors:
        print(survivor, flush=True)


def configuration(part: Part) -> str:
    """Return cosmic-ray's configuration."""
    modules = [f"sagewire/{module}" for module in part.modules]
    tests = " ".join(f"tests/{test}" for test in part.tests)
    command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider -m 'not slow' {tests}"
    return "\n".join(
        [
            "[cosmic-ray]",
            f"module-path = {modules}",
            f"timeout = {SECONDS}",
            "excluded-modules = []",
            f'test-command = "{command}"',
            "[cosmic-ray.distributor]",
            'name = "local"',
            "[cosmic-ray.filters.operators-filter]",
            f"exclude-operators = {list(MEANINGLESS)!r}",
        ]
    )


def take_sample(session: Path, count: int) -> int:
    """Keep `count` of the mutants that are left to try, and return how many there were."""
    with sqlite3.connect(session) as database:
        waiting = database.execute(
            "select job_id from mutation_specs where job_id not in (select job_id from work_results) order by "
            "module_path, start_pos_row, start_pos_col, operator_name, occurrence"
        ).fetchall()
        left_out = random.Random(1).sample(waiting, max(0, len(waiting) - count))
        for table in ("mutation_specs", "work_items"):
            database.executemany(f"delete from {table} where job_id = ?", left_out)
    return len(waiting)


def outcomes(session: Path) -> tuple[int, list[str]]:
    """Return how many mutants were noticed, and a description of each that was not."""
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "select test_outcome, module_path, start_pos_row, operator_name, diff from work_results "
            "join mutation_specs using (job_id) where worker_outcome = 'NORMAL' order by module_path, start_pos_row"
        ).fetchall()
    survivors = [
        f"  {path}:{line} {operator.removeprefix('core/')}\n" + changed_lines(diff)
        for outcome, path, line, operator, diff in rows
        if outcome == "SURVIVED"
    ]
    return len(rows) - len(survivors), survivors


def changed_lines(diff: str) -> str:
    """Return the lines of a diff that say what was changed."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(f"    {line}" for line in lines)


def run(folder: Path, *command: str) -> None:
    """Run a tool in the copy; its own output is of no interest."""
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    raise SystemExit(main())
