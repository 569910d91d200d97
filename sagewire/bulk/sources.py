"""Reading the input as a stream of rows: JSON lines, CSV and Parquet, one file after the other, in constant memory.

JSON lines and CSV are read here line by line rather than by pyarrow, which refuses a whole file for one bad line and
cannot say which line it was.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from sagewire.bulk.places import SourceFile, Storage
from sagewire.bulk.rows import Row
from sagewire.errors import UsageError, excerpt

__all__ = ["CHUNK_ROWS", "Chunk", "Source", "arrow_schemas"]

CHUNK_ROWS = 512
_READ_BYTES = 1 << 20
# A line longer than this is no row: somebody gave a JSON document, or a binary file.
_LONGEST_LINE = 64 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of one file.

    Args:
        rows: The rows.
        batch: The same rows as an Arrow record batch with all columns, of Parquet files read whole.
    """

    rows: Sequence[Row]
    batch: Any = None


class Source:
    """The input of a job; it can be read any number of times, and pickled.

    Args:
        storage: Opens the files.
        files: The files, in order.
    """

    def __init__(self, storage: Storage, files: Sequence[SourceFile]) -> None:
        self.storage = storage
        self.files = tuple(files)

    @property
    def format(self) -> str:
        """The format of the files."""
        return self.files[0].format

    def chunks(self, columns: Iterable[str] | None = None, start: int = 0) -> Iterator[Chunk]:
        """Yield all rows from number `start` on, in order.

        Args:
            columns: The columns wanted of Parquet files; `None` for all, with the record batches.
            start: The first row wanted.
        """
        wanted = None if columns is None else list(columns)
        number = 0
        for file in self.files:
            for chunk in self._read(file, wanted):
                count = len(chunk.rows)
                if number + count > start:
                    yield _numbered(chunk, number, max(0, start - number))
                number += count

    def columns(self) -> list[str] | None:
        """Return the columns that every row of Parquet and CSV files has; `None` for JSON lines.

        Raises:
            UsageError: A file has no header, or is no Parquet.
        """
        if self.format == "jsonl":
            return None
        shared: list[str] | None = None
        for file in self.files:
            with self.storage.open(file.path) as stream:
                names = _parquet_names(stream, file) if file.format == "parquet" else _csv_header(stream, file)
            shared = names if shared is None else [name for name in shared if name in names]
        return shared

    def count(self) -> int:
        """Return how many rows there are; for CSV and JSON lines, how many lines, which is about the same."""
        count = 0
        for file in self.files:
            with self.storage.open(file.path) as stream:
                if file.format == "parquet":
                    count += _parquet_file(stream, file).metadata.num_rows
                    continue
                last = b"\n"
                while piece := stream.read(_READ_BYTES):
                    count += piece.count(b"\n")
                    last = piece[-1:]
                count += (last != b"\n") - (file.format == "csv")
        return max(0, count)

    def _read(self, file: SourceFile, columns: list[str] | None) -> Iterator[Chunk]:
        with self.storage.open(file.path) as stream:
            if file.format == "parquet":
                yield from _parquet_chunks(stream, file, columns)
                return
            rows = _jsonl_rows(stream, file) if file.format == "jsonl" else _csv_rows(stream, file)
            yield from _gathered(rows)


def _numbered(chunk: Chunk, number: int, skip: int) -> Chunk:
    rows = [replace(row, number=number + at) for at, row in enumerate(chunk.rows) if at >= skip]
    return Chunk(rows, chunk.batch.slice(skip) if chunk.batch is not None else None)


def _gathered(rows: Iterable[Row]) -> Iterator[Chunk]:
    gathered: list[Row] = []
    size = 0
    for row in rows:
        gathered.append(row)
        size += row.size
        if len(gathered) >= CHUNK_ROWS or size >= _READ_BYTES:
            yield Chunk(gathered)
            gathered, size = [], 0
    if gathered:
        yield Chunk(gathered)


def _lines(stream: Any, file: SourceFile) -> Iterator[bytes]:
    """Yield lines with their ends; a line that is too long is an error of the whole input."""
    # Splitting large pieces ourselves is ten times as fast as pyarrow's readline.
    rest = b""
    while piece := stream.read(_READ_BYTES):
        pieces = (rest + piece).split(b"\n")
        rest = pieces.pop()
        for line in pieces:
            yield line + b"\n"
        if len(rest) > _LONGEST_LINE:
            raise UsageError(f"{file.path}: a line has more than {_LONGEST_LINE:,} bytes; is it {file.format} at all?")
    if rest:
        yield rest


