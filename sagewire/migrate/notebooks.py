"""Notebooks: their code cells are one program, in which lines of Jupyter are not Python."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from sagewire.errors import UsageError
from sagewire.migrate.rewrite import Migration, migrate_source

__all__ = ["migrate_notebook"]

_CELL = "# sagewire migrate: the end of a cell\n"
_MASK = "pass  # sagewire migrate: "
_MAGIC = re.compile(r"(?m)^(?P<indent>[ \t]*)(?P<line>[%!?].*|.*\?\??[ \t]*)$")
_MASKED = re.compile(rf"(?m)^(?P<indent>[ \t]*){re.escape(_MASK)}(?P<line>.*)$")
_CELL_MAGIC = re.compile(r"%%(?!time|capture|timeit\b)")


def migrate_notebook(text: str) -> Migration:
    """Rewrite the code cells of a notebook; everything else is kept as it is, its layout too.

    Args:
        text: The `.ipynb` file.

    Raises:
        UsageError: It is not a notebook.
    """
    try:
        notebook: dict[str, Any] = json.loads(text)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (KeyError, TypeError, ValueError):
        raise UsageError("not a notebook of format 4") from None
    joined = f"\n{_CELL}".join(map(_masked, sources)) + "\n"
    done = migrate_source(joined)
    if done.text == joined:
        return Migration(text, done.notes)
    parts = done.text.removesuffix("\n").split(f"\n{_CELL}")
    for cell, old, new in zip(cells, sources, parts, strict=True):
        plain = _MASKED.sub(lambda found: found["indent"] + json.loads(found["line"]), new)
        if plain != old:
            cell["source"] = plain.splitlines(keepends=True) if isinstance(cell["source"], list) else plain
    indent = re.match(r"\{\n( *)", text)
    written = json.dumps(notebook, ensure_ascii=False, indent=len(indent[1]) if indent else None)
    return Migration(written + ("\n" if text.endswith("\n") else ""), done.notes, done.extras)


def _masked(source: str) -> str:
    """Return a cell whose lines that are Jupyter's are statements that do nothing."""
    if _CELL_MAGIC.match(source) or not _parses(masked := _MAGIC.sub(_mask, source)):
        # Another language, or nothing that can be read: kept whole.
        return "\n".join(f"{_MASK}{json.dumps(line)}" for line in source.split("\n"))
    return masked


def _mask(found: re.Match[str]) -> str:
    if not found["line"].strip():
        return found[0]
    return f"{found['indent']}{_MASK}{json.dumps(found['line'])}"


def _parses(source: str) -> bool:
    try:
        compile(source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError):
        return False
    return True
