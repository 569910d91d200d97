"""The jobs that lie about: their work folders, what is in them, and how to delete them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagewire.bulk.prepare import default_folder
from sagewire.bulk.state.job_state import Folder, read_records
from sagewire.errors import UsageError

__all__ = ["StoredJob", "clean", "find", "show"]


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job whose work folder is on disk.

    Args:
        folder: The work folder.
        state: `complete`, `stopped`, or `running` while another process works on it.
        source: The input.
        model: The model.
        output: The output.
        rows: Rows that are done.
        failed: How many of them failed.
        size: Bytes of the folder.
        description: Everything the job was given, credentials left out.
    """

    folder: str
    state: str
    source: str
    model: str
    output: str
    rows: int
    failed: int
    size: int
    description: dict[str, Any] = field(repr=False)


def find(directory: str = ".") -> Iterator[StoredJob]:
    """Yield the jobs whose work folders lie in a directory or below it, in the order of their names.

    Raises:
        UsageError: It is not a directory.
    """
    folder = Path(directory).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{directory} is not a directory")
    for manifest in sorted(folder.rglob("manifest.json")):
        try:
            yield _read(manifest.parent)
        except UsageError:
            # Other programs write files of this name as well.
            continue


def show(output: str, work_dir: str | None = None) -> StoredJob:
    """Return the job of an output.

    Raises:
        UsageError: The job does not exist.
    """
    path = Path(work_dir).expanduser() if work_dir is not None else default_folder(output)
    if not Folder(path).exists:
        raise UsageError(f"there is no job in {path}; name the output of one, or its work_dir")
    return _read(path)


def clean(output: str, work_dir: str | None = None, *, unfinished: bool = False) -> StoredJob:
    """Delete the work folder of a job; the output stays.

    Args:
        output: The job's output.
        work_dir: Its work folder, if it is not beside the output.
        unfinished: Delete it even if the job is not complete, and with it the answers that are not in the output yet.

    Returns:
        The job as it was.

    Raises:
        UsageError: The job does not exist, it is not complete, or another process works on it.
    """
    found = show(output, work_dir)
    with Folder(Path(found.folder)) as folder:
        if found.state != "complete" and not unfinished:
            raise UsageError(
                f"the job in {found.folder} is not complete, and its {found.rows:,} answers are nowhere else; "
                "resume it, or delete it with unfinished"
            )
        folder.delete()
    return found


def _read(path: Path) -> StoredJob:
    folder = Folder(path)
    folder.load()
    manifest, job = folder.manifest, folder.manifest["job"]
    rows, failed = manifest.get("rows"), manifest.get("failed", 0)
    if rows is None or not manifest["complete"]:
        rows = failed = 0
        for record in read_records(folder.pass_folder(0)):
            rows += 1
            failed += record.answer.error is not None
    state = "running" if folder.is_held else "complete" if manifest["complete"] else "stopped"
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    model = job["model"] if isinstance(job["model"], str) else str(job["model"].get("object"))
    return StoredJob(str(path), state, job["source"], model, job["output"], rows, failed, size, job)
