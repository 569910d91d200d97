"""A worker of the Ray engine: an actor that does one segment of the input after the other."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from sagewire.bulk.concurrency import ConcurrencyController
from sagewire.bulk.engines.local import LocalEngine
from sagewire.bulk.files.input import Source
from sagewire.bulk.files.splits import Split, read_segment
from sagewire.bulk.job import Bounds, Job
from sagewire.bulk.models import open_model, preflight
from sagewire.bulk.progress import Progress, guess_of
from sagewire.bulk.rows import Record
from sagewire.bulk.state.answer_index import MemoryIndex
from sagewire.bulk.state.job_state import RecordLocation
from sagewire.bulk.state.shared_limits import Leave
from sagewire.bulk.tasks import make_task
from sagewire.bulk.worker import Worker, describe
from sagewire.errors import SagewireError

__all__ = ["TELL_SECONDS", "Kept", "SegmentWorker"]

# Workers tell what they have done, and hear whether to stop, this often.
TELL_SECONDS = 1.0
# In place of a row's number, if the record holds the reason why a worker stopped.
_STOPPED = -1


class Kept:
    """Records of a segment, until Ray has them."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, records: Sequence[Record]) -> list[RecordLocation]:
        """Keep them in memory."""
        self.records += records
        return [("", 0, 0)] * len(records)

    def close(self) -> None:
        """Do nothing."""


class SegmentWorker:
    """An actor: its share of the calls, for segment after segment.

    Args:
        job: The job.
        bounds: How patiently.
        source: The input.
        reserved: Names that no row may have.
        dedup: Ask once for equal rows of a segment.
        shared_limits: The actor with the `SharedLimits` of the whole job.
    """

    def __init__(
        self,
        job: Job,
        bounds: Bounds,
        source: Source,
        reserved: Sequence[str],
        dedup: bool,
        shared_limits: Any,
    ) -> None:
        self._job = job
        self._bounds = replace(bounds, max_errors=None, budget_tokens=None, deadline=None)
        self._shared_limits = shared_limits
        self._source = source
        self._reserved = reserved
        self._dedup = dedup
        self._task = make_task(job)
        self._client = open_model(job.model, job.client_arguments, job.task)
        self._controller: ConcurrencyController | None = None
        self._name = uuid.uuid4().hex
        self._engine: LocalEngine | None = None
        self._counts: Counter[str] = Counter()
        self._stopped: str | None = None

    async def __call__(self, batch: Mapping[str, Any]) -> AsyncIterator[dict[str, list[Any]]]:
        """Yield the records of each segment, sorted by row."""
        if self._controller is None:
            share = await self._shared_limits.join.remote()
            fixed = share if self._bounds.concurrency is not None else None
            self._controller = ConcurrencyController(fixed, most=share)
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
        telling = asyncio.create_task(self._tell_regularly())
        try:
            again = True
            while again and self._stopped is None:
                leave = await self._shared_limits.borrow.remote()
                if isinstance(leave, str):
                    self._stopped = leave
                    break
                again = await self._work(segment, skip, leave, kept)
        finally:
            telling.cancel()
        await self._tell()
        return sorted(kept.records, key=lambda record: record.row)

    async def _tell_regularly(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            await self._tell()

    async def _tell(self) -> None:
        """Tell what this worker has done so far, and stop if the job does."""
        counts = Counter(self._counts)
        if self._engine is not None:
            counts += _counts(self._engine.progress)
        if self._controller is not None:
            counts += Counter(
                calls=self._controller.calls, throttled=self._controller.refused, in_flight=self._controller.in_flight
            )
        reason = await self._shared_limits.tell.remote(self._name, dict(counts))
        if reason is not None:
            self._stopped = self._stopped or reason
            if self._engine is not None:
                self._engine.stop(reason)

    async def _work(self, segment: Split, skip: Sequence[int], leave: Leave, kept: Kept) -> bool:
        """Do the rows of a segment that are not done; return whether that took more tokens than there were."""
        bounds = replace(self._bounds, budget_tokens=leave.tokens, deadline=leave.seconds)
        controller = self._controller or ConcurrencyController()
        worker = Worker(self._job, bounds, self._task, self._client, controller)
        progress, failures = Progress(guess_of(self._job)), _Failures(self._shared_limits)
        index = MemoryIndex() if self._dedup else None
        if index is not None:
            index.add(kept.records, ())
        engine = self._engine = LocalEngine(
            worker,
            self._task,
            controller,
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
        self._engine = None
        self._counts += _counts(progress)
        await failures.settle()
        await self._shared_limits.bring_back.remote(leave, progress.tokens, progress.answers)
        if engine.spent_up:
            return True
        if engine.stopped is not None and leave.seconds is not None:
            # The seconds that this worker was given were what was left of the job's.
            self._stopped = self._stopped or await self._shared_limits.overdue.remote()
        self._stopped = self._stopped or engine.stopped
        return False


def _counts(progress: Progress) -> Counter[str]:
    names = ("rows", "failed", "prompt_tokens", "completion_tokens", "estimated_tokens")
    return Counter({name: getattr(progress, name) for name in names})


class _Failures:
    """The report of failed rows to the shared limits, which may stop the engine."""

    def __init__(self, shared_limits: Any) -> None:
        self._shared_limits = shared_limits
        self._told = 0
        self._telling: set[asyncio.Task[None]] = set()

    def report(self, progress: Progress, engine: LocalEngine) -> None:
        """Tell of the failures that are new."""
        new, self._told = progress.failed - self._told, progress.failed
        if new:
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
