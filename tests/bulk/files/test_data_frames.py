"""Tables that pandas, polars and `datasets` have written, through a job, and back into each of them."""

import os
import subprocess
from pathlib import Path

import pytest

from sagewire import bulk

PROGRAM = Path(__file__).with_name("data_frames.py")


@pytest.mark.slow
def test_tables_of_data_frames_come_back(models, tmp_path, python_with):
    python = python_with("pandas>=2", "polars>=1", "datasets>=3", "pyarrow")

    def run(what):
        offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
        done = subprocess.run(
            [python, PROGRAM, what, tmp_path], env=offline, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]

    run("write")
    (tmp_path / "out").mkdir()
    for path in sorted(path for path in tmp_path.iterdir() if path.is_file()):
        output = tmp_path / "out" / path.name.removesuffix(".gz")
        report = bulk.run(str(path), "sagemaker/chat", str(output), column="prompt")
        assert (report.complete, report.failed, report.rows) == (True, 0, 40), (path, report)
    run("read")
