"""See that every command of the workflows exists here: make targets are planned, scripts and pages are looked for.

Workflows run on machines that are not this one, so a mistyped target would be found only after a push.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def commands() -> list[tuple[str, str]]:
    """Return the job and the text of every `run` step."""
    found = []
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        for name, job in yaml.safe_load(path.read_text("utf-8"))["jobs"].items():
            found += [(f"{path.name}: {name}", step["run"]) for step in job["steps"] if "run" in step]
    return found


def problem(command: str) -> str | None:
    """Return why a command cannot work, or `None`."""
    parsed = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    if parsed.returncode:
        return parsed.stderr
    for target in re.findall(r"\bmake ([a-z-]+)", command):
        planned = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        if planned.returncode:
            return planned.stderr
    for file in re.findall(r"(?:^|\s)((?:\.ci|tests|docs)/[\w/.-]+)", command):
        if not (ROOT / file).exists():
            return f"{file} does not exist"
    return None


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    wrong = [(job, command, why) for job, command in commands() if (why := problem(command))]
    for job, command, why in wrong:
        print(f"{job}: {command}\n    {why}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
