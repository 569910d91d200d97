"""`run` and `arun`: a job from its arguments to its report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Unpack

from sagewire.bulk.concurrency import ConcurrencyController
from sagewire.bulk.engines import Engine, check_engine
from sagewire.bulk.engines.async_inference import DEFERRED_IN_FLIGHT, check_deferred, defer
from sagewire.bulk.engines.batch_transform import run_transform
from sagewire.bulk.engines.local import LocalEngine
from sagewire.bulk.engines.ray import Outcome, run_on_ray
from sagewire.bulk.files.assembly import assemble
from sagewire.bulk.files.dead_letters import dead_letter_path
from sagewire.bulk.job import JobSettings, Report
from sagewire.bulk.models import open_model, preflight
from sagewire.bulk.prepare import Prepared, folder_path, open_folder, prepare
from sagewire.bulk.progress import LiveProgress, Progress, guess_of
from sagewire.bulk.state.answer_index import AnswerIndex
from sagewire.bulk.state.job_state import Done, Folder, PartWriter, read_records
from sagewire.bulk.state.passes import pass_chunks
from sagewire.bulk.stopping import StopSignal, interrupts
from sagewire.bulk.worker import Worker
from sagewire.errors import UsageError
from sagewire.http.abandonable import in_thread

__all__ = ["Engine", "OnProgress", "arun", "run"]

OnProgress = Callable[[Progress], None]


async def arun(
    source: str,
    model: Any,
    output: str,
    *,
    engine: Engine = "local",
    engine_options: Mapping[str, Any] | None = None,
    resume: bool = False,
    retry: bool = False,
    overwrite: bool = False,
    work_dir: str | None = None,
    watch: OnProgress | None = None,
    **settings: Unpack[JobSettings],
) -> Report:
    """Run one model over every row of a file or dataset; see `run`."""
    # In a thread, as everything that reads or writes: a disk or a bucket that hangs must not hold the caller's loop.
    prepared = await in_thread(prepare, source, model, output, settings)
    options = dict(engine_options or {})
    check_engine(engine, options, prepared)
    with Folder(folder_path(prepared.job, work_dir)) as folder:
        flags = {"resume": resume, "retry": retry, "overwrite": overwrite}
        try:
            if finished := await in_thread(_opened, prepared, folder, engine, options, flags):
                return finished
            return await _run(prepared, folder, watch)
        except BaseException:
            if folder.blank:
                folder.discard()
            raise


def run(
    source: str,
    model: Any,
    output: str,
    *,
    engine: Engine = "local",
    engine_options: Mapping[str, Any] | None = None,
    resume: bool = False,
    retry: bool = False,
    overwrite: bool = False,
    work_dir: str | None = None,
    watch: OnProgress | None = None,
    **settings: Unpack[JobSettings],
) -> Report:
    """Run one model over every row of a file or dataset, and wait.

    A row counts once it is on disk. After a crash, a full disk, a lost endpoint or a bound that was reached, the same
    call with `resume=True` continues it: the output holds every row once, in the input's order. (A call that
    was in flight when a process was killed is made again.) An interrupt (Ctrl-C, SIGTERM) waits for the calls in
    flight, a second one does not.

    Args:
        source: A JSON lines, Parquet or CSV file, a directory of such files, or an `s3://` address of either.
        model: An endpoint's name, `huggingface/ID-OR-URL`, a server's URL, or a `Client` or `AsyncClient`.
        output: The file to write; its extension says the format.
        engine: What does the work: `local` (this process), `ray` (a Ray cluster), `async-inference` (a SageMaker
            endpoint of that kind) or `batch-transform` (a SageMaker job with its own instances).
        engine_options: Options of the engine; see `sagewire.bulk.engines`.
        resume: Continue a stopped job; start a new one if the job does not exist.
        retry: Send the failed rows of a complete job again, and rewrite its output.
        overwrite: Replace an existing job or output.
        work_dir: The work folder; default `OUTPUT.bulk`.
        watch: Called with a `Progress` as rows get done.
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
            engine=engine,
            engine_options=engine_options,
            resume=resume,
            retry=retry,
            overwrite=overwrite,
            work_dir=work_dir,
            watch=watch,
            **settings,
        )
    )


def _opened(
    prepared: Prepared, folder: Folder, engine: Engine, options: Mapping[str, Any], flags: Mapping[str, bool]
) -> Report | None:
    try:
        return open_folder(prepared, folder, engine, options, **flags)
    except OSError as error:
        raise UsageError(f"the work folder {folder.path} cannot be written: {error.strerror or error}") from None


async def _run(prepared: Prepared, folder: Folder, watch: OnProgress | None) -> Report:
    engine, options = folder.manifest["job"]["engine"], folder.manifest["job"]["engine_options"]
    # Rows that failed are few, and numbered among themselves.
    if folder.manifest["passes"] > 1 or engine in ("local", "async-inference"):
        report = await _run_here(prepared, folder, watch, engine, options)
    else:
        report = await _run_elsewhere(prepared, folder, watch, engine, options)
    if report.stopped is not None:
        # A disk that is full is one reason to stop; what it holds is enough to go on from.
        with suppress(OSError):
            folder.save(stopped_by=prepared.bounds.reached(report.stopped))
        return report
    return await _finish(prepared, folder, report)


