"""Putting the output together: the input read once more, and beside each row what became of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from sagewire.bulk.files.dead_letters import dead_letter_path, letter
from sagewire.bulk.files.input import Chunk, Source
from sagewire.bulk.files.output import open_output
from sagewire.bulk.files.storage import Storage
from sagewire.bulk.job import Job
from sagewire.bulk.rows import Record, dump_json
from sagewire.bulk.state.job_state import Folder, sync_folder
from sagewire.bulk.state.passes import final_records
from sagewire.errors import SagewireError

__all__ = ["Totals", "assemble"]


class Totals:
    """What the output holds."""

    def __init__(self) -> None:
        self.rows = 0
        self.failed = 0


def assemble(job: Job, source: Source, folder: Folder, storage: Storage) -> Totals:
    """Write the output and the dead-letter file, each as a whole or not at all.

    Raises:
        OSError: They cannot be written; nothing of them is left behind.
        SagewireError: A row has no record.
    """
    local = not job.output.startswith("s3://")
    letters = dead_letter_path(job.output)
    names = [(path, f"{path}.unfinished" if local else path) for path in (job.output, letters)]
    totals = Totals()
    try:
        _write(job, source, folder, storage, [name for _, name in names], totals)
        for path, written in names:
            if not local:
                continue
            if path == letters and not totals.failed:
                Path(path).unlink(missing_ok=True)
                continue
            _settle(Path(written), Path(path))
    except BaseException:
        if local:
            for _, written in names:
                with suppress(OSError):
                    Path(written).unlink(missing_ok=True)
        raise
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
    values = (
        chunk.batch.take(failed).to_pylist() if chunk.batch is not None else [chunk.rows[at].values for at in failed]
    )
    lines = []
    for at, row in zip(failed, values, strict=True):
        found = letter(chunk.rows[at].path, chunk.rows[at].line, records[at], row)
        lines.append(dump_json(found) + b"\n")
    return b"".join(lines)


def _settle(written: Path, path: Path) -> None:
    handle = os.open(written, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    written.replace(path)
    sync_folder(path.parent)
