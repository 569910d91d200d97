"""Writing the output: the input's columns and what was added, as JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sagewire.bulk.files.input import Chunk, Source, arrow_schemas
from sagewire.bulk.files.storage import Storage, format_of
from sagewire.bulk.job import Job
from sagewire.bulk.rows import Answer, Row, dump_json, plain_json

__all__ = ["OutputWriter", "added_columns", "added_fields", "as_text", "open_output"]


class OutputWriter(Protocol):
    """Takes the rows of the output in order."""

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
        yield from chunk.batch.to_pylist()
        return
    for row in chunk.rows:
        yield row.values or {}


@contextmanager
def _jsonl(job: Job, storage: Storage, path: str) -> Iterator[OutputWriter]:
    with storage.create(path) as stream:
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
    names = _names(source)
    with storage.create(path) as stream:
        yield _CsvWriter(job, names, stream)


class _CsvWriter:
    def __init__(self, job: Job, names: list[str], stream: Any) -> None:
        self._job = job
        self._names = [*names, *added_columns(job)]
        self._stream = stream
        self._write_rows([dict(zip(self._names, self._names, strict=True))])

    def write(self, chunk: Chunk, answers: Sequence[Answer]) -> None:
        pairs = zip(_values(chunk), answers, strict=True)
        self._write_rows({**values, **_added(self._job, answer)} for values, answer in pairs)

    def _write_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        for row in rows:
            writer.writerow([_cell(row.get(name)) for name in self._names])
        self._stream.write(text.getvalue().encode("utf-8", "surrogatepass"))


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict | array | tuple):
        return dump_json(value).decode()
    return plain_json(value) if isinstance(value, bytes) else value


def _names(source: Source) -> list[str]:
    """Return the input's columns; of JSON lines all that any row has."""
    if source.format == "jsonl":
        return list(dict.fromkeys(name for chunk in source.chunks() for row in chunk.rows for name in row.values or {}))
    if source.format == "parquet":
        return list(dict.fromkeys(name for schema in arrow_schemas(source) for name in schema.names))
    first = next(source.chunks(), None)
    rows = first.rows if first is not None else ()
    return list(next((row.values for row in rows if row.values), None) or source.columns() or [])


@contextmanager
def _parquet(job: Job, source: Source, storage: Storage, path: str) -> Iterator[OutputWriter]:
    from pyarrow.parquet import ParquetWriter

    schema = _input_schema(source)
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

        columns = _batch_columns(chunk.batch, self._schema) if chunk.batch is not None else self._columns(chunk.rows)
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

    def _columns(self, rows: Sequence[Row]) -> list[Any]:
        import pyarrow as pa

        columns = []
        for field in self._schema:
            values = [(row.values or {}).get(field.name) for row in rows]
            if (field.metadata or {}).get(_AS_JSON):
                values = [None if value is None else as_text(value) for value in values]
            columns.append(pa.array(values, type=field.type))
        return columns


def as_text(value: Any) -> str:
    """Return a text as it is, and anything else as JSON."""
    return value if isinstance(value, str) else dump_json(value).decode()


def _batch_columns(batch: Any, schema: Any) -> list[Any]:
    import pyarrow as pa

    names = batch.schema.names
    return [
        batch.column(field.name).cast(field.type) if field.name in names else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]


def added_fields(job: Job) -> list[Any]:
    """Return the Arrow fields of the columns that are added."""
    import pyarrow as pa

    kinds = {
        "embed": pa.list_(pa.float32()),
        "rerank": pa.list_(pa.struct([("index", pa.int32()), ("score", pa.float64())])),
    }
    types = {"output": kinds.get(job.task, pa.string()), "prompt_tokens": pa.int64(), "completion_tokens": pa.int64()}
    return [pa.field(name, types.get(name.removeprefix(job.prefix), pa.string())) for name in added_columns(job)]


_AS_JSON = b"sagewire.json"


def _input_schema(source: Source) -> Any:
    """Return the Arrow schema of the input's columns; JSON lines are read through once to find out."""
    import pyarrow as pa

    if source.format == "parquet":
        return pa.unify_schemas(
            [schema.remove_metadata() for schema in arrow_schemas(source)], promote_options="permissive"
        )
    if source.format == "csv":
        return pa.schema([(name, pa.string()) for name in _names(source)])
    found: dict[str, Any] = {}
    for chunk in source.chunks():
        rows = [row.values for row in chunk.rows if row.values]
        for name in dict.fromkeys(name for row in rows for name in row):
            found[name] = _wider(found.get(name, pa.null()), [row.get(name) for row in rows])
    return pa.schema([_field(name, kind) for name, kind in found.items()])


def _wider(known: Any, values: list[Any]) -> Any:
    """Return a type for the values and those before, `None` where only JSON text holds them all."""
    import pyarrow as pa

    if known is None:
        return None
    try:
        schemas = [pa.schema([("it", known)]), pa.schema([("it", pa.array(values).type)])]
        return pa.unify_schemas(schemas, promote_options="permissive").field("it").type
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None


def _field(name: str, kind: Any) -> Any:
    import pyarrow as pa

    if kind is None:
        return pa.field(name, pa.string(), metadata={_AS_JSON: b"1"})
    # Empty objects and columns of nothing but nulls have no Parquet type.
    if pa.types.is_null(kind) or (pa.types.is_struct(kind) and not kind.num_fields):
        return pa.field(name, pa.string(), metadata={_AS_JSON: b"1"})
    return pa.field(name, kind)