async def _run_elsewhere(
    prepared: Prepared, folder: Folder, watch: OnProgress | None, engine: str, options: Mapping[str, Any]
) -> Report:
    progress, earlier, done, stop = Progress(), Done(), Done(), StopSignal()
    pass_folder = folder.pass_folder(0)
    for record in await in_thread(lambda: list(read_records(pass_folder))):
        earlier.add(record.row)
        done.add(record.row)
        progress.before(record)
    outcome = Outcome(None)
    with interrupts(stop.set) as take_signals:
        if engine == "ray":
            live = LiveProgress(progress, watch, stop)
            counting = asyncio.create_task(_count(prepared, live.progress, 0, folder))
            try:
                outcome = await run_on_ray(
                    prepared, pass_folder, done, stop, live.show, connected=take_signals, **options
                )
            finally:
                counting.cancel()
            if live.error is not None:
                raise live.error
        else:
            outcome = Outcome(await run_transform(prepared, pass_folder, done, stop, **options))
    for record in await in_thread(lambda: list(read_records(pass_folder))):
        if record.row not in earlier:
            earlier.add(record.row)
            if record.answer.output is not None:
                progress.answered([record])
            progress.done(record)
    report = replace(_report(progress, None, outcome.stopped), notes=outcome.notes)
    calls, throttled = outcome.totals.get("calls", report.calls), outcome.totals.get("throttled", 0)
    return replace(report, calls=calls, throttled=throttled)


async def _run_here(
    prepared: Prepared, folder: Folder, watch: OnProgress | None, kind: str, options: Mapping[str, Any]
) -> Report:
    pass_folder = folder.pass_folder(folder.manifest["passes"] - 1)
    try:
        parts = PartWriter(pass_folder)
        index = AnswerIndex(pass_folder) if prepared.dedup else None
    except OSError as error:
        return Report(0, stopped=f"the work folder cannot be written: {error}")
    try:
        return await _run_rows(prepared, folder, watch, kind, options, parts, index)
    finally:
        if index is not None:
            index.close()


async def _run_rows(
    prepared: Prepared,
    folder: Folder,
    watch: OnProgress | None,
    kind: str,
    options: Mapping[str, Any],
    parts: PartWriter,
    index: AnswerIndex | None,
) -> Report:
    job, bounds, number = prepared.job, prepared.bounds, folder.manifest["passes"] - 1
    pass_folder = folder.pass_folder(number)
    client = open_model(job.model, job.client_arguments, job.task)
    if kind == "async-inference":
        client = defer(client, folder.path / "tickets.jsonl", **options)
        bounds = bounds if bounds.concurrency else replace(bounds, concurrency=DEFERRED_IN_FLIGHT)
    progress = Progress(guess_of(job))
    controller = ConcurrencyController(bounds.concurrency, most=bounds.max_concurrency)
    worker = Worker(job, bounds, prepared.task, client, controller)
    engine = LocalEngine(
        worker,
        prepared.task,
        controller,
        bounds,
        parts,
        progress,
        index=index,
        reserved=prepared.reserved,
        letters=folder.path / "failed.jsonl",
        watch=watch,
        reread=lambda row: pass_chunks(prepared.source, folder, number, prepared.task.columns, row),
    )
    start = await in_thread(engine.recover, read_records(pass_folder))
    chunks = pass_chunks(prepared.source, folder, number, prepared.task.columns, start)
    counting = asyncio.create_task(_count(prepared, progress, number, folder))
    with interrupts(engine.stop):
        try:
            await preflight(client, job.task)
            if kind == "async-inference":
                await check_deferred(client)
            await engine.run(chunks)
        finally:
            counting.cancel()
            if client is not job.model:
                await client.close()
    letters = folder.path / "failed.jsonl"
    report = _report(progress, controller, engine.stopped)
    return replace(report, dead_letter=str(letters) if letters.exists() else None)


async def _count(prepared: Prepared, progress: Progress, number: int, folder: Folder) -> None:
    """Find out how many rows there are, for the progress bar, while the first are on their way."""
    if number:
        progress.total = folder.manifest.get("failed")
        return
    progress.total = await in_thread(prepared.source.count)


async def _finish(prepared: Prepared, folder: Folder, report: Report) -> Report:
    job = prepared.job
    try:
        totals = await in_thread(assemble, job, prepared.source, folder, prepared.storage)
        folder.save(complete=True, stopped_by=None, rows=totals.rows, failed=totals.failed)
    except OSError as error:
        return replace(report, stopped=f"the output cannot be written: {error}; resume to write it")
    if not totals.failed:
        folder.drop_parts()
    letters = dead_letter_path(job.output) if totals.failed else None
    return replace(
        report, rows=totals.rows, failed=totals.failed, complete=True, output=job.output, dead_letter=letters
    )


def _report(progress: Progress, controller: ConcurrencyController | None, stopped: str | None) -> Report:
    return Report(
        rows=progress.rows,
        failed=progress.failed + progress.failed_before,
        done_before=progress.done_before,
        reused=progress.reused,
        malformed=progress.malformed,
        calls=controller.calls if controller else progress.answers,
        throttled=controller.refused if controller else 0,
        prompt_tokens=progress.prompt_tokens,
        completion_tokens=progress.completion_tokens,
        estimated_tokens=progress.estimated_tokens,
        seconds=progress.seconds,
        concurrency=controller.limit if controller else 0,
        stopped=stopped,
        errors=dict(progress.errors.most_common()),
    )
