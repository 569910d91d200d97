"""The engine of a cluster: Ray Data hands segments of the input to actors, and writes what they return.

Ray does what is distributed: placing actors, starting dead ones again, repeating what they had not finished, writing
blocks. Each actor holds one `AsyncClient` and does with its rows what the local engine does.
"""

from __future__ import annotations

import asyncio
import math
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from sagewire._extras import require
from sagewire.bulk.concurrency import ConcurrencyController
from sagewire.bulk.engines.local import LocalEngine
from sagewire.bulk.files.input import Source
from sagewire.bulk.files.splits import Split, read_segment, segments
from sagewire.bulk.files.storage import absolute
from sagewire.bulk.job import Bounds, Job
from sagewire.bulk.models import open_model, preflight
from sagewire.bulk.prepare import Prepared
from sagewire.bulk.progress import Progress, guess_of
from sagewire.bulk.rows import Record
from sagewire.bulk.state.answer_index import MemoryIndex
from sagewire.bulk.state.job_state import Done, RecordLocation, reasons
from sagewire.bulk.state.shared_limits import Leave, SharedLimits
from sagewire.bulk.tasks import make_task
from sagewire.bulk.worker import Worker, describe
from sagewire.errors import SagewireError, UsageError

__all__ = ["Kept", "check_cluster", "run_on_ray"]

SEGMENT_ROWS = 512
# Every segment is a task and a file; more of them than this only cost.
_MOST_SEGMENTS = 4096
# In place of a row's number, where the record is why a worker stopped.
_STOPPED = -1
_SECRETS = ("aws_secret_access_key", "aws_session_token", "token", "client")


def check_cluster(job: Job) -> None:
    """Raise `UsageError` for what cannot go to a cluster."""
    if not isinstance(job.model, str):
        raise UsageError("engine='ray' makes a client on every machine; give the model's name, not a client")
    for name in _SECRETS:
        if job.client_arguments.get(name) is not None:
            raise UsageError(f"{name} does not travel between machines; use a role, a profile or the environment there")