def _jsonl_rows(stream: Any, file: SourceFile) -> Iterator[Row]:
    for number, line in enumerate(_lines(stream, file), 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        text = line.strip()
        if not text:
            continue
        values, error = _parse(text)
        yield Row(0, number, file.path, values, error and f"line {number}: {error}", len(line))


def _parse(text: bytes) -> tuple[dict[str, Any] | None, str | None]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return None, f"no JSON ({error.msg} at character {error.colno}): {excerpt(text, 80)}"
    if not isinstance(found, dict):
        return None, f"a JSON object is wanted, not {type(found).__name__}: {excerpt(text, 80)}"
    return found, None


class _Text:
    """Decoded lines for the `csv` module, and whether one of the current row was not UTF-8."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self.broken = False
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        first = True
        for line in self._lines:
            self.size += len(line)
            try:
                text = line.decode("utf-8-sig" if first else "utf-8")
            except UnicodeDecodeError:
                self.broken = True
                text = line.decode("utf-8", "replace")
            first = False
            yield text


def _csv_rows(stream: Any, file: SourceFile) -> Iterator[Row]:
    # The module's limit of 128 kB for a field is a global setting; documents are longer.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))
    text = _Text(_lines(stream, file))
    reader = csv.reader(iter(text), strict=True)
    header = _next_fields(reader)
    if not isinstance(header, list):
        raise UsageError(f"{file.path}: the first line is no CSV header ({header})" if header else _empty(file))
    text.size = 0
    while True:
        line = reader.line_num + 1
        fields = _next_fields(reader)
        if fields is None:
            return
        size, broken = text.size, text.broken
        text.size, text.broken = 0, False
        if not fields:
            continue
        yield _csv_row(file, header, fields, line, size, broken)


def _csv_row(file: SourceFile, header: list[str], fields: list[str] | str, line: int, size: int, broken: bool) -> Row:
    error = None
    if isinstance(fields, str):
        error = fields
    elif broken:
        error = "not UTF-8"
    elif len(fields) != len(header):
        error = f"{len(fields)} fields where the header has {len(header)}"
    if error is not None:
        return Row(0, line, file.path, None, f"line {line}: {error}", size)
    return Row(0, line, file.path, dict(zip(header, fields, strict=True)), None, size)


def _next_fields(reader: Any) -> list[str] | str | None:
    """Return the fields of the next row, the error in it, or `None` at the end."""
    try:
        return next(reader)  # type: ignore[no-any-return]
    except StopIteration:
        return None
    except csv.Error as error:
        return str(error)


def _csv_header(stream: Any, file: SourceFile) -> list[str]:
    header = _next_fields(csv.reader(iter(_Text(_lines(stream, file))), strict=True))
    if not isinstance(header, list) or not header:
        raise UsageError(_empty(file))
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UsageError(f"{file.path}: the header names {twice[0]!r} twice")
    return header


def _empty(file: SourceFile) -> str:
    return f"{file.path} is empty: a CSV file starts with a header"


def _parquet_file(stream: Any, file: SourceFile) -> Any:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(stream)
    except pa.ArrowInvalid as error:
        raise UsageError(f"{file.path} is no Parquet file: {error}") from None


def _parquet_names(stream: Any, file: SourceFile) -> list[str]:
    return list(_parquet_file(stream, file).schema_arrow.names)


def _parquet_chunks(stream: Any, file: SourceFile, columns: list[str] | None) -> Iterator[Chunk]:
    parquet = _parquet_file(stream, file)
    line = 1
    for batch in parquet.iter_batches(batch_size=CHUNK_ROWS, columns=columns):
        if not batch.num_rows:
            continue
        size = batch.nbytes // batch.num_rows
        values = batch.to_pylist() if columns is not None else [None] * batch.num_rows
        rows = [Row(0, line + at, file.path, value, None, size) for at, value in enumerate(values)]
        yield Chunk(rows, batch if columns is None else None)
        line += batch.num_rows


def arrow_schemas(source: Source) -> list[Any]:
    """Return the Arrow schema of each Parquet file."""
    found = []
    for file in source.files:
        with source.storage.open(file.path) as stream:
            found.append(_parquet_file(stream, file).schema_arrow)
    return found
