"""The state of a job on disk: append-only part files, and a manifest that describes the job.

A work folder holds `manifest.json`, a lock, and for every pass over the rows a folder `pass-N` with part files of JSON
lines. Pass 0 is the job itself; each later pass has asked again about the rows that had failed. A row is done when its
line is on disk (fsync), not before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self

import orjson

from sagewire.bulk.files.storage import absolute, is_remote, sync_folder
from sagewire.bulk.rows import Record
from sagewire.bulk.state.description import difference
from sagewire.bulk.state.file_locks import try_lock
from sagewire.errors import UsageError

__all__ = ["WINDOW_ROWS", "Done", "Folder", "PartWriter", "Parts", "RecordLocation", "read_records", "reasons"]

RecordLocation = tuple[str, int, int]
"""The file, position and length of a record."""

# Rows may overtake each other by no more than this, so that sorting them again takes bounded memory.
WINDOW_ROWS = 8192
_PART_BYTES = 256 << 20
_VERSION = 2


class Folder:
    """A job's work folder, held by one process at a time.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self.manifest: dict[str, Any] = {}

    @property
    def exists(self) -> bool:
        """Whether the folder holds a job."""
        return (self.path / "manifest.json").exists()

    @property
    def blank(self) -> bool:
        """Whether a new job would destroy nothing here: the folder holds no job, or one without records."""
        if not self.exists:
            return True
        self.load()
        if self.manifest["complete"] or self.manifest["passes"] > 1:
            return False
        # Of the database only the answers in the part files are worth anything.
        kept = [path for path in self.path.glob("pass-*/**/*") if not path.name.startswith("answers.sqlite")]
        # Tickets stand for requests that are paid for.
        kept.append(self.path / "tickets.jsonl")
        return not any(path.is_file() and path.stat().st_size for path in kept)

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            UsageError: Another process works on the same job, or the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UsageError(f"the work folder {self.path} cannot be used: {error.strerror}") from None
        if not try_lock(self._lock):
            os.close(self._lock)
            raise UsageError(
                f"another process is working on {self.path}; wait for it, or name another output"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def begin(self, description: Mapping[str, Any], files: Sequence[Mapping[str, Any]], *, owns_letters: bool) -> None:
        """Note down a new job; the records of the job that was here are deleted.

        Args:
            description: The job's settings.
            files: The input's files as they are now.
            owns_letters: Whether the dead-letter file that may be there is this job's.

        Raises:
            UsageError: There are records of no job here.
        """
        if not self.exists and any(self.path.glob("pass-*")):
            raise UsageError(f"{self.path} holds pass folders but no job; name another output or work_dir")
        self.drop_parts()
        (self.path / "failed.jsonl").unlink(missing_ok=True)
        (self.path / "manifest.json").unlink(missing_ok=True)
        self.manifest = {}
        self.save(
            version=_VERSION,
            job=dict(description),
            files=_absolute(files),
            passes=1,
            complete=False,
            stopped_by=None,
            dead_letter=owns_letters,
        )

    @property
    def is_held(self) -> bool:
        """Whether another process works on the job."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            return not try_lock(lock)
        finally:
            os.close(lock)

    def delete(self) -> None:
        """Delete a job's folder with everything that is the job's; files of others in it stay."""
        self.drop_parts()
        (self.path / "failed.jsonl").unlink(missing_ok=True)
        self.discard()

    def discard(self) -> None:
        """Delete the folder of a job that has done nothing; files of others in it stay."""
        for path in [*self.path.glob("pass-*/answers.sqlite*"), *self.path.glob("pass-*/part-*.jsonl")]:
            path.unlink(missing_ok=True)
        for name in ("manifest.json", "manifest.json.new", "tickets.jsonl", "lock"):
            (self.path / name).unlink(missing_ok=True)
        for folder in [*self.path.glob("pass-*"), self.path]:
            with suppress(OSError):
                folder.rmdir()

    def load(self) -> None:
        """Read the manifest.

        Raises:
            UsageError: It is not one, or one of a later sagewire.
        """
        try:
            self.manifest = orjson.loads((self.path / "manifest.json").read_bytes())
            version = self.manifest["version"]
            if version == _VERSION:
                _ = self.manifest["job"]["model"]
        except (orjson.JSONDecodeError, KeyError, TypeError, OSError) as error:
            raise UsageError(f"{self.path}/manifest.json cannot be read ({error}); delete {self.path}") from None
        if version != _VERSION:
            raise UsageError(f"{self.path} was written by another version of sagewire; finish the job with that one")

    def check(self, description: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> None:
        """Raise `UsageError` unless a job and its input are those of the manifest."""
        changed = difference(self.manifest["job"], description)
        if changed is not None:
            name, then, now = changed
            raise UsageError(
                f"{self.path} belongs to another job: {name} was {then!r} and is {now!r}; "
                "name another output or work_dir, or overwrite"
            )
        self.check_output(description)
        if _absolute(files) != _absolute(self.manifest["files"]):
            raise UsageError(f"the input has changed since {self.path} was begun; name another output, or overwrite")

    def check_output(self, description: Mapping[str, Any]) -> None:
        """Raise `UsageError` if the job of the manifest has another output."""
        then, now = self.manifest["job"]["output"], description["output"]
        # A folder that lies beside its output may have moved with it.
        beside = not is_remote(now) and self.path.absolute() == Path(f"{now}.bulk")
        if then != now and not beside:
            raise UsageError(
                f"{self.path} belongs to another job: output was {then!r} and is {now!r}; name another work_dir"
            )

    @property
    def has_records(self) -> bool:
        """Whether the answers of the job are still here."""
        return next(read_records(self.pass_folder(0)), None) is not None

    def save(self, **changes: Any) -> None:
        """Write the manifest so that a crash leaves the old one or the new one.

        Raises:
            OSError: It cannot be written; the old one is intact.
        """
        self.manifest |= changes
        new = self.path / "manifest.json.new"
        try:
            with new.open("wb") as file:
                file.write(orjson.dumps(self.manifest, option=orjson.OPT_INDENT_2))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
        new.replace(self.path / "manifest.json")
        sync_folder(self.path)

    def pass_folder(self, number: int) -> Path:
        """Return the folder of a pass."""
        return self.path / f"pass-{number}"

    def drop_parts(self) -> None:
        """Delete all part files and tickets; the manifest stays."""
        for folder in self.path.glob("pass-*"):
            shutil.rmtree(folder)
        (self.path / "tickets.jsonl").unlink(missing_ok=True)


def _absolute(files: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the files with paths that mean the same from every directory, as JSON has them."""
    found = [dict(file) for file in files]
    for file in found:
        file["path"] = absolute(file["path"])
    return found


class Done:
    """Which rows are done: all below a number, and a few above it.

    Args:
        below: The number.
    """

    def __init__(self, below: int = 0) -> None:
        self.below = below
        self._above: set[int] = set()

    def __contains__(self, row: int) -> bool:
        return row < self.below or row in self._above

    def __len__(self) -> int:
        return self.below + len(self._above)

    def add(self, row: int) -> None:
        """Note down a row."""
        if row < self.below:
            return
        self._above.add(row)
        while self.below in self._above:
            self._above.remove(self.below)
            self.below += 1


class Parts(Protocol):
    """A store of records."""

    def append(self, records: Sequence[Record]) -> Sequence[RecordLocation]:
        """Keep records for good; return their places. May wait: it is called in a thread."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class PartWriter:
    """A writer of part files; each run begins its own file. Not for several threads at once.

    Args:
        folder: The folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._number = max((int(path.stem.partition("-")[2]) for path in folder.glob("part-*.jsonl")), default=-1)
        self._file: Any = None
        self._size = 0

    def append(self, records: Iterable[Record]) -> list[RecordLocation]:
        """Write records and wait until they are on disk; return the file's name, position and length of each.

        Raises:
            OSError: They could not be written. Earlier records are intact, and none of the new ones counts.
        """
        if self._file is None or self._size >= _PART_BYTES:
            self._next()
        lines = [record.to_json() + b"\n" for record in records]
        name, start = Path(self._file.name).name, self._size
        try:
            self._write(b"".join(lines))
        except OSError:
            # Half a line must not be in front of the next record, should there be one.
            with suppress(OSError):
                self._file.truncate(start)
                self._file.seek(start)
            raise
        places = []
        for line in lines:
            places.append((name, start, len(line)))
            start += len(line)
        self._size = start
        return places

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        os.fsync(self._file.fileno())

    def _next(self) -> None:
        self.close()
        self._number += 1
        self._file = (self._folder / f"part-{self._number:05d}.jsonl").open("xb", buffering=0)
        self._size = 0
        # A file whose name is not on disk is not on disk.
        sync_folder(self._folder)
        sync_folder(self._folder.parent)


def read_records(folder: Path) -> Iterator[Record]:
    """Yield the records of a pass in the order they were written.

    A line that a crash cut off, or that the disk spoiled, is skipped: its row is not done.
    """
    for path in [*sorted(folder.glob("part-*.jsonl")), *sorted(folder.glob("shard-*.jsonl"))]:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    continue
                try:
                    yield Record.from_json(line)
                except ValueError:
                    continue
    yield from _read_blocks(folder)


def _read_blocks(folder: Path) -> Iterator[Record]:
    """Yield the records in Parquet files that Ray wrote, those with the lowest rows first."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    found: list[tuple[int, Path]] = []
    for path in folder.rglob("*.parquet"):
        try:
            with ParquetFile(path) as file:
                meta = file.metadata
                lowest = [meta.row_group(at).column(0).statistics.min for at in range(meta.num_row_groups)]
        except (pa.ArrowInvalid, OSError):
            # Cut off by a crash: a Parquet file ends with what makes it one.
            continue
        if lowest:
            found.append((min(lowest), path))
    for _, path in sorted(found):
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024, columns=["row", "record"]):
                for row, line in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
                    if row >= 0:
                        yield Record.from_json(line)


def reasons(folder: Path) -> Iterator[str]:
    """Yield why workers stopped that left blocks in a folder."""
    import pyarrow as pa
    from pyarrow.parquet import read_table

    for path in sorted(folder.rglob("*.parquet")):
        with suppress(pa.ArrowInvalid):
            table = read_table(path, columns=["row", "record"], filters=[("row", "<", 0)])
            yield from (line.decode() for line in table["record"].to_pylist())
