"""Every Python block of the pages and the README runs, and prints what the page says it prints.

The blocks of a page share their names, from top to bottom, and talk to an emulator with its default endpoints. A block
is left out only where the paragraph above it says so: `Before`, `Not run`.
"""

import ast
import asyncio
import contextlib
import gc
import inspect
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sagewire.emulator import Emulator

ROOT = Path(__file__).parents[2]
# These name programs of other libraries, and have tests of their own.
OTHERS = ("frameworks.md", "migrating.md")
PAGES = sorted(
    path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if path.exists() and path.name not in OTHERS
)
BLOCK = re.compile(
    r"(?ms)^(?P<marks>`{3,})python\n(?P<code>.*?)^(?P=marks)\n(?:\n^```text title=\"Output\"\n(?P<shown>.*?)^```)?"
)
LEFT_OUT = ("Before", "Not run")


@dataclass(frozen=True)
class Block:
    """A Python block of a page."""

    line: int
    code: str
    shown: str | None
    runs: bool


def blocks(path: Path) -> list[Block]:
    text = path.read_text("utf-8")
    found = []
    for match in BLOCK.finditer(text):
        above = text[: match.start()].rstrip().rsplit("\n\n", 1)[-1]
        runs = not re.search(rf"(?:^|\s)(?:{'|'.join(LEFT_OUT)})\b", above)
        found.append(Block(text.count("\n", 0, match.start()) + 2, match["code"], match["shown"], runs))
    return found


def run(block: Block, path: Path, names: dict[str, Any]) -> str:
    """Run one block and return what it printed."""
    printed = io.StringIO()
    code = compile(block.code, f"{path.name}:{block.line}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(printed):
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, names))
        else:
            exec(code, names)
    return printed.getvalue()


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_run(
    path: Path, clean_environment: None, telemetry: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The files that a page writes.
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    page = [block for block in blocks(path) if block.runs]
    if not page:
        return
    with Emulator() as emulator:
        for name, value in emulator.environ().items():
            monkeypatch.setenv(name, value)
        try:
            for block in page:
                printed = run(block, path, names)
                if block.shown is not None:
                    assert printed.rstrip() == block.shown.rstrip(), f"{path.name}, line {block.line}"
        finally:
            # OpenAI's client leaves its connections open when it is dropped; what is left is collected here, where
            # that is allowed, and not in another test.
            names.clear()
            gc.collect()


def test_every_fence_is_seen() -> None:
    """A fence the pattern does not know (indented, tildes, attributes) would be left out silently."""
    for path in PAGES:
        text = path.read_text("utf-8")
        fences = len(re.findall(r"(?mi)^\s*(?:`{3,}|~{3,})\s*(?:python|py|pycon)\b", text))
        assert fences == len(blocks(path)), path.name


def test_few_blocks_are_left_out() -> None:
    left_out = [(path.name, block.line) for path in PAGES for block in blocks(path) if not block.runs]
    assert len(left_out) <= 2, left_out
    assert sum(block.runs for path in PAGES for block in blocks(path)) > 40
