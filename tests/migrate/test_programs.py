"""Programs as the libraries' tutorials write them: rewritten by the command alone they answer as before."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sagewire.cli import app

FOLDER = Path(__file__).parent
PARIS = "Paris is the capital of France."
EXPECTED = {
    "aws_chat": [PARIS, PARIS, "there is no such endpoint"],
    "community_embeddings": ["-49.34", "2"],
    "community_question_answering": ["Context: The harbour of Bergen has 14 cranes.", "there is no such endpoint"],
    "huggingface": [PARIS, PARIS, PARIS],
    "llama_index_models": [PARIS, PARIS, PARIS, "True"],
}
PACKAGES = {
    "aws_chat": ["langchain-aws"],
    "community_embeddings": ["langchain-community", "boto3"],
    "community_question_answering": ["langchain-community", "boto3"],
    "huggingface": ["langchain-huggingface"],
}
# Programs of these libraries that the tests of their successors have.
TUTORIALS = sorted((FOLDER.parent / "integrations").glob("*/tutorials/*.py"))


def migrated(path, folder):
    """Return a program after `sagewire migrate --write`."""
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    done = CliRunner().invoke(app, ["migrate", str(copy), "--write"])
    assert done.exit_code == 0, done.output
    assert "1 of 1 files rewritten, 0 things left to do" in done.output
    again = CliRunner().invoke(app, ["migrate", str(copy)])
    assert again.exit_code == 0
    assert "0 of 1 files would change" in again.output
    return copy.read_text("utf-8")


@pytest.mark.parametrize("name", EXPECTED)
def test_rewritten_program_answers(name, endpoints, tmp_path, monkeypatch):
    code = migrated(FOLDER / "programs" / f"{name}.py", tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, name, "exec"), {"__name__": "__main__"})
    assert printed.getvalue().strip().splitlines() == EXPECTED[name]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_tutorials_change_by_their_imports_only(path, tmp_path):
    before, after = path.read_text("utf-8").splitlines(), migrated(path, tmp_path).splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed
    assert all(line.startswith("from sagewire.integrations") for line in changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_original_answers_the_same(name, endpoints, python_with):
    python = python_with(*PACKAGES[name], "langchain-core")
    env = {name: value for name, value in os.environ.items() if value}
    command = [python, "-W", "ignore", FOLDER / "programs" / f"{name}.py"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    # langchain-huggingface leaves the end token of a stream in its text.
    assert done.stdout.replace("</s>", "").strip().splitlines() == EXPECTED[name]


def test_without_libcst_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "libcst", None)
    done = CliRunner().invoke(app, ["migrate", str(tmp_path)])
    assert done.exit_code == 2
    assert "[migrate]" in done.output