def run_on_ray(
    prepared: Prepared,
    folder: Path,
    done: Done,
    *,
    address: str | None = None,
    workers: int | None = None,
    segment_rows: int | None = None,
) -> str | None:
    """Do what is not done of pass 0 on a Ray cluster; return why it ended early, `None` if it did not.

    Args:
        prepared: The job.
        folder: The pass's folder, on a file system that all machines share.
        done: What earlier runs have done.
        address: A Ray cluster, `ray://host:10001` or `auto`; `None` for the one connected to, else this machine.
        workers: Actors; `None` for one a machine, and two where there is only one.
        segment_rows: Rows of a task; a segment's rows are on disk when all of them are done.
    """
    ray = require("ray", "ray")
    require("ray.data", "ray")
    own = not ray.is_initialized()
    if own:
        _connect(ray, address)
    try:
        # Workers have working directories of their own.
        files = [replace(file, path=absolute(file.path)) for file in prepared.source.files]
        source = Source(prepared.storage, files)
        size = segment_rows or max(SEGMENT_ROWS, math.ceil(source.count() / _MOST_SEGMENTS))
        left = [one for one in segments(source, size) if any(row not in done for row in _rows(one))]
        if not left:
            return None
        count = min(workers or max(2, len(ray.nodes())), len(left))
        bounds = prepared.bounds
        worker = {
            "job": prepared.job,
            "bounds": bounds,
            "source": source,
            "reserved": prepared.reserved,
            "dedup": prepared.dedup,
            "share": max(1, (bounds.concurrency or bounds.max_concurrency) // count),
        }
        written = folder.absolute() / f"ray-{uuid.uuid4().hex[:12]}"
        written.mkdir(parents=True)
        stopped = _drive_from(ray, worker, [_as_row(one, done) for one in left], count, str(written))
        return stopped or next(reasons(written), None)
    finally:
        if own:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    # Ray reports its use to its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, log_to_driver=False, **({} if address else {"include_dashboard": False}))
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        where = f"the Ray cluster at {address}" if address else "Ray on this machine"
        first = str(error).strip().partition("\n")[0]
        hint = ""
        if address and address.startswith("ray://"):
            hint = (
                " (it needs the client server's port, 10001 if not said, the same versions of Python and Ray on both "
                "sides, and RAY_AUTH_MODE as the cluster has it)"
            )
        raise UsageError(f"{where} cannot be reached: {first}{hint}") from None


def _drive_from(
    ray: Any, worker: Mapping[str, Any], rows: list[dict[str, Any]], count: int, written: str
) -> str | None:
    try:
        if ray.util.client.ray.is_connected():
            # Ray Data does not work through ray://, so a task drives it from inside of the cluster.
            ray.get(ray.remote(num_cpus=0, max_retries=0)(_drive).remote(worker, rows, count, written))
        else:
            _drive(worker, rows, count, written)
    except (ray.exceptions.RayError, ConnectionError) as error:
        cause = getattr(error, "cause", None) or error
        return f"{type(cause).__name__}: {str(cause).strip().splitlines()[-1]}"
    return None


def _drive(worker: Mapping[str, Any], rows: list[dict[str, Any]], count: int, written: str) -> None:
    """Let Ray Data do the work; for a process of the cluster, or one that is connected to it."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    data = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        SegmentWorker,
        batch_size=1,
        concurrency=count,
        fn_constructor_kwargs={**worker, "shared_limits": _shared_limits(ray, worker["job"], worker["bounds"], count)},
        # Waiting for an endpoint is no work for a processor.
        num_cpus=0.5,
    )
    data.write_parquet(written)


def _shared_limits(ray: Any, job: Job, bounds: Bounds, count: int) -> Any:
    """Return an actor that counts for all workers, `None` where there is nothing to be counted."""
    if bounds.max_errors is None and bounds.budget_tokens is None and bounds.deadline is None:
        return None
    # It has no name: it lives as long as those who hold it, and no other job can take it for its own.
    return ray.remote(num_cpus=0)(SharedLimits).remote(bounds, count, guess_of(job))


def _as_row(segment: Split, done: Done) -> dict[str, Any]:
    skip = [row for row in _rows(segment) if row in done]
    # As text: Ray would make a tensor of lists.
    return {"segment": orjson.dumps(asdict(segment)).decode(), "skip": orjson.dumps(skip).decode()}


def _rows(segment: Split) -> range:
    return range(segment.first, segment.first + segment.rows)


class Kept:
    """Records of a segment, until Ray has them."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, records: Sequence[Record]) -> list[RecordLocation]:
        """Keep them in memory."""
        self.records += records
        return [("", 0, 0)] * len(records)

    def close(self) -> None:
        """Nothing to end."""


class SegmentWorker:
    """An actor: its share of the calls, for segment after segment.

    Args:
        job: What is to be done.
        bounds: How patiently.
        source: The input.
        reserved: Names that no row may have.
        dedup: Ask once for equal rows of a segment.
        share: Calls in flight it may have.
        shared_limits: The actor with the `SharedLimits` of the whole job, if it has bounds.
    """

    def __init__(
        self,
        job: Job,
        bounds: Bounds,
        source: Source,
        reserved: Sequence[str],
        dedup: bool,
        share: int,
        shared_limits: Any = None,
    ) -> None:
        self._job = job
        self._bounds = replace(bounds, max_errors=None, budget_tokens=None, deadline=None)
        self._shared_limits = shared_limits
        self._source = source
        self._reserved = reserved
        self._dedup = dedup
        self._task = make_task(job)
        self._client = open_model(job.model, job.client_arguments, job.task)
        self._controller = ConcurrencyController(share if bounds.concurrency is not None else None, most=share)
        self._stopped: str | None = None

    async def __call__(self, batch: Mapping[str, Any]) -> AsyncIterator[dict[str, list[Any]]]:
        """Yield the records of each segment, sorted by row."""
        try:
            await preflight(self._client, self._job.task)
        except SagewireError as error:
            self._stopped = describe(error)
        for segment, skip in zip(batch["segment"], batch["skip"], strict=True):
            records = await self._segment(Split(**orjson.loads(segment)), orjson.loads(skip))
            rows, lines = [one.row for one in records], [one.to_json() for one in records]
            if self._stopped is not None:
                # Not an exception: Ray would throw away what other workers have finished.
                rows, lines = [*rows, _STOPPED], [*lines, self._stopped.encode()]
            yield {"row": rows, "record": lines}

    async def _segment(self, segment: Split, skip: Sequence[int]) -> list[Record]:
        kept = Kept()
        again = True
        while again and self._stopped is None:
            leave = Leave() if self._shared_limits is None else await self._shared_limits.borrow.remote()
            if isinstance(leave, str):
                self._stopped = leave
                break
            again = await self._work(segment, skip, leave, kept)
        return sorted(kept.records, key=lambda record: record.row)

    async def _work(self, segment: Split, skip: Sequence[int], leave: Leave, kept: Kept) -> bool:
        """Do the rows of a segment that are not done; return whether that took more tokens than there were."""
        bounds = replace(self._bounds, budget_tokens=leave.tokens, deadline=leave.seconds)
        worker = Worker(self._job, bounds, self._task, self._client, self._controller)
        progress, failures = Progress(guess_of(self._job)), _Failures(self._shared_limits)
        index = MemoryIndex() if self._dedup else None
        if index is not None:
            index.add(kept.records, ())
        engine = LocalEngine(
            worker,
            self._task,
            self._controller,
            bounds,
            kept,
            progress,
            index=index,
            reserved=self._reserved,
            watch=lambda progress: failures.report(progress, engine),
        )
        engine.begin(segment.first, [*skip, *(record.row for record in kept.records)])
        try:
            await engine.run(read_segment(self._source, segment, self._task.columns))
        except SagewireError as error:
            self._stopped = describe(error)
        await failures.settle()
        if self._shared_limits is not None:
            await self._shared_limits.bring_back.remote(leave, progress.tokens, progress.answers)
            if engine.spent_up:
                return True
            if engine.stopped is not None and leave.seconds is not None:
                # The seconds that this worker was given were what was left of the job's.
                self._stopped = self._stopped or await self._shared_limits.overdue.remote()
        self._stopped = self._stopped or engine.stopped
        return False


class _Failures:
    """Tells the shared_limits of rows that have failed as they do, and stops the engine when it says so."""

    def __init__(self, shared_limits: Any) -> None:
        self._shared_limits = shared_limits
        self._told = 0
        self._telling: set[asyncio.Task[None]] = set()

    def report(self, progress: Progress, engine: LocalEngine) -> None:
        """Tell of the failures that are new."""
        new, self._told = progress.failed - self._told, progress.failed
        if new and self._shared_limits is not None:
            task = asyncio.create_task(self._tell(new, engine))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def settle(self) -> None:
        """Wait until all is told."""
        await asyncio.gather(*self._telling)

    async def _tell(self, rows: int, engine: LocalEngine) -> None:
        reason = await self._shared_limits.fail.remote(rows)
        if reason is not None:
            engine.stop(reason)
