"""The passes over the rows put together: records in the order of the input, and the rows that failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sagewire.bulk.files.input import Source
from sagewire.bulk.rows import Chunk, Record
from sagewire.bulk.state.job_state import Folder, read_records

__all__ = ["Sorted", "final_records", "pass_chunks"]


class Sorted:
    """Records that are nearly in order, by row number.

    Args:
        records: The records, at most the writing job's window away from their position.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = iter(records)
        self._ahead: dict[int, Record] = {}

    def take(self, row: int) -> Record | None:
        """Return the record of a row, or `None`; rows are requested in order."""
        found = self._ahead.pop(row, None)
        if found is not None:
            return found
        for record in self._records:
            if record.row == row:
                return record
            if record.row > row:
                self._ahead[record.row] = record
        return None


def final_records(folder: Folder, passes: int) -> Iterator[Record]:
    """Yield the record of each row, in order: that of pass 0, or if it failed that of the next pass, and so on."""
    first = Sorted(read_records(folder.pass_folder(0)))
    later = [Sorted(read_records(folder.pass_folder(number))) for number in range(1, passes)]
    asked = [0] * len(later)
    row = 0
    while (record := first.take(row)) is not None:
        for at, again in enumerate(later):
            if record.answer.error is None:
                break
            # A pass numbers the rows it asks about from 0.
            newer = again.take(asked[at])
            asked[at] += 1
            if newer is None:
                break
            record = replace(newer, row=row)
        yield record
        row += 1


def pass_chunks(source: Source, folder: Folder, number: int, columns: Iterable[str], start: int) -> Iterator[Chunk]:
    """Yield the rows that a pass asks about, numbered from 0, from number `start` on."""
    if number == 0:
        yield from source.chunks(columns, start)
        return
    records = final_records(folder, number)
    failed = 0
    for chunk in source.chunks(columns):
        rows = []
        for row in chunk.rows:
            record = next(records, None)
            if record is None or record.answer.error is None:
                continue
            if failed >= start:
                rows.append(replace(row, number=failed))
            failed += 1
        if rows:
            yield Chunk(rows)
