"""Finding the answer to an equal row: an index on disk from digests to places in the part files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sagewire.bulk.rows import Answer, Record
from sagewire.bulk.state.job_state import RecordLocation

__all__ = ["AnswerIndex", "MemoryIndex"]


class MemoryIndex:
    """Answers to a few thousand rows, in memory."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}

    def find(self, key: str) -> Answer | None:
        """Return the answer to an equal question, `None` if there is none yet."""
        return self._answers.get(key)

    def add(self, records: Iterable[Record], places: Iterable[RecordLocation]) -> None:
        """Keep the answers; where they are does not matter."""
        for record in records:
            if record.key is not None and record.answer.error is None:
                self._answers[record.key] = record.answer

    def close(self) -> None:
        """Forget everything."""
        self._answers.clear()


class AnswerIndex:
    """Where the answers of a pass are. It is no more than a help: without it, equal rows are asked again.

    Args:
        folder: The pass's folder.

    Raises:
        OSError: There is no room for it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / "answers.sqlite"
        try:
            self._database = self._open(path)
        except sqlite3.DatabaseError:
            # Spoiled by a power failure.
            path.unlink(missing_ok=True)
            try:
                self._database = self._open(path)
            except sqlite3.DatabaseError as error:
                raise OSError(f"{path}: {error}") from None

    def find(self, key: str) -> Answer | None:
        """Return the answer to an equal question, `None` if there is none yet."""
        found = self._database.execute(
            "SELECT part, at, size FROM answers WHERE key = ?", (bytes.fromhex(key),)
        ).fetchone()
        if found is None:
            return None
        part, at, size = found
        try:
            with (self._folder / part).open("rb") as file:
                file.seek(at)
                record = Record.from_json(file.read(size))
        except (OSError, ValueError):
            return None
        return record.answer if record.key == key else None

    def add(self, records: Iterable[Record], places: Iterable[RecordLocation]) -> None:
        """Note down where the records are that hold an answer."""
        rows = [
            (bytes.fromhex(record.key), *place)
            for record, place in zip(records, places, strict=True)
            if record.key is not None and record.answer.error is None
        ]
        # A full disk shows when the next records are written.
        with suppress(sqlite3.OperationalError), self._database:
            self._database.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        database = sqlite3.connect(path)
        database.execute("PRAGMA journal_mode = WAL")
        # What it says can be found out again, so nobody has to wait for the disk.
        database.execute("PRAGMA synchronous = OFF")
        database.execute(
            "CREATE TABLE IF NOT EXISTS answers "
            "(key BLOB PRIMARY KEY, part TEXT, at INTEGER, size INTEGER) WITHOUT ROWID"
        )
        return database
