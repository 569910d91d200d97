"""From arguments to a job that may begin: everything is checked, and nothing was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sagewire._extras import require
from sagewire.bulk.files.dead_letters import dead_letter_path
from sagewire.bulk.files.input import Source
from sagewire.bulk.files.output import added_columns
from sagewire.bulk.files.storage import Storage, absolute
from sagewire.bulk.files.text import check_encoding
from sagewire.bulk.job import Bounds, Job, JobSettings, Report, split_settings
from sagewire.bulk.state.description import described, recalled
from sagewire.bulk.state.job_state import Folder
from sagewire.bulk.tasks import Task, make_task, temperature_of
from sagewire.errors import UsageError

__all__ = ["Prepared", "default_folder", "folder_path", "open_folder", "prepare", "remembered"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job whose arguments and input were checked; nothing was sent.

    Args:
        job: The job.
        bounds: Within which bounds.
        task: The job's task.
        source: The input.
        storage: Opens files.
        dedup: Whether equal rows are asked once.
    """

    job: Job
    bounds: Bounds
    task: Task
    source: Source
    storage: Storage
    dedup: bool

    @property
    def reserved(self) -> list[str]:
        """Names that no row may have; Parquet and CSV rows all have the same columns, which were checked."""
        return added_columns(self.job) if self.source.format == "jsonl" else []


def prepare(source: str, model: Any, output: str, settings: JobSettings) -> Prepared:
    """Check everything that can be checked without asking the endpoint.

    Raises:
        UsageError: A setting is wrong, the input cannot be read, or lacks a column.
    """
    require("pyarrow", "bulk")
    job, bounds = split_settings(source, model, output, settings)
    task = make_task(job)
    storage = Storage(job.client_arguments)
    try:
        files = storage.files(job.source)
        found = Source(storage, files, check_encoding(job.encoding) if job.encoding else None, job.delimiter)
        _check_text_options(found, job)
        _check_output(found, job)
        _check_columns(found, task, job)
    except OSError as error:
        raise UsageError(f"the input {job.source} cannot be read: {error}") from None
    dedup = job.dedup if job.dedup is not None else not temperature_of(task)
    if dedup and task.template is not None and not task.columns:
        # Most likely {{body}}, as other templates have it: one answer would be written beside every row.
        raise UsageError(
            "the template names no column: all rows would ask the same; a column's name stands in single braces: {body}"
        )
    return Prepared(job, bounds, task, found, storage, dedup)


def remembered(output: str, work_dir: str | None = None) -> tuple[str, str, str, dict[str, Any]]:
    """Return source, model, output and settings of a job that was begun before.

    Raises:
        UsageError: The job does not exist, or its model was an object.
    """
    folder = Folder(Path(work_dir).expanduser() if work_dir is not None else default_folder(output))
    if not folder.exists:
        raise UsageError(f"there is no job in {folder.path}; name the output of one, or its work_dir")
    folder.load()
    source, model, written, settings = recalled(folder.manifest["job"], folder.manifest["stopped_by"])
    # A folder beside its output may have moved with it.
    return source, model, written if work_dir else output, settings


def folder_path(job: Job, work_dir: str | None) -> Path:
    """Return the work folder of a job."""
    return default_folder(job.output) if work_dir is None else Path(work_dir).expanduser()


def default_folder(output: str) -> Path:
    """Return the default work folder of an output: beside it, or for S3 in the current directory."""
    if output.startswith("s3://"):
        return Path(f"{output.rpartition('/')[2]}.bulk")
    return Path(f"{output}.bulk").expanduser()


def _check_output(source: Source, job: Job) -> None:
    output, folder = absolute(job.output), absolute(job.source).rstrip("/")
    inputs = {absolute(file.path) for file in source.files}
    if output in inputs:
        raise UsageError(f"the output {job.output} is the input; name another file")
    if absolute(dead_letter_path(job.output)) in inputs:
        raise UsageError(
            f"the input is the dead-letter file of the output: {dead_letter_path(job.output)}; name another output"
        )
    if output.startswith(f"{folder}/"):
        # The next run would take it for one of the inputs, and find that they have changed.
        raise UsageError(f"the output {job.output} lies in the input directory {job.source}; put it elsewhere")


