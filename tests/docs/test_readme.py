"""What the README and the pages claim: the transcript, numbers, links, commands, targets and extras."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..cases import each

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the pages are not beside these tests")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
FENCE = re.compile(r"(?ms)^(`{3,})([^\n]*)\n(.*?)^\1$")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
# Ports, times and counts of time.
VARYING = ((r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"), (r"\d+ ms", "N ms"))


def masked(text: str) -> str:
    for pattern, shown in VARYING:
        text = re.sub(pattern, shown, text)
    return text.strip()


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text("utf-8"))


def command_lines() -> Iterator[tuple[str, str]]:
    """Yield the calls of `sagewire` that stand in the blocks of the pages."""
    for path in PAGES:
        for _, language, code in FENCE.findall(path.read_text("utf-8")):
            if language or path.name == "cli.md":
                continue
            for line in code.replace("\\\n", " ").splitlines():
                if found := re.search(r"(?:^|\| )(sagewire .*?)(?:\s+#.*)?$", line):
                    yield path.name, found[1]


def test_the_transcript_is_what_the_demo_prints(clean_environment: None) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sagewire", "demo"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert masked(done.stdout) in [masked(code) for _, _, code in FENCE.findall(README.read_text("utf-8"))]


def test_commands_are_taken() -> None:
    typer = pytest.importorskip("typer")
    from sagewire.cli import app

    lines = list(command_lines())
    assert len(lines) > 10
    for page, line in lines:
        words = shlex.split(line)[1:]
        command = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        try:
            # Reads the words and runs nothing.
            command.make_context("sagewire", words)
        except Exception as error:
            pytest.fail(f"{page}: {line}: {error}")


@each("path", PAGES)
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(prose(path)):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]+", parts.netloc), link
        # Tutorials, changes and rules are pages that the site makes of other files.
        elif parts.path and not re.match(r"(?:\.\./)?(?:tutorials/|changelog|contributing)", parts.path):
            assert (path.parent / parts.path).exists(), link


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 130


def test_tutorials_are_counted() -> None:
    count = len(list((ROOT / "notebooks").glob("*.ipynb")))
    assert f"{NUMBERS[count]} tutorials" in README.read_text("utf-8")
    assert f"{NUMBERS[count - 1]} more tutorials" in prose(ROOT / "docs" / "index.md")


def test_targets_and_extras_exist() -> None:
    text = README.read_text("utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8")))
    assert set(re.findall(r"\bmake ([a-z-]+)\b(?=`|\s+#)", text)) <= targets
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for path in PAGES:
        page = path.read_text("utf-8")
        for named in re.findall(r"(?:sagewire|\"\.)\[([a-z,-]+)\]", page):
            assert set(named.split(",")) <= set(extras), f"{path.name}: {named}"
        # It is not on the index yet, where the name could become somebody else's.
        assert not re.search(r"pip install ['\"]?sagewire(?!\[[a-z,-]+\] @ )", page), path.name
