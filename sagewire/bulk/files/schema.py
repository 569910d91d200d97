"""The Arrow schema of the output: a type for each column of the input that holds all of its values, or JSON text.

Parquet has no type for columns that mix kinds of values, for empty objects, and for integers beyond 64 bits. Such
columns are written as JSON text, so that an output can be written whatever the input holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sagewire.bulk.files.input import Source
from sagewire.bulk.files.parquet import plain_rows
from sagewire.bulk.rows import dump_json

__all__ = ["arrow_columns", "as_text", "batch_columns", "column_names", "input_schema"]

_AS_JSON = {b"sagewire.json": b"1"}
# Objects used as dictionaries have thousands of keys, and a Parquet column for each would be no help.
_MOST_FIELDS = 1000
_DEEPEST = 16


def column_names(source: Source, reserved: Collection[str] = ()) -> list[str]:
    """Return the names of all columns of the input, in order; of JSON lines all that any row has."""
    if source.format == "jsonl":
        found: Iterable[str] = (name for chunk in source.chunks() for row in chunk.rows for name in row.values or {})
    else:
        found = (name for names in source.headers() for name in names)
    return [name for name in dict.fromkeys(found) if name not in reserved]


def input_schema(source: Source, reserved: Collection[str] = ()) -> Any:
    """Return the schema of the input's columns; JSON lines are read through to find it.

    Args:
        source: The input.
        reserved: The names of columns that are added; rows that have one already have failed.
    """
    import pyarrow as pa

    if source.format == "csv":
        return pa.schema([(name, pa.string()) for name in column_names(source, reserved)])
    kinds = _kinds_of_parquet(source) if source.format == "parquet" else _kinds_of_json_lines(source, reserved)
    schema = pa.schema([_field(name, kind) for name, kind in kinds.items()])
    return _with_pandas_notes(schema, source.schemas()) if source.format == "parquet" else schema


def _with_pandas_notes(schema: Any, inputs: Sequence[Any]) -> Any:
    """Keep what pandas noted down of its nullable types and its index, if all columns are written as they were read."""
    notes = {(one.metadata or {}).get(b"pandas") for one in inputs}
    note = notes.pop() if len(notes) == 1 else None
    if note is None or not all(one.equals(schema) for one in inputs):
        return schema
    return schema.with_metadata({b"pandas": note})


def arrow_columns(rows: Sequence[Mapping[str, Any]], schema: Any) -> list[Any]:
    """Return the columns of rows as arrays of a schema's types."""
    return [_array([row.get(field.name) for row in rows], field) for field in schema]


def batch_columns(batch: Any, schema: Any) -> list[Any]:
    """Return the columns of a record batch as arrays of a schema's types; missing ones are null."""
    import pyarrow as pa

    names = batch.schema.names
    columns = []
    for field in schema:
        if field.name not in names:
            columns.append(pa.nulls(batch.num_rows, field.type))
        elif _is_text(field):
            rows = plain_rows(batch.select([field.name]))
            columns.append(_array([row[field.name] for row in rows], field))
        elif pa.types.is_nested(field.type) and batch.column(field.name).type != field.type:
            # Older releases of pyarrow cast no struct to one with more fields.
            columns.append(pa.array(batch.column(field.name).to_pylist(), type=field.type))
        else:
            columns.append(batch.column(field.name).cast(field.type))
    return columns


def as_text(value: Any) -> str:
    """Return a text as it is, and anything else as JSON."""
    return value if isinstance(value, str) else dump_json(value).decode()


def _array(values: list[Any], field: Any) -> Any:
    import pyarrow as pa

    if _is_text(field):
        values = [None if value is None else as_text(value) for value in values]
    return pa.array(values, type=field.type)


def _field(name: str, kind: Any) -> Any:
    """Return a field of a type, or of JSON text if it is `None`."""
    import pyarrow as pa

    kind = None if kind is None else _storable(kind)
    if kind is None or pa.types.is_null(kind):
        return pa.field(name, pa.string(), metadata=_AS_JSON)
    return pa.field(name, kind)


