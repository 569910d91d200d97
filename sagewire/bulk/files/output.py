"""Writing the output: the input's columns and what was added, as JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sagewire.bulk.files.input import Source
from sagewire.bulk.files.parquet import plain_rows
from sagewire.bulk.files.schema import arrow_columns, as_text, batch_columns, column_names, input_schema
from sagewire.bulk.files.storage import Storage, compression_of, format_of, is_tabbed
from sagewire.bulk.job import Job
from sagewire.bulk.rows import Answer, Chunk, dump_json, plain_json

__all__ = ["OutputWriter", "added_columns", "added_fields", "open_output"]


class OutputWriter(Protocol):
    """A writer of the output's rows, in order."""

    def write(self, chunk: Chunk, answers: Sequence[Answer]) -> None:
        """Write rows and what became of them."""
        ...


def added_columns(job: Job) -> list[str]:
    """Return the names of the columns that are added."""
    names = ["output", "finish_reason", "prompt_tokens", "completion_tokens", "error"]
    return [job.prefix + name for name in (*names, *(["thinking"] if job.thinking else []))]


def open_output(job: Job, source: Source, storage: Storage, path: str) -> Any:
    """Return a context manager for an `OutputWriter` of the format that the job's output has."""
    format = format_of(job.output)
    if format == "parquet":
        return _parquet(job, source, storage, path)
    return _jsonl(job, storage, path) if format == "jsonl" else _csv(job, source, storage, path)


def _added(job: Job, answer: Answer) -> dict[str, Any]:
    prefix = job.prefix
    added = {
        f"{prefix}output": answer.output,
        f"{prefix}finish_reason": answer.finish_reason,
        f"{prefix}prompt_tokens": answer.prompt_tokens,
        f"{prefix}completion_tokens": answer.completion_tokens,
        f"{prefix}error": answer.error,
    }
    if job.thinking:
        added[f"{prefix}thinking"] = answer.thinking
    return added


def _values(chunk: Chunk) -> Iterator[Mapping[str, Any]]:
    if chunk.batch is not None:
        yield from plain_rows(chunk.batch)
        return
    for row in chunk.rows:
        yield row.values or {}


@contextmanager
def _jsonl(job: Job, storage: Storage, path: str) -> Iterator[OutputWriter]:
    with storage.create(path, compression_of(job.output)) as stream:
        yield _JsonlWriter(job, stream)


class _JsonlWriter:
    def __init__(self, job: Job, stream: Any) -> None:
        self._job = job
        self._stream = stream

    def write(self, chunk: Chunk, answers: Sequence[Answer]) -> None:
        lines = [
            dump_json({**values, **_added(self._job, answer)}) + b"\n"
            for values, answer in zip(_values(chunk), answers, strict=True)
        ]
        self._stream.write(b"".join(lines))


@contextmanager
def _csv(job: Job, source: Source, storage: Storage, path: str) -> Iterator[OutputWriter]:
    names = column_names(source, added_columns(job))
    with storage.create(path, compression_of(job.output)) as stream:
        yield _CsvWriter(job, names, stream)


class _CsvWriter:
    def __init__(self, job: Job, names: list[str], stream: Any) -> None:
        self._job = job
        self._names = [*names, *added_columns(job)]
        self._stream = stream
        self._delimiter = "\t" if is_tabbed(job.output) else ","
        self._write_rows([dict(zip(self._names, self._names, strict=True))])

    def write(self, chunk: Chunk, answers: Sequence[Answer]) -> None:
        pairs = zip(_values(chunk), answers, strict=True)
        self._write_rows({**values, **_added(self._job, answer)} for values, answer in pairs)

    def _write_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        text = io.StringIO(newline="")
        plain = csv.writer(text, lineterminator="\n", delimiter=self._delimiter)
        quoting = csv.writer(text, lineterminator="\n", delimiter=self._delimiter, quoting=csv.QUOTE_ALL)
        for row in rows:
            cells = [_cell(row.get(name)) for name in self._names]
            # Before Python 3.11.9 the module does not see that a carriage return has to be quoted.
            returns = any(isinstance(cell, str) and "\r" in cell for cell in cells)
            (quoting if returns else plain).writerow(cells)
        self._stream.write(text.getvalue().encode("utf-8", "surrogatepass"))


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict | array | tuple):
        return dump_json(value).decode()
    return plain_json(value) if isinstance(value, bytes) else value


@contextmanager
def _parquet(job: Job, source: Source, storage: Storage, path: str) -> Iterator[OutputWriter]:
    from pyarrow.parquet import ParquetWriter

    schema = input_schema(source, added_columns(job))
    whole = schema
    for field in added_fields(job):
        whole = whole.append(field)
    with storage.create(path) as stream, ParquetWriter(stream, whole) as writer:
        gathered = _ParquetWriter(job, schema, whole, writer)
        yield gathered
        gathered.flush()


class _ParquetWriter:
    """Gathers rows into row groups of a useful size."""

    _GROUP_BYTES = 32 << 20
    _GROUP_ROWS = 65_536

    def __init__(self, job: Job, schema: Any, whole: Any, writer: Any) -> None:
        self._job = job
        self._schema = schema
        self._whole = whole
        self._writer = writer
        self._batches: list[Any] = []
        self._rows = self._bytes = 0

    def write(self, chunk: Chunk, answers: Sequence[Answer]) -> None:
        import pyarrow as pa

        if chunk.batch is not None:
            columns = batch_columns(chunk.batch, self._schema)
        else:
            columns = arrow_columns([row.values or {} for row in chunk.rows], self._schema)
        texts = self._job.task in ("chat", "complete")
        for name in added_columns(self._job):
            values = [getattr(answer, name.removeprefix(self._job.prefix)) for answer in answers]
            if texts and name == f"{self._job.prefix}output":
                # Objects of any schema fit into a text column only.
                values = [None if value is None else as_text(value) for value in values]
            columns.append(pa.array(values, type=self._whole.field(name).type))
        batch = pa.record_batch(columns, schema=self._whole)
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= self._GROUP_ROWS or self._bytes >= self._GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches))
            self._batches, self._rows, self._bytes = [], 0, 0


def added_fields(job: Job) -> list[Any]:
    """Return the Arrow fields of the columns that are added."""
    import pyarrow as pa

    kinds = {
        "embed": pa.list_(pa.float32()),
        "rerank": pa.list_(pa.struct([("index", pa.int32()), ("score", pa.float64())])),
    }
    types = {"output": kinds.get(job.task, pa.string()), "prompt_tokens": pa.int64(), "completion_tokens": pa.int64()}
    return [pa.field(name, types.get(name.removeprefix(job.prefix), pa.string())) for name in added_columns(job)]