def _check_text_options(source: Source, job: Job) -> None:
    if job.delimiter is not None and source.format != "csv":
        raise UsageError(f"delimiter is for CSV files, but the input is {source.format}; leave it out")
    if job.encoding is not None and source.format == "parquet":
        raise UsageError("encoding is for text files; Parquet files declare their own, leave it out")


def _check_columns(source: Source, task: Task, job: Job) -> None:
    if source.format == "jsonl":
        # JSON lines have columns row by row; the first rows stand for the rest.
        first = next(source.chunks(), None)
        rows = [row.values for row in first.rows if row.values is not None] if first is not None else []
        if not rows:
            return
        headers = [list(dict.fromkeys(name for values in rows for name in values))]
    else:
        headers = source.headers()
    for file, names in zip(source.files, headers, strict=False):
        missing = [name for name in task.columns if name not in names]
        if missing:
            raise UsageError(
                f"{file.path} has no column {missing[0]!r}; its columns: {', '.join(names)}. "
                "Name the right one with column, or write a template"
            )
        taken = [name for name in added_columns(job) if name in names]
        if taken:
            raise UsageError(
                f"{file.path} has a column {taken[0]!r} already; give a prefix for the columns that are added"
            )


def open_folder(
    prepared: Prepared,
    folder: Folder,
    engine: str,
    options: Mapping[str, Any],
    *,
    resume: bool,
    retry: bool,
    overwrite: bool,
) -> Report | None:
    """Begin, resume or extend the job in a folder; return a report if it is already complete."""
    job, storage = prepared.job, prepared.storage
    description = described(job, prepared.bounds, engine, options)
    files = [asdict(file) for file in prepared.source.files]
    if overwrite and (resume or retry):
        raise UsageError("overwrite begins anew, which is the opposite of resume and retry")
    if folder.blank or overwrite:
        if retry:
            raise UsageError(f"there is no job in {folder.path} whose failed rows could be retried")
        if folder.exists:
            folder.load()
            folder.check_output(description)
        _check_room(job, storage, overwrite)
        folder.begin(description, files, owns_letters=overwrite)
        return None
    folder.load()
    folder.check(description, files)
    begun = folder.manifest["job"]
    if not retry and engine != begun["engine"]:
        raise UsageError(f"the job in {folder.path} was begun with engine={begun['engine']!r}; resume it with that one")
    folder.save(
        job={
            **begun,
            "output": description["output"],
            "bounds": description["bounds"],
            "engine_options": {**begun["engine_options"], **options},
        }
    )
    complete, failed = folder.manifest["complete"], folder.manifest.get("failed", 0)
    if retry:
        if not complete:
            raise UsageError(f"the job in {folder.path} is not complete; resume it first")
        if failed:
            folder.save(passes=folder.manifest["passes"] + 1, complete=False)
            return None
    elif not resume:
        state = "is complete" if complete else "was begun and not finished"
        raise UsageError(f"the job in {folder.path} {state}; resume it, or overwrite it")
    return _finished_report(job, folder, storage) if complete else None


def _check_room(job: Job, storage: Storage, overwrite: bool) -> None:
    """Raise `UsageError` if a new job's output would replace a file, or cannot be written."""
    for path in (job.output, dead_letter_path(job.output)):
        if not overwrite and storage.exists(path):
            raise UsageError(f"{path} exists already; overwrite it, or name another output")
    storage.check_room(job.output)


def _finished_report(job: Job, folder: Folder, storage: Storage) -> Report | None:
    """Return the report of a job that is complete, `None` if its output is gone and can be written once more."""
    if not storage.exists(job.output):
        if not folder.has_records:
            raise UsageError(
                f"the job in {folder.path} is complete, but its output {job.output} is gone, and its records were "
                "deleted when it was written; overwrite to begin anew"
            )
        folder.save(complete=False)
        return None
    rows, failed = folder.manifest["rows"], folder.manifest["failed"]
    letters = dead_letter_path(job.output) if failed else None
    return Report(rows, failed, rows, complete=True, output=job.output, dead_letter=letters)
