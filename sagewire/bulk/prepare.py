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
from sagewire.bulk.job import Bounds, Job, JobSettings, Report, split_settings
from sagewire.bulk.state.job_state import Folder
from sagewire.bulk.tasks import Task, make_task, temperature_of
from sagewire.errors import UsageError

__all__ = ["Prepared", "folder_path", "open_folder", "prepare", "remembered"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job whose arguments and input were checked; nothing was sent.

    Args:
        job: What is to be done.
        bounds: Within which bounds.
        task: What is asked.
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
        found = Source(storage, storage.files(job.source))
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
        UsageError: There is none, or its model was an object.
    """
    folder = Folder(Path(work_dir).expanduser() if work_dir is not None else default_folder(output))
    if not folder.exists:
        raise UsageError(f"there is no job in {folder.path}; name the output of one, or its work_dir")
    folder.load()
    settings = dict(folder.manifest["identity"])
    source, model = settings.pop("source"), settings.pop("model")
    written = settings.pop("output")
    if model.endswith(")"):
        raise UsageError(f"the model of this job was an object, {model}; resume it from Python")
    # A relative path is where the job was begun, which need not be here.
    if not work_dir:
        written = output
    engine = {"engine": folder.manifest["engine"], "engine_options": folder.manifest["engine_options"]}
    return source, model, written, {**settings, **folder.manifest["more"], **engine}


def folder_path(job: Job, work_dir: str | None) -> Path:
    """Return the work folder of a job."""
    return default_folder(job.output) if work_dir is None else Path(work_dir).expanduser()


def default_folder(output: str) -> Path:
    """Return the work folder of an output where none was named: beside it, or for S3 in the current directory."""
    if output.startswith("s3://"):
        return Path(f"{output.rpartition('/')[2]}.bulk")
    return Path(f"{output}.bulk").expanduser()


def _check_output(source: Source, job: Job) -> None:
    output, folder = absolute(job.output), absolute(job.source).rstrip("/")
    if any(absolute(file.path) == output for file in source.files):
        raise UsageError(f"the output {job.output} is the input; name another file")
    if output.startswith(f"{folder}/"):
        # The next run would take it for one of the inputs, and find that they have changed.
        raise UsageError(f"the output {job.output} lies in the input directory {job.source}; put it elsewhere")


def _check_columns(source: Source, task: Task, job: Job) -> None:
    names = source.columns()
    if names is None:
        # JSON lines say it row by row; the first ones speak for the rest.
        first = next(source.chunks(), None)
        rows = [row.values for row in first.rows if row.values is not None] if first is not None else []
        if not rows:
            return
        names = list(dict.fromkeys(name for values in rows for name in values))
    missing = [name for name in task.columns if name not in names]
    if missing:
        raise UsageError(
            f"{source.files[0].path} has no column {missing[0]!r}; its columns: {', '.join(names)}. "
            "Name the right one with column, or write a template"
        )
    taken = [name for name in added_columns(job) if name in names]
    if taken:
        raise UsageError(f"the input has a column {taken[0]!r} already; give a prefix for the columns that are added")


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
    """Begin, resume or extend the job in a folder; return a report where there is nothing to do."""
    job, identity = prepared.job, prepared.job.identity
    files = [asdict(file) for file in prepared.source.files]
    if overwrite and (resume or retry):
        raise UsageError("overwrite begins anew, which is the opposite of resume and retry")
    if folder.blank or overwrite:
        if retry:
            raise UsageError(f"there is no job in {folder.path} whose failed rows could be retried")
        if not overwrite and prepared.storage.exists(job.output):
            raise UsageError(f"{job.output} exists already; overwrite it, or name another output")
        prepared.storage.check_room(job.output)
        folder.begin(identity, files)
        folder.save(more=_more(job), engine=engine, engine_options=dict(options))
        return None
    folder.load()
    folder.check(identity, files)
    begun = folder.manifest["engine"]
    if not retry and engine != begun:
        raise UsageError(f"the job in {folder.path} was begun with engine={begun!r}; resume it with that one")
    folder.save(engine_options={**folder.manifest["engine_options"], **options})
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
    return _finished_report(job, folder) if complete else None


def _more(job: Job) -> dict[str, Any]:
    """Return what is no part of a job's identity and yet worth remembering; nothing of it is a secret."""
    names = ("region_name", "profile_name", "handler", "format", "inference_component_name", "endpoint_url")
    given = {name: value for name, value in job.client_arguments.items() if name in names and isinstance(value, str)}
    return {"client_arguments": given, "dedup": job.dedup}


def _finished_report(job: Job, folder: Folder) -> Report:
    rows, failed = folder.manifest["rows"], folder.manifest["failed"]
    letters = dead_letter_path(job.output) if failed else None
    return Report(rows, failed, rows, complete=True, output=job.output, dead_letter=letters)
