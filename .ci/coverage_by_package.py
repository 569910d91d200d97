"""Print the coverage that `make coverage` recorded, a line per package."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path, PurePath


def main() -> None:
    """Read `.coverage` in the current folder and print lines, branches and their share per package."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", str(report)], check=True)
        files = json.loads(report.read_text("utf-8"))["files"]
    packages: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, file in files.items():
        parts = PurePath(name).parts
        inside = parts[parts.index("sagewire") + 1 :]
        summary = file["summary"]
        counted = packages[inside[0].removesuffix(".py")], packages["all"]
        for package in counted:
            package[0] += summary["covered_lines"] + summary["covered_branches"]
            package[1] += summary["num_statements"] + summary["num_branches"]
    for package, (covered, total) in sorted(packages.items(), key=lambda item: (item[0] == "all", item[0])):
        print(f"{package:<18}{100 * covered / max(total, 1):6.1f} %   {covered} of {total} lines and branches")


if __name__ == "__main__":
    main()
