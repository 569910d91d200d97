"""`run` and `arun`: a job from its arguments to its report."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Unpack

from sagewire._extras import require
from sagewire.bulk.assembly import assemble, dead_letter_path
from sagewire.bulk.job import Bounds, Job, JobSettings, Report, split_settings
from sagewire.bulk.journal import Folder
from sagewire.bulk.local import LocalEngine
from sagewire.bulk.models import open_model, preflight
from sagewire.bulk.outputs import added_columns
from sagewire.bulk.pace import Pace
from sagewire.bulk.passes import pass_chunks
from sagewire.bulk.places import Storage
from sagewire.bulk.sources import Source
from sagewire.bulk.tally import Tally
from sagewire.bulk.tasks import Task, make_task, temperature_of
from sagewire.bulk.worker import Worker
from sagewire.errors import UsageError

__all__ = ["Engine", "Prepared", "Watch", "arun", "prepare", "run"]

Engine = Literal["local"]
Watch = Callable[[Tally], None]


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


def prepare(source: str, model: Any, output: str, settings: JobSettings) -> Prepared:
    """Check everything that can be checked without asking the endpoint.

    Raises:
        UsageError: A setting is wrong, the input cannot be read, or lacks a column.
    """
    require("pyarrow", "bulk")
    job, bounds = split_settings(source, model, output, settings)
    task = make_task(job)
    storage = Storage(job.client_arguments)
    found = Source(storage, storage.files(job.source))
    _check_columns(found, task, job)
    dedup = job.dedup if job.dedup is not None else not temperature_of(task)
    return Prepared(job, bounds, task, found, storage, dedup)


async def arun(
    source: str,
    model: Any,
    output: str,
    *,
    resume: bool = False,
    retry: bool = False,
    overwrite: bool = False,
    work_dir: str | None = None,
    watch: Watch | None = None,
    **settings: Unpack[JobSettings],
) -> Report:
    """Run one model over every row of a file or dataset; see `run`."""
    prepared = prepare(source, model, output, settings)
    with Folder(folder_path(prepared.job, work_dir)) as folder:
        if finished := _open_folder(prepared, folder, resume=resume, retry=retry, overwrite=overwrite):
            return finished
        return await _run(prepared, folder, watch)


def run(
    source: str,
    model: Any,
    output: str,
    *,
    resume: bool = False,
    retry: bool = False,
    overwrite: bool = False,
    work_dir: str | None = None,
    watch: Watch | None = None,
    **settings: Unpack[JobSettings],
) -> Report:
    """Run one model over every row of a file or dataset, and wait.

    A row counts once it is on disk. After a crash, a full disk, a lost endpoint or a bound that was reached, the same
    call with `resume=True` goes on where it ended: the output holds every row once, in the input's order. (A call that
    was in flight when a process was killed is made again.) An interrupt (Ctrl-C, SIGTERM) waits for the calls in
    flight, a second one does not.

    Args:
        source: A JSON lines, Parquet or CSV file, a directory of such files, or an `s3://` address of either.
        model: `sagemaker/NAME`, `huggingface/ID-OR-URL`, a server's URL, or a `Client` or `AsyncClient`.
        output: The file to write; its extension says the format.
        resume: Go on with a job that was begun before; begin it where it was not.
        retry: Ask again about the rows that failed in a job that is complete, and write its output anew.
        overwrite: Begin anew where there is a job or an output already.
        work_dir: The folder for what is done so far; `OUTPUT.bulk` if not said.
        watch: Called with a `Tally` as rows get done.
        **settings: The other fields of `Job` and `Bounds`.

    Raises:
        UsageError: A setting is wrong, the input lacks a column, or there is an output already. Nothing was sent.
        UnsupportedFeature: The endpoint cannot do it.
        EndpointError: The endpoint cannot be asked at all.

    Example:
        >>> report = run("in.jsonl", "sagemaker/my-llama", "out.parquet",
        ...              template="Summarise: {body}", options={"max_tokens": 200})  # doctest: +SKIP
        >>> report.rows, report.failed  # doctest: +SKIP
        (1000000, 0)
    """
    return asyncio.run(
        arun(
            source,
            model,
            output,
            resume=resume,
            retry=retry,
            overwrite=overwrite,
            work_dir=work_dir,
            watch=watch,
            **settings,
        )
    )


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
    return source, model, written, {**settings, **folder.manifest["more"]}


def folder_path(job: Job, work_dir: str | None) -> Path:
    """Return the work folder of a job."""
    return default_folder(job.output) if work_dir is None else Path(work_dir).expanduser()


def default_folder(output: str) -> Path:
    """Return the work folder of an output where none was named: beside it, or for S3 in the current directory."""
    if output.startswith("s3://"):
        return Path(f"{output.rpartition('/')[2]}.bulk")
    return Path(f"{output}.bulk").expanduser()


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


def _open_folder(prepared: Prepared, folder: Folder, *, resume: bool, retry: bool, overwrite: bool) -> Report | None:
    """Begin, resume or extend the job in a folder; return a report where there is nothing to do."""
    job, identity = prepared.job, prepared.job.identity
    files = [asdict(file) for file in prepared.source.files]
    if overwrite and (resume or retry):
        raise UsageError("overwrite begins anew, which is the opposite of resume and retry")
    if not folder.exists or overwrite:
        if retry:
            raise UsageError(f"there is no job in {folder.path} whose failed rows could be retried")
        if not overwrite and prepared.storage.exists(job.output):
            raise UsageError(f"{job.output} exists already; overwrite it, or name another output")
        folder.begin(identity, files)
        folder.save(more=_more(job))
        return None
    folder.load()
    folder.check(identity, files)
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


async def _run(prepared: Prepared, folder: Folder, watch: Watch | None) -> Report:
    job, bounds, number = prepared.job, prepared.bounds, folder.manifest["passes"] - 1
    client = open_model(job.model, job.client_arguments, job.task)
    tally = Tally(float(job.options.get("max_tokens") or 256))
    pace = Pace(bounds.concurrency, most=bounds.max_concurrency)
    worker = Worker(job, bounds, prepared.task, client, pace)
    engine = LocalEngine(
        worker,
        prepared.task,
        pace,
        bounds,
        folder.pass_folder(number),
        # Parquet and CSV rows all have the same columns, which were checked.
        reserved=added_columns(job) if prepared.source.format == "jsonl" else (),
        # Who retries wants another answer, not the same again.
        dedup=prepared.dedup,
        tally=tally,
        watch=watch,
    )
    start = await asyncio.to_thread(engine.recover)
    chunks = pass_chunks(prepared.source, folder, number, prepared.task.columns, start)
    counting = asyncio.create_task(_count(prepared, tally, number, folder))
    with _interrupts(engine):
        try:
            await preflight(client, job.task)
            await engine.run(chunks)
        finally:
            counting.cancel()
            if client is not job.model:
                await client.close()
    report = _report(tally, pace, engine.stopped)
    if engine.stopped is not None:
        letters = folder.path / "failed.jsonl"
        return replace(report, dead_letter=str(letters) if letters.exists() else None)
    return await _finish(prepared, folder, report)


async def _count(prepared: Prepared, tally: Tally, number: int, folder: Folder) -> None:
    """Find out how many rows there are, for the progress bar, while the first are on their way."""
    if number:
        tally.total = folder.manifest.get("failed")
        return
    tally.total = await asyncio.to_thread(prepared.source.count)


async def _finish(prepared: Prepared, folder: Folder, report: Report) -> Report:
    job = prepared.job
    try:
        totals = await asyncio.to_thread(assemble, job, prepared.source, folder, prepared.storage)
    except OSError as error:
        return replace(report, stopped=f"the output cannot be written: {error}; resume to write it")
    folder.save(complete=True, rows=totals.rows, failed=totals.failed)
    if not totals.failed:
        folder.drop_parts()
    letters = dead_letter_path(job.output) if totals.failed else None
    return replace(
        report, rows=totals.rows, failed=totals.failed, complete=True, output=job.output, dead_letter=letters
    )


def _report(tally: Tally, pace: Pace, stopped: str | None) -> Report:
    return Report(
        rows=tally.rows,
        failed=tally.failed + tally.failed_before,
        done_before=tally.done_before,
        reused=tally.reused,
        malformed=tally.malformed,
        calls=pace.calls,
        throttled=pace.refused,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        seconds=tally.seconds,
        concurrency=pace.limit,
        stopped=stopped,
        errors=dict(tally.errors.most_common()),
    )


@contextmanager
def _interrupts(engine: LocalEngine) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop the job cleanly; a second one is the usual interrupt."""
    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        signal.signal(number, before[number])
        engine.stop(f"interrupted ({number.name})")

    try:
        for number in before:
            loop.add_signal_handler(number, stop, number)
    except NotImplementedError:
        # Windows' event loops have none.
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            if loop.remove_signal_handler(number):
                signal.signal(number, handler)
