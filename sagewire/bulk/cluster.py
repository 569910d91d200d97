"""The engine of a cluster: Ray Data hands segments of the input to actors, and writes what they return.

Ray does what is distributed: placing actors, starting dead ones again, repeating what they had not finished, writing
blocks. Each actor holds one `AsyncClient` and does with its rows what the local engine does.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from sagewire._extras import require
from sagewire.bulk.duplicates import MemoryIndex
from sagewire.bulk.job import Bounds, Job
from sagewire.bulk.journal import Done, Place, reasons
from sagewire.bulk.local import LocalEngine
from sagewire.bulk.models import open_model, preflight
from sagewire.bulk.pace import Pace
from sagewire.bulk.preparing import Prepared
from sagewire.bulk.rows import Record
from sagewire.bulk.segments import Segment, read_segment, segments
from sagewire.bulk.sources import Source
from sagewire.bulk.tally import Tally
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


def check_cluster(job: Job, bounds: Bounds) -> None:
    """Raise `UsageError` for what cannot go to a cluster."""
    if not isinstance(job.model, str):
        raise UsageError("engine='ray' makes a client on every machine; give the model's name, not a client")
    for name in _SECRETS:
        if job.client_arguments.get(name) is not None:
            raise UsageError(f"{name} does not travel between machines; use a role, a profile or the environment there")
    for name in ("max_errors", "budget_tokens", "deadline"):
        if getattr(bounds, name) is not None:
            raise UsageError(f"{name} needs one place that counts; Ray has many. Leave it out, or use the local engine")


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
        # Ray reports its use to its makers unless it is told not to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address=address, log_to_driver=False, **({} if address else {"include_dashboard": False}))
    try:
        size = segment_rows or max(SEGMENT_ROWS, math.ceil(prepared.source.count() / _MOST_SEGMENTS))
        left = [one for one in segments(prepared.source, size) if any(row not in done for row in _rows(one))]
        if not left:
            return None
        count = min(workers or max(2, len(ray.nodes())), len(left))
        return _work(ray, prepared, folder, [_as_row(one, done) for one in left], count)
    finally:
        if own:
            ray.shutdown()


def _work(ray: Any, prepared: Prepared, folder: Path, rows: list[dict[str, Any]], count: int) -> str | None:
    bounds = prepared.bounds
    share = max(1, (bounds.concurrency or bounds.max_concurrency) // count)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    data = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        SegmentWorker,
        batch_size=1,
        concurrency=count,
        fn_constructor_kwargs={
            "job": prepared.job,
            "bounds": bounds,
            "source": prepared.source,
            "reserved": prepared.reserved,
            "dedup": prepared.dedup,
            "share": share,
        },
        # Waiting for an endpoint is no work for a processor.
        num_cpus=0.5,
    )
    written = folder / f"ray-{uuid.uuid4().hex[:12]}"
    written.mkdir(parents=True)
    try:
        data.write_parquet(str(written))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        return f"{type(cause).__name__}: {str(cause).strip().splitlines()[-1]}"
    return next(reasons(written), None)


def _as_row(segment: Segment, done: Done) -> dict[str, Any]:
    skip = [row for row in _rows(segment) if row in done]
    # As text: Ray would make a tensor of lists.
    return {"segment": orjson.dumps(asdict(segment)).decode(), "skip": orjson.dumps(skip).decode()}


def _rows(segment: Segment) -> range:
    return range(segment.first, segment.first + segment.rows)


class Kept:
    """Records of a segment, until Ray has them."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, records: Sequence[Record]) -> list[Place]:
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
    """

    def __init__(
        self, job: Job, bounds: Bounds, source: Source, reserved: Sequence[str], dedup: bool, share: int
    ) -> None:
        self._job = job
        self._bounds = bounds
        self._source = source
        self._reserved = reserved
        self._dedup = dedup
        self._task = make_task(job)
        self._client = open_model(job.model, job.client_arguments, job.task)
        self._pace = Pace(share if bounds.concurrency is not None else None, most=share)
        self._stopped: str | None = None

    async def __call__(self, batch: Mapping[str, Any]) -> AsyncIterator[dict[str, list[Any]]]:
        """Yield the records of each segment, sorted by row."""
        try:
            await preflight(self._client, self._job.task)
        except SagewireError as error:
            self._stopped = describe(error)
        for segment, skip in zip(batch["segment"], batch["skip"], strict=True):
            records = await self._segment(Segment(**orjson.loads(segment)), orjson.loads(skip))
            rows, lines = [one.row for one in records], [one.to_json() for one in records]
            if self._stopped is not None:
                # Not an exception: Ray would throw away what other workers have finished.
                rows, lines = [*rows, _STOPPED], [*lines, self._stopped.encode()]
            yield {"row": rows, "record": lines}

    async def _segment(self, segment: Segment, skip: Sequence[int]) -> list[Record]:
        if self._stopped is not None:
            return []
        kept = Kept()
        worker = Worker(self._job, self._bounds, self._task, self._client, self._pace)
        index = MemoryIndex() if self._dedup else None
        engine = LocalEngine(
            worker, self._task, self._pace, self._bounds, kept, Tally(), index=index, reserved=self._reserved
        )
        chunks = read_segment(self._source, segment, self._task.columns)
        engine.begin(segment.first, skip)
        try:
            await engine.run(chunks)
        except SagewireError as error:
            self._stopped = describe(error)
        self._stopped = self._stopped or engine.stopped
        return sorted(kept.records, key=lambda record: record.row)
