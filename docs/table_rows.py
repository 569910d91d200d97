"""How rows become tables of Markdown that GitHub and Python-Markdown read alike."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["code", "first_line", "table"]


def code(text: str) -> str:
    """Return a text as code.

    In a cell GitHub wants the bar of `<|im_end|>` escaped and Python-Markdown does not; an entity serves both.
    """
    if not text:
        return ""
    shown = text.replace("\n", "\\n")
    if "|" not in shown and "`" not in shown:
        return f"`{shown}`"
    return f"<code>{html.escape(shown, quote=False).replace('|', '&#124;')}</code>"


def first_line(value: object) -> str:
    """Return the first line of what an object's class says of itself."""
    return (type(value).__doc__ or "").strip().split("\n")[0]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells may hold Markdown, and no bars but in code.

    Raises:
        ValueError: A cell would break the table.
    """
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        for cell in row:
            if "|" in cell or "\n" in cell:
                raise ValueError(f"the cell {cell!r} would break the table")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"
