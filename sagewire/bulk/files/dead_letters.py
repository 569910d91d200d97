"""The dead-letter file: the rows that failed, each with its error and its position in the input."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sagewire.bulk.rows import Record, dump_json

__all__ = ["append_letters", "dead_letter_path", "letter"]

_log = logging.getLogger("sagewire.bulk")


def dead_letter_path(output: str) -> str:
    """Return the path of the failed rows of an output.

    Example:
        >>> dead_letter_path("out/answers.jsonl")
        'out/answers.failed.jsonl'
        >>> dead_letter_path("out/answers.parquet")
        'out/answers.parquet.failed.jsonl'
    """
    # Two outputs that differ in their extensions have two files.
    return f"{output.removesuffix('.jsonl')}.failed.jsonl"


def letter(path: str, line: int, record: Record, values: Any) -> dict[str, Any]:
    """Return what the dead-letter file says of a row."""
    found = {"file": path, "line": line, "error": record.answer.error, "row": values or None}
    if record.answer.output is not None:
        found["output"] = record.answer.output
    return found


def append_letters(file: Path, failed: Iterable[tuple[str, int, Record, Any]]) -> None:
    """Append rows that have failed, with their input files, lines, records and columns."""
    lines = [dump_json(letter(path, line, record, values)) for path, line, record, values in failed]
    try:
        with file.open("ab") as out:
            out.write(b"\n".join(lines) + b"\n")
    except OSError as error:
        # It is written anew from the records at the end.
        _log.warning("the dead-letter file is behind: %s", error)
