"""Writes the tables of these pages from the code: `python docs/tables.py`; `--check` only compares.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sagewire.content_handlers import EMBEDDING_HANDLERS, HANDLERS, RERANK_HANDLERS
from sagewire.emulator.dialects import DIALECTS
from sagewire.emulator.faults import FAULTS
from sagewire.prompt_formats import FORMATS, TurnFormat

FOLDER = Path(__file__).parent
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
# What `Capabilities` calls them, and what a reader does.
CARRIES = {"streaming": "streams", "tools": "tools", "images": "images", "response_format": "JSON schema"}
CARRIES |= {"usage": "token counts", "logprobs": "logprobs", "n": "several answers"}


def handlers() -> str:
    """Return the table of content handlers."""
    rows = []
    for name, make in HANDLERS.items():
        handler = make()
        can = [what for field, what in CARRIES.items() if getattr(handler.can, field)]
        takes = "messages" if handler.speaks == "messages" else "text"
        rows.append((f"`{name}`", takes, _path(handler.path), ", ".join(can)))
    return _table(("Handler", "Takes", "Path over HTTP", "Carries"), rows)


def embeddings() -> str:
    """Return the table of embedding handlers."""
    rows = [(f"`{name}`", _path(make().path), _first(make())) for name, make in EMBEDDING_HANDLERS.items()]
    return _table(("Handler", "Path over HTTP", "What it is"), rows)


def rerankers() -> str:
    """Return the table of rerank handlers."""
    rows = [(f"`{name}`", _path(make().path), _first(make())) for name, make in RERANK_HANDLERS.items()]
    return _table(("Handler", "Path over HTTP", "What it is"), rows)


def dialects() -> str:
    """Return the table of the emulator's dialects."""
    rows = [(f"`{name}`", f"`{make().model_id}`") for name, make in DIALECTS.items()]
    return _table(("Dialect", "Model"), rows)


def faults() -> str:
    """Return the table of faults."""
    rows = []
    for fault in FAULTS.values():
        written, _, effect = " ".join((fault.__doc__ or "").split()).partition(": ")
        rows.append((written, effect[:1].upper() + effect[1:]))
    return _table(("Fault", "What happens"), rows)


def formats() -> str:
    """Return the table of prompt formats."""
    rows = []
    for name, format in FORMATS.items():
        tools = isinstance(format, TurnFormat) and format.supports_tools
        rows.append(
            (f"`{name}`", "tools" if tools else "", " ".join(f"`{stop}`" for stop in format.stops if stop.strip()))
        )
    return _table(("Format", "Offers", "Stops on"), rows)


TABLES: dict[str, Callable[[], str]] = {
    table.__name__: table for table in (dialects, embeddings, faults, formats, handlers, rerankers)
}


def filled(text: str) -> str:
    """Return a page with its tables written anew.

    Raises:
        KeyError: A page asks for a table that does not exist.
    """
    return PLACE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", text)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or say which ones are out of date."""
    stale = []
    for path in sorted([*FOLDER.rglob("*.md"), FOLDER.parent / "README.md"]):
        text = path.read_text("utf-8")
        new = filled(text)
        if new != text:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(new, "utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run python docs/tables.py\n")
        return 1
    return 0


def _path(path: str) -> str:
    return f"`{path}`" if path else ""


def _first(value: object) -> str:
    return (type(value).__doc__ or "").strip().split("\n")[0]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    # A bar would end the cell; in code GitHub and Python-Markdown both take the escaped one.
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
