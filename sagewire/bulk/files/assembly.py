"""Putting the output together: the input read once more, and beside each row what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from sagewire.bulk.files.dead_letters import dead_letter_path, letter
from sagewire.bulk.files.input import Source
from sagewire.bulk.files.output import open_output
from sagewire.bulk.files.parquet import plain_rows
from sagewire.bulk.files.storage import Storage, is_remote
from sagewire.bulk.job import Job
from sagewire.bulk.rows import Chunk, Record, dump_json
from sagewire.bulk.state.job_state import Folder
from sagewire.bulk.state.passes import final_records
from sagewire.errors import SagewireError

__all__ = ["Totals", "assemble"]


class Totals:
    """The counts of the output."""

    def __init__(self) -> None:
        self.rows = 0
        self.failed = 0


def assemble(job: Job, source: Source, folder: Folder, storage: Storage) -> Totals:
    """Write the output and the dead-letter file, each as a whole or not at all.

    Raises:
        OSError: They cannot be written; no part of them is left behind, and older files are unchanged.
        SagewireError: A row has no record.
    """
    letters = dead_letter_path(job.output)
    # Files in S3 are put together here first: an upload cannot be taken back in the middle.
    places = (
        [job.output, letters]
        if not is_remote(job.output)
        else [str(folder.path / "output"), str(folder.path / "letters")]
    )
    written = [f"{place}.unfinished" for place in places]
    totals = Totals()
    try:
        _write(job, source, folder, storage, written, totals)
        storage.publish(written[0], job.output)
        if totals.failed:
            folder.save(dead_letter=True)
            storage.publish(written[1], letters)
        elif folder.manifest["dead_letter"]:
            # All that had failed was mended.
            storage.delete(letters)
            folder.save(dead_letter=False)
    finally:
        for name in written:
            with suppress(OSError):
                Path(name).unlink(missing_ok=True)
    (folder.path / "failed.jsonl").unlink(missing_ok=True)
    return totals


def _write(job: Job, source: Source, folder: Folder, storage: Storage, paths: Sequence[str], totals: Totals) -> None:
    records = final_records(folder, folder.manifest["passes"])
    with ExitStack() as stack:
        out = stack.enter_context(open_output(job, source, storage, paths[0]))
        dead: Any = None
        for chunk in source.chunks():
            found = [record for _, record in zip(chunk.rows, records, strict=False)]
            if len(found) != len(chunk.rows):
                raise SagewireError(f"row {totals.rows + len(found)} has no record in {folder.path}; resume the job")
            out.write(chunk, [record.answer for record in found])
            totals.rows += len(found)
            failed = [at for at, record in enumerate(found) if record.answer.error is not None]
            if failed:
                totals.failed += len(failed)
                dead = dead or stack.enter_context(storage.create(paths[1]))
                dead.write(_letters(chunk, found, failed))


def _letters(chunk: Chunk, records: Sequence[Record], failed: Sequence[int]) -> bytes:
    if chunk.batch is not None:
        values: Sequence[Any] = plain_rows(chunk.batch.take(failed))
    else:
        values = [chunk.rows[at].values for at in failed]
    lines = []
    for at, row in zip(failed, values, strict=True):
        found = letter(chunk.rows[at].path, chunk.rows[at].line, records[at], row)
        lines.append(dump_json(found) + b"\n")
    return b"".join(lines)
