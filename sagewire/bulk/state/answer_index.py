"""Finding the answer to an equal row: an index on disk from digests to places in the part files."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sagewire.bulk.rows import Answer, Record
from sagewire.bulk.state.job_state import RecordLocation

__all__ = ["AnswerIndex", "Index", "MemoryIndex"]

_log = logging.getLogger("sagewire.bulk")


class Index(Protocol):
    """The answers to equal questions."""

    def find(self, key: str) -> Answer | None:
        """Return the answer to an equal question, or `None`."""
        ...

    def add(self, records: Sequence[Record], places: Sequence[RecordLocation]) -> None:
        """Note the places of records."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class MemoryIndex:
    """Answers to a few thousand rows, in memory."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}

    def find(self, key: str) -> Answer | None:
        """Return the answer to an equal question, or `None`."""
        return self._answers.get(key)

    def add(self, records: Iterable[Record], places: Iterable[RecordLocation]) -> None:
        """Keep the answers; their places do not matter."""
        for record in records:
            if record.key is not None and record.answer.error is None:
                self._answers[record.key] = record.answer

    def close(self) -> None:
        """Forget everything."""
        self._answers.clear()


class AnswerIndex:
    """The places of a pass's answers on disk.

    The index only saves calls: if it cannot be read or written, it is given up, and equal rows are sent again.

    Args:
        folder: The pass's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database: sqlite3.Connection | None = None
        path = folder / "answers.sqlite"
        try:
            self._database = _open(path)
        except sqlite3.Error:
            # Damaged by a power failure.
            with suppress(OSError):
                for old in folder.glob("answers.sqlite*"):
                    old.unlink()
            try:
                self._database = _open(path)
            except sqlite3.Error as error:
                self._give_up(error)

    def find(self, key: str) -> Answer | None:
        """Return the answer to an equal question, or `None`."""
        if self._database is None:
            return None
        query = "SELECT part, at, size FROM answers WHERE key = ?"
        try:
            found = self._database.execute(query, (bytes.fromhex(key),)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        if found is None:
            return None
        try:
            part, at, size = found
            with (self._folder / part).open("rb") as file:
                file.seek(at)
                record = Record.from_json(file.read(size))
        except (OSError, TypeError, ValueError):
            return None
        return record.answer if record.key == key else None

    def add(self, records: Iterable[Record], places: Iterable[RecordLocation]) -> None:
        """Note the places of records that hold an answer."""
        if self._database is None:
            return
        rows = [
            (bytes.fromhex(record.key), *place)
            for record, place in zip(records, places, strict=True)
            if record.key is not None and record.answer.error is None
        ]
        try:
            with self._database:
                self._database.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            database, self._database = self._database, None
            with suppress(sqlite3.Error):
                database.close()

    def _give_up(self, error: sqlite3.Error) -> None:
        _log.warning("the index of answers in %s cannot be used (%s); equal rows are sent again", self._folder, error)
        self.close()


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # Its content can be rebuilt, so there is no need to wait for the disk.
        database.execute("PRAGMA synchronous = OFF")
        database.execute(
            "CREATE TABLE IF NOT EXISTS answers "
            "(key BLOB PRIMARY KEY, part TEXT, at INTEGER, size INTEGER) WITHOUT ROWID"
        )
        database.execute("SELECT key, part, at, size FROM answers LIMIT 1").fetchone()
    except BaseException:
        database.close()
        raise
    return database
