"""sagewire in your own Ray Data pipeline: a callable for `map_batches`."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Unpack

from sagewire.bulk.concurrency import ConcurrencyController
from sagewire.bulk.engines.local import LocalEngine
from sagewire.bulk.engines.ray_worker import Kept
from sagewire.bulk.files.output import added_columns, added_fields
from sagewire.bulk.files.schema import as_text
from sagewire.bulk.job import Bounds, Job, JobSettings, split_settings
from sagewire.bulk.models import open_model, preflight
from sagewire.bulk.progress import Progress
from sagewire.bulk.rows import Answer, Chunk, Row
from sagewire.bulk.tasks import make_task
from sagewire.bulk.worker import Worker
from sagewire.errors import SagewireError, UsageError

__all__ = ["ray_udf"]


class RowsOfBatches:
    """The work of an actor of `ray_udf`; the class that Ray is given fills in the arguments.

    Args:
        job: The job.
        bounds: How hard to work.
    """

    def __init__(self, job: Job, bounds: Bounds) -> None:
        self._job = job
        self._bounds = bounds
        self._task = make_task(job)
        self._client = open_model(job.model, job.client_arguments, job.task)
        self._controller = ConcurrencyController(bounds.concurrency, most=bounds.max_concurrency)

    async def __call__(self, batch: Any) -> AsyncIterator[Any]:
        """Yield the batch with the columns added."""
        await preflight(self._client, self._job.task)
        rows = batch.to_pylist() if hasattr(batch, "to_pylist") else _rows(batch)
        taken = [name for name in added_columns(self._job) if rows and name in rows[0]]
        if taken:
            raise UsageError(f"the batch has a column {taken[0]!r} already; give a prefix")
        answers = await self._ask(rows)
        yield _with_columns(batch, self._job, answers)

    async def _ask(self, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        kept = Kept()
        worker = Worker(self._job, self._bounds, self._task, self._client, self._controller)
        engine = LocalEngine(worker, self._task, self._controller, self._bounds, kept, Progress())
        chunk = Chunk([Row(number, number + 1, "batch", row) for number, row in enumerate(rows)])
        await engine.run(iter([chunk]))
        if engine.stopped is not None:
            raise SagewireError(engine.stopped)
        return [record.answer for record in sorted(kept.records, key=lambda record: record.row)]


def ray_udf(model: str, **settings: Unpack[JobSettings]) -> type:
    """Return a class for `Dataset.map_batches` that adds `output`, `finish_reason`, token counts and `error`.

    Each actor holds one `AsyncClient` and has up to `concurrency` calls in flight (found out if not said, up to
    `max_concurrency`); a row that fails says so in `error` and fails no batch. Batches may be numpy (Ray's default) or
    pyarrow.

    Args:
        model: An endpoint's name, `huggingface/ID-OR-URL`, or a server's URL.
        **settings: The fields of `Job` and `Bounds`, except for what concerns files.

    Raises:
        UsageError: A setting is wrong.

    Example:
        >>> label = ray_udf("sagemaker/my-llama", template="Spam or ham? {body}", concurrency=32)
        >>> ray.data.read_parquet("in").map_batches(label, concurrency=4, batch_size=256)  # doctest: +SKIP
    """
    if not isinstance(model, str):
        raise UsageError("ray_udf makes a client in every actor; give the model's name, not a client")
    job, bounds = split_settings("batch", model, "batch.parquet", settings)
    make_task(job)

    class RayUdf(RowsOfBatches):
        def __init__(self) -> None:
            super().__init__(job, bounds)

    # Ray wants to see for itself that the call is an asynchronous generator.
    return RayUdf


def _rows(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = {name: column.tolist() for name, column in batch.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _with_columns(batch: Any, job: Job, answers: Sequence[Answer]) -> Any:
    import pyarrow as pa

    added = {}
    for field in added_fields(job):
        values = [getattr(answer, field.name.removeprefix(job.prefix)) for answer in answers]
        if pa.types.is_string(field.type):
            values = [None if value is None else as_text(value) for value in values]
        added[field.name] = (field, values)
    if hasattr(batch, "append_column"):
        for field, values in added.values():
            batch = batch.append_column(field, pa.array(values, type=field.type))
        return batch
    import numpy

    columns = dict(batch)
    for name, (_, values) in added.items():
        column = numpy.empty(len(values), dtype=object)
        column[:] = [value.tolist() if isinstance(value, array) else value for value in values]
        columns[name] = column
    return columns
