"""Programs written for EasyLLM, as its documentation writes them, with nothing but the import line changed."""

import contextlib
import io
import os
import subprocess
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parent / "tutorials").glob("*.py"))
THEIRS, OURS = "from easyllm.clients import ", "from sagewire.integrations.easyllm import "


def ported(path):
    lines = path.read_text("utf-8").splitlines(keepends=True)
    changed = [line.replace(THEIRS, OURS) for line in lines]
    assert sum(old != new for old, new in zip(lines, changed, strict=True)) == 1
    return "".join(changed)


def run(path, emulator, monkeypatch):
    monkeypatch.setenv("ENDPOINTS_URL", f"{emulator.url}/endpoints")
    monkeypatch.setenv("CONTAINER_URL", emulator.container_url("tgi"))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(ported(path), str(path), "exec"), {"__name__": "__main__"})
    return out.getvalue()


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_runs_with_the_import_line_changed(path, emulator, monkeypatch):
    out = run(path, emulator, monkeypatch)
    assert len(out.strip()) > 5
    assert "Traceback" not in out


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_prints_what_easyllm_prints(path, emulator, monkeypatch, python_with):
    # It pins versions of its dependencies that nothing else can live with.
    python = python_with("easyllm==0.6.2", "boto3")
    ours = run(path, emulator, monkeypatch)
    command = [python, "-W", "ignore", path]
    # A session token that is set and empty is sent there as it is.
    env = {name: value for name, value in os.environ.items() if value}
    theirs = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    # EasyLLM writes a beginning-of-text token that TGI then adds once more; TGI's answer begins with the prompt.
    assert ours.strip() == theirs.stdout.strip().replace("<s>[INST]", "[INST]")
