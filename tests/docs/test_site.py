"""The site: its tables are those of the code, it builds without a warning, and it loads nothing from elsewhere."""

import importlib.util
import os
import re
import subprocess
import sys
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


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    for path in (ROOT / "docs").rglob("*.md"):
        assert str(path.relative_to(ROOT / "docs")) in text
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"tutorials/{path.stem}.md" in text


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
