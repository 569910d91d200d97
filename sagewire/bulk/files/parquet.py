"""Reading Parquet files: rows as Python's values, or record batches as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sagewire.bulk.files.storage import SourceFile
from sagewire.bulk.rows import CHUNK_ROWS, Chunk, Row
from sagewire.errors import UsageError

__all__ = ["parquet_chunks", "parquet_file", "plain_rows"]


def parquet_file(stream: Any, file: SourceFile) -> Any:
    """Return an open Parquet file; raise `UsageError` if it is not one."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(stream)
    except pa.ArrowInvalid as error:
        raise UsageError(f"{file.path} is not a Parquet file: {error}") from None


def parquet_chunks(
    parquet: Any,
    file: SourceFile,
    columns: list[str] | None,
    groups: list[int] | None = None,
    names: Sequence[str] | None = None,
) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file, or of some of its row groups.

    Args:
        parquet: The open file.
        file: The file.
        columns: The columns of the rows; `None` for record batches in place of the rows' values.
        groups: The row groups wanted; `None` for all.
        names: The columns of the record batches; `None` for all.
    """
    line = 1
    known = parquet.schema_arrow.names
    some = None if names is None and columns is None else [one for one in (columns or names or ()) if one in known]
    for batch in parquet.iter_batches(batch_size=CHUNK_ROWS, columns=some, row_groups=groups):
        if not batch.num_rows:
            continue
        size = batch.nbytes // batch.num_rows
        values = plain_rows(batch) if columns is not None else [None] * batch.num_rows
        rows = [Row(0, line + at, file.path, value, None, size) for at, value in enumerate(values)]
        yield Chunk(rows, batch if columns is None else None)
        line += batch.num_rows


def plain_rows(batch: Any) -> list[dict[str, Any]]:
    """Return the rows of a record batch as Python's values; times that Python has no type for are text."""
    import pyarrow as pa

    found = batch
    for at, field in enumerate(batch.schema):
        column = _plain_column(batch.column(at))
        found = found.set_column(at, pa.field(field.name, column.type), column)
    try:
        return found.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError, pa.ArrowException):
        # Years that Python does not have.
        for at, field in enumerate(found.schema):
            if pa.types.is_temporal(field.type):
                found = found.set_column(at, field.name, found.column(at).cast(pa.string()))
        return found.to_pylist()  # type: ignore[no-any-return]


def _plain_column(column: Any) -> Any:
    """Return a column without nanoseconds, which only pandas has: microseconds if that is exact, else text."""
    import pyarrow as pa

    for unit in ("us", None):
        kind = _coarser(column.type, unit)
        if kind == column.type:
            return column
        try:
            return column.cast(kind)
        except pa.ArrowException:
            continue
    return column


def _coarser(kind: Any, unit: str | None) -> Any:
    """Return a type with nanoseconds replaced by another unit, or by text."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_coarser(kind.value_type, unit)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_coarser(field.type, unit)) for field in kind])
    if not pa.types.is_temporal(kind) or getattr(kind, "unit", None) != "ns":
        return kind
    if unit is None:
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp(unit, kind.tz)
    return pa.time64(unit) if pa.types.is_time(kind) else pa.duration(unit)
