"""The engine of a cluster: Ray Data hands segments of the input to actors, and writes what they return.

Ray does what is distributed: placing actors, starting dead ones again, repeating what they had not finished, writing
blocks. Each actor holds one `AsyncClient` and does with its rows what the local engine does.
"""

from __future__ import annotations

import asyncio
import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from sagewire._extras import require
from sagewire.bulk.engines.ray_worker import TELL_SECONDS, SegmentWorker
from sagewire.bulk.files.input import Source
from sagewire.bulk.files.splits import Split, segments
from sagewire.bulk.files.storage import absolute
from sagewire.bulk.job import Bounds, Job
from sagewire.bulk.prepare import Prepared
from sagewire.bulk.progress import guess_of
from sagewire.bulk.state.job_state import Done, reasons
from sagewire.bulk.state.shared_limits import SharedLimits
from sagewire.bulk.stopping import StopSignal
from sagewire.errors import UsageError
from sagewire.http.abandonable import in_thread
from sagewire.types.secret import Secret

__all__ = ["Outcome", "check_cluster", "run_on_ray"]

SEGMENT_ROWS = 512
# Every segment is a task and a file; more of them than this only cost.
_MOST_SEGMENTS = 4096
_WORKER_CPUS = 0.1
_SECRETS = ("aws_secret_access_key", "aws_session_token", "token", "client")


def check_cluster(job: Job) -> None:
    """Raise `UsageError` for what cannot go to a cluster."""
    if isinstance(job.model, Secret):
        raise UsageError("the key in the model's URL does not travel between machines; use engine='local'")
    if not isinstance(job.model, str):
        raise UsageError("engine='ray' makes a client on every machine; give the model's name, not a client")
    for name in _SECRETS:
        if job.client_arguments.get(name) is not None:
            raise UsageError(f"{name} does not travel between machines; use a role, a profile or the environment there")