def _is_text(field: Any) -> bool:
    return bool(field.metadata) and field.metadata.items() >= _AS_JSON.items()


def _kinds_of_json_lines(source: Source, reserved: Collection[str]) -> dict[str, Any]:
    import pyarrow as pa

    kinds: dict[str, Any] = {}
    promoted: set[str] = set()
    for chunk in source.chunks():
        rows = [row.values for row in chunk.rows if row.values]
        for name in dict.fromkeys(name for row in rows for name in row if name not in reserved):
            kind = _kind([row.get(name) for row in rows])
            kinds[name], changed = _wider(kinds.get(name, pa.null()), kind)
            if changed:
                promoted.add(name)
    if promoted:
        # Not every integer is a float: whether these are is seen by trying.
        fields = [pa.field(name, kinds[name]) for name in promoted if kinds[name] is not None]
        for chunk in source.chunks():
            for field in fields:
                values = [(row.values or {}).get(field.name) for row in chunk.rows]
                if kinds[field.name] is not None and not _converts(lambda f=field, v=values: pa.array(v, type=f.type)):
                    kinds[field.name] = None
    return kinds


def _kinds_of_parquet(source: Source) -> dict[str, Any]:
    import pyarrow as pa

    kinds: dict[str, Any] = {}
    promoted: set[str] = set()
    for schema in source.schemas():
        for field in schema:
            kinds[field.name], changed = _wider(kinds.get(field.name, pa.null()), field.type)
            if changed:
                promoted.add(field.name)
    for name in promoted:
        schema = pa.schema([_field(name, kinds[name])])
        for chunk in source.chunks(names=[name]):
            if not _converts(lambda c=chunk, s=schema: batch_columns(c.batch, s)):
                kinds[name] = None
                break
    return kinds


def _converts(convert: Any) -> bool:
    import pyarrow as pa

    try:
        convert()
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def _kind(values: list[Any]) -> Any:
    """Return the type of some values, `None` if they have none in common."""
    import pyarrow as pa

    try:
        return pa.array(values).type
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None


def _wider(known: Any, kind: Any) -> tuple[Any, bool]:
    """Return a common type of two types, or `None`, and whether values change by it."""
    import pyarrow as pa

    if known is None or kind is None:
        return None, False
    try:
        schemas = [pa.schema([("it", one)]) for one in (known, kind)]
        found = pa.unify_schemas(schemas, promote_options="permissive").field("it").type
    except pa.ArrowException:
        return None, False
    return found, not (_holds(found, known) and _holds(found, kind))


def _holds(wide: Any, narrow: Any) -> bool:
    """Return whether values of a type are values of another as they are."""
    import pyarrow as pa

    if wide == narrow or pa.types.is_null(narrow):
        return True
    if pa.types.is_struct(wide) and pa.types.is_struct(narrow):
        return all(_holds(wide.field(field.name).type, field.type) for field in narrow)
    if pa.types.is_list(wide) and pa.types.is_list(narrow):
        return _holds(wide.value_type, narrow.value_type)
    return False


def _storable(kind: Any, depth: int = 0) -> Any:
    """Return a type as Parquet has it, `None` if it has none: that of empty objects, for instance."""
    import pyarrow as pa

    if depth > _DEEPEST:
        return None
    if pa.types.is_null(kind):
        # Lists that are all empty, and fields that are always null.
        return pa.string() if depth else kind
    if pa.types.is_list(kind):
        inner = _storable(kind.value_type, depth + 1)
        return None if inner is None else pa.list_(kind.value_field.with_type(inner))
    if pa.types.is_struct(kind):
        parts = [(field, _storable(field.type, depth + 1)) for field in kind]
        if not 0 < len(parts) <= _MOST_FIELDS or any(part is None for _, part in parts):
            return None
        return pa.struct([field.with_type(part) for field, part in parts])
    return kind
