"""Programs written for LiteLLM, as its documentation writes them, with nothing but the import line changed."""

import contextlib
import io
import os
import subprocess
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parent / "tutorials").glob("*.py"))
IMPORTS = {
    "from litellm import ": "from sagewire.integrations.litellm import ",
    "import litellm\n": "from sagewire.integrations import litellm\n",
}


def ported(path):
    lines = path.read_text("utf-8").splitlines(keepends=True)
    changed = [
        next((line.replace(old, new) for old, new in IMPORTS.items() if line.startswith(old)), line) for line in lines
    ]
    assert sum(old != new for old, new in zip(lines, changed, strict=True)) == 1
    return "".join(changed)


def run(path, emulator, monkeypatch):
    emulator.add("tei", "tei")
    monkeypatch.setenv("INVOCATIONS_URL", f"{emulator.url}/endpoints/tgi/invocations")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(ported(path), str(path), "exec"), {"__name__": "__main__"})
    return out.getvalue()


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_runs_with_the_import_line_changed(path, emulator, monkeypatch):
    out = run(path, emulator, monkeypatch)
    assert len(out.strip()) > 3
    assert "None" not in out


# What LiteLLM prints besides the answer: the prompt, which it does not know from the answer, or the model's end token.
MORE = {"provider_specific", "stream"}
# Embeddings go to AWS there whatever the address; everything else can be sent to the emulator.
BESIDE = [path for path in TUTORIALS if path.stem != "embedding"]


@pytest.mark.slow
@pytest.mark.parametrize("path", BESIDE, ids=lambda path: path.stem)
def test_prints_what_litellm_prints(path, emulator, monkeypatch, python_with):
    python = python_with("litellm>=1.80,<2", "boto3")
    ours = run(path, emulator, monkeypatch).strip()
    # Its list of prices is not fetched.
    env = {name: value for name, value in os.environ.items() if value} | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [python, "-W", "ignore", path]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.strip()
    if path.stem in MORE:
        assert ours in theirs
        assert len(theirs) > len(ours)
    else:
        assert ours == theirs