async def run_on_ray(
    prepared: Prepared,
    folder: Path,
    done: Done,
    stop: StopSignal,
    show: Callable[[Mapping[str, int]], None],
    *,
    connected: Callable[[], None] = lambda: None,
    address: str | None = None,
    workers: int | None = None,
    segment_rows: int | None = None,
) -> Outcome:
    """Do what is not done of pass 0 on a Ray cluster.

    Args:
        prepared: The job.
        folder: The pass's folder, on a file system that all machines share.
        done: The rows that earlier runs have done.
        stop: Ends the job early; calls in flight are waited for.
        show: Called with the counts of all workers as they change.
        connected: Called when Ray has been started or connected to: it takes SIGTERM for itself, and the process would
            end without a word.
        address: A Ray cluster, `ray://host:10001` or `auto`; `None` for the one connected to or named by `RAY_ADDRESS`,
            else this machine.
        workers: Actors; `None` for one per machine, and two on a single machine.
        segment_rows: Rows of a task; a segment's rows are on disk when all of them are done.
    """
    ray = require("ray", "ray")
    require("ray.data", "ray")
    own = not ray.is_initialized()
    if own:
        await in_thread(_connect, ray, address)
    try:
        connected()
        plan = await in_thread(_plan, ray, prepared, done, workers, segment_rows)
        if not plan.left:
            return Outcome(None)
        shared = ray.remote(num_cpus=0)(SharedLimits).remote(prepared.bounds, plan.workers, guess_of(prepared.job))
        written = await in_thread(_new_folder, folder)
        worker = {
            "job": prepared.job,
            "bounds": prepared.bounds,
            "source": plan.source,
            "reserved": prepared.reserved,
            "dedup": prepared.dedup,
            "shared_limits": shared,
        }
        rows = [_as_row(one, done) for one in plan.left]
        driving = asyncio.create_task(in_thread(_drive_from, ray, worker, rows, plan.workers, str(written)))
        totals = await _watch(ray, shared, driving, stop, show)
        reason = await driving or next(reasons(written), None)
        return Outcome(reason, totals, plan.notes(prepared.bounds, totals))
    finally:
        if own:
            ray.shutdown()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a cluster's work.

    Args:
        stopped: Why it ended early, `None` if it did not.
        totals: The counts of all workers.
        notes: Settings that could not be met.
    """

    stopped: str | None
    totals: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """The distribution of work.

    Args:
        source: The input, with paths that mean the same everywhere.
        left: The segments that are not done.
        workers: How many workers do them.
    """

    source: Source
    left: Sequence[Split]
    workers: int

    def notes(self, bounds: Bounds, totals: Mapping[str, int]) -> tuple[str, ...]:
        """Return which part of the requested concurrency could not be reached, and why."""
        found = []
        started = totals.get("workers", 0)
        if started < self.workers:
            found.append(f"only {started} of {self.workers} workers have started; the cluster has no room for more")
        rows = max(segment.rows for segment in self.left)
        reached = min(bounds.concurrency or 0, self.workers * rows)
        if bounds.concurrency is not None and reached < bounds.concurrency:
            found.append(
                f"{reached} calls in flight instead of concurrency={bounds.concurrency}: {self.workers} workers have "
                f"segments of {rows} rows; raise workers or segment_rows"
            )
        return tuple(found)


def _plan(ray: Any, prepared: Prepared, done: Done, workers: int | None, segment_rows: int | None) -> _Plan:
    bounds = prepared.bounds
    # Workers have their own working directories.
    files = [replace(file, path=absolute(file.path)) for file in prepared.source.files]
    source = Source(prepared.storage, files, prepared.source.encoding, prepared.source.delimiter)
    wanted = min(workers or max(2, len(ray.nodes())), bounds.concurrency or bounds.max_concurrency)
    share = -(-(bounds.concurrency or 0) // wanted)
    # A worker does one segment after the other, so its calls in flight are at most a segment's rows.
    size = segment_rows or max(SEGMENT_ROWS, 4 * share, math.ceil(source.count() / _MOST_SEGMENTS))
    left = [one for one in segments(source, size) if any(row not in done for row in _rows(one))]
    return _Plan(source, left, min(wanted, max(1, len(left))))


def _new_folder(folder: Path) -> Path:
    written = folder.absolute() / f"ray-{uuid.uuid4().hex[:12]}"
    written.mkdir(parents=True)
    return written


async def _watch(
    ray: Any, shared: Any, driving: asyncio.Task[Any], stop: StopSignal, show: Callable[[Mapping[str, int]], None]
) -> Mapping[str, int]:
    """Show the counts while the workers are at it, pass on the wish to stop, and return the final counts."""
    told = False
    while not driving.done():
        await asyncio.wait({driving, asyncio.create_task(stop.wait(TELL_SECONDS))}, return_when=asyncio.FIRST_COMPLETED)
        if stop.reason is not None and not told:
            told = True
            await in_thread(lambda: ray.get(shared.stop.remote(stop.reason)))
        elif told:
            await asyncio.wait({driving}, timeout=TELL_SECONDS)
        show(await _totals(ray, shared))
    return await _totals(ray, shared)


async def _totals(ray: Any, shared: Any) -> Mapping[str, int]:
    try:
        return await in_thread(lambda: ray.get(shared.totals.remote()))
    except ray.exceptions.RayError:
        # The cluster is gone; the driver reports it.
        return {}


def _connect(ray: Any, address: str | None) -> None:
    # Ray reports its use to its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without an address Ray would look for traces of clusters that ran here once.
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        ray.init(address=address or "local", log_to_driver=False, **({} if address else {"include_dashboard": False}))
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
        compute=ray.data.ActorPoolStrategy(size=count),
        fn_constructor_kwargs=dict(worker),
        # A worker mostly waits for the endpoint.
        num_cpus=_WORKER_CPUS,
    )
    data.write_parquet(written)


def _as_row(segment: Split, done: Done) -> dict[str, Any]:
    skip = [row for row in _rows(segment) if row in done]
    # As text: Ray would make a tensor of lists.
    return {"segment": orjson.dumps(asdict(segment)).decode(), "skip": orjson.dumps(skip).decode()}


def _rows(segment: Split) -> range:
    return range(segment.first, segment.first + segment.rows)
