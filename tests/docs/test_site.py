"""The site: its tables are those of the code, it builds without a warning, and it loads nothing from elsewhere."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "mkdocs.yml").exists(), reason="the pages are not beside these tests")


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        spec.loader.exec_module(module)
        yield module


def test_tables_are_those_of_the_code(tables: ModuleType) -> None:
    assert tables.main(["--check"]) == 0, "run python docs/tables.py"


def test_every_table_is_on_a_page(tables: ModuleType) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    asked = {name for path in pages for name in re.findall(r"<!-- table: (\w+)", path.read_text("utf-8"))}
    assert asked == set(tables.TABLES)


def test_a_changed_table_is_noticed(tables: ModuleType) -> None:
    page = "# T\n\n<!-- table: handlers -->\nold\n<!-- end -->\n\nrest\n"
    new = tables.filled(page)
    assert "old" not in new
    assert "`tgi_chat` | messages" in new
    assert new.endswith("<!-- end -->\n\nrest\n")
    assert tables.filled(new) == new


def test_outcomes_are_judged(tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = {"a": "full text", "b": "text lost silently", "c": "full text; awaited: hangs", "d": "typed error: X"}
    rows = [
        {"fault": "crlf", "mode": "stream", "right": "full text", "outcomes": outcomes},
        {"fault": "reset", "mode": "whole", "right": "typed error", "outcomes": {"a": "typed error: Y", "b": ""}},
    ]
    (tmp_path / "faults.json").write_text(json.dumps({"date": "2026-01-02", "versions": {"a": "1.0"}, "rows": rows}))
    monkeypatch.setattr(tables.tables_of_benchmarks, "FOLDER", tmp_path)
    summary = tables.TABLES["fault_summary"]().splitlines()
    error = "an error, though the text could be had"
    assert summary[0] == f"| Library | Right | hangs | text lost silently | {error} |"
    assert summary[2:6] == [
        "| a | 2 of 2 |  |  |  |",
        "| b | 0 of 1 |  | 1 |  |",
        "| c | 0 of 1 | 1 |  |  |",
        "| d | 0 of 1 |  |  | 1 |",
    ]
    assert "on 2026-01-02, with a 1.0." in summary[-1]
    outcomes_table = tables.TABLES["fault_outcomes"]()
    assert "| `reset` | whole | typed error | **not offered**: b, c, d |" in outcomes_table
    assert (
        "| **text lost silently**: b<br>**full text; awaited: hangs**: c<br>**typed error: X**: d |" in outcomes_table
    )
    assert tables.TABLES["standard_suites"]() == "No run has been recorded yet.\n"


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    for path in (ROOT / "docs").rglob("*.md"):
        assert str(path.relative_to(ROOT / "docs")) in text
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"tutorials/{path.stem}.md" in text


def inventory(path: Path) -> set[str]:
    """Return the names that the reference describes, as other sites look them up."""
    *_, packed = path.read_bytes().split(b"\n", 4)
    return {line.split(" ")[0] for line in zlib.decompress(packed).decode().splitlines()}


@pytest.mark.slow
def test_builds_strictly_and_needs_no_other_host(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 35
    for page in pages:
        loaded = re.findall(
            r'<(?:script|img|iframe)[^>]*\ssrc="([^"]*)"|<link[^>]*\srel="stylesheet"[^>]*href="([^"]*)"',
            page.read_text(),
        )
        assert not [place for places in loaded for place in places if place.startswith(("http", "//"))], page
    listed = inventory(tmp_path / "site" / "objects.inv")
    assert {"sagewire.Client.chat", "sagewire.bulk.run", "sagewire.errors.Throttled", "sagewire.types.Reply"} <= listed
