"""Two gateways with two workers each on one PostgreSQL and one Redis, as `benchmarks/gateway_cluster.py` runs them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gateway_cluster.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not beside these tests"),
]


def test_counts_are_exact_and_no_known_key_fails(database: str, redis: Any, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--postgres", database, "--redis", redis.url, "--out", tmp_path / "found"]
    # Few at a time, so that a slow machine is busy and not overwhelmed.
    done = subprocess.run(
        [*command, "--seconds", "1", "--away", "3", "--concurrency", "8"], capture_output=True, text=True, check=False
    )
    assert (tmp_path / "found").exists(), done.stderr
    found = json.loads((tmp_path / "found").read_text())
    assert found["of them failed"] == 0, found
    assert found["counted wrongly"] == 0, found
    assert found["admitted of three times the limit"] == found["limit"]
    # All of it has happened: load, restart and outage.
    assert found["requests of known keys"] > 100
    assert done.returncode == 0
