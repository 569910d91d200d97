"""Look for known holes in the oldest versions that the bounds of `pyproject.toml` allow.

python tests/versions/audit.py
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def audit() -> bool:
    """Return whether no direct dependency has a known hole; say so if nobody could be asked."""
    with tempfile.TemporaryDirectory(prefix="sagewire-") as folder:
        pinned, report = Path(folder, "pinned.txt"), Path(folder, "report.json")
        resolving = ("--quiet", "--resolution", "lowest-direct", "--extra", "all", "--output-file", str(pinned))
        subprocess.run(["uv", "pip", "compile", *resolving, "pyproject.toml"], cwd=ROOT, check=True, timeout=300)
        asking = ("--requirement", str(pinned), "--no-deps", "--disable-pip", "--progress-spinner", "off")
        command = ["uvx", "pip-audit>=2.9,<3", *asking, "--format", "json", "--output", str(report)]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
            said = asked.stderr.strip().splitlines()
        except subprocess.TimeoutExpired:
            said = ["no answer within 300 s"]
        if report.exists():
            found = json.loads(report.read_text("utf-8"))["dependencies"]
            skipped = [package["skip_reason"] for package in found if "skip_reason" in package]
        # A package index that is a mirror knows nothing of holes: then every package is skipped.
        if not report.exists() or len(skipped) == len(found):
            reason = skipped[0] if report.exists() else said[-1] if said else "no reason given"
            print(f"NOT ASKED  audit: nobody could be asked about holes: {reason[:300]}", flush=True)  # noqa: T201
            # No reason to stop a release, and no answer either.
            return True
    direct = _direct()
    ours = False
    for package in found:
        for hole in package.get("vulns", ()):
            own = package["name"].lower() in direct
            # The version of any other package is chosen by whoever needs it.
            ours = ours or own
            fixed = ", ".join(hole["fix_versions"]) or "no version yet"
            where = f"{'hole' if own else 'hole, not ours'}: {package['name']} {package['version']}"
            print(f"{where}: {hole['id']}, fixed in {fixed}", flush=True)  # noqa: T201
    outcome = "FAILED" if ours else "passed"
    print(f"{outcome}  audit of {len(found) - len(skipped)} packages, {len(skipped)} not known", flush=True)  # noqa: T201
    return not ours


def _direct() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    return {name.lower() for name in re.findall(r'^\s*"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?[><=]', text, re.MULTILINE)}


if __name__ == "__main__":
    sys.exit(not audit())
