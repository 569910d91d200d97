"""Reading the input as a stream of rows: JSON lines, CSV and Parquet, one file after the other, in constant memory.

JSON lines and CSV are read here line by line rather than by pyarrow, which refuses a whole file for one bad line and
cannot say which line it was.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson

from sagewire.bulk.files.parquet import parquet_chunks, parquet_file
from sagewire.bulk.files.storage import SourceFile, Storage
from sagewire.bulk.rows import CHUNK_ROWS, Chunk, Row, load_json
from sagewire.errors import UsageError, excerpt

__all__ = ["CsvText", "Source", "csv_reader", "csv_rows", "gathered", "jsonl_rows", "lines_of"]

_READ_BYTES = 1 << 20
# A line longer than this is no row: somebody gave a JSON document, or a binary file.
_LONGEST_LINE = 64 << 20
_BOM = b"\xef\xbb\xbf"


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

    def chunks(
        self, columns: Iterable[str] | None = None, start: int = 0, names: Sequence[str] | None = None
    ) -> Iterator[Chunk]:
        """Yield all rows from number `start` on, in order.

        Args:
            columns: The columns wanted of Parquet files; `None` for all, with the record batches.
            start: The first row wanted.
            names: The columns wanted in the record batches of Parquet files, if not all.
        """
        wanted = None if columns is None else list(columns)
        number = 0
        for file in self.files:
            for chunk in self._read(file, wanted, names):
                count = len(chunk.rows)
                if number + count > start:
                    yield _numbered(chunk, number, max(0, start - number))
                number += count

    def schemas(self) -> list[Any]:
        """Return the Arrow schema of each Parquet file."""
        found = []
        for file in self.files:
            with self.storage.open(file.path) as stream:
                found.append(parquet_file(stream, file).schema_arrow)
        return found

    def headers(self) -> list[list[str]]:
        """Return the names of the columns of each Parquet or CSV file.

        Raises:
            UsageError: A file has no header, names a column twice, or is not Parquet.
        """
        found = []
        for file in self.files:
            with self.storage.open(file.path) as stream:
                names = (
                    parquet_file(stream, file).schema_arrow.names
                    if file.format == "parquet"
                    else csv_reader(stream, file)[2]
                )
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise UsageError(f"{file.path}: the header names {twice[0]!r} twice")
            found.append(names)
        return found

    def count(self) -> int:
        """Return how many rows there are; for CSV and JSON lines about, as nothing is parsed."""
        count = 0
        for file in self.files:
            with self.storage.open(file.path) as stream:
                if file.format == "parquet":
                    count += parquet_file(stream, file).metadata.num_rows
                    continue
                count += _line_ends(stream, file.format == "csv")
        return max(0, count)

    def _read(self, file: SourceFile, columns: list[str] | None, names: Sequence[str] | None) -> Iterator[Chunk]:
        with self.storage.open(file.path) as stream:
            if file.format == "parquet":
                yield from parquet_chunks(parquet_file(stream, file), file, columns, names=names)
                return
            if file.format == "jsonl":
                yield from gathered(jsonl_rows(stream, file))
                return
            text, reader, header = csv_reader(stream, file)
            yield from gathered(csv_rows(reader, text, file, header))


def _line_ends(stream: Any, quotes: bool) -> int:
    """Count rows by their ends; those of CSV are line ends outside of quotes, and the first one is the header's."""
    count, quoted, last = 0, False, b"\n"
    while piece := stream.read(_READ_BYTES):
        last = piece[-1:]
        if not quotes:
            count += piece.count(b"\n")
            continue
        # A quote in quotes is written twice, which changes nothing here.
        outside = piece.split(b'"')
        count += sum(part.count(b"\n") for part in outside[int(quoted) :: 2])
        quoted ^= len(outside) % 2 == 0
    return count + (last != b"\n") - quotes


def _numbered(chunk: Chunk, number: int, skip: int) -> Chunk:
    rows = [replace(row, number=number + at) for at, row in enumerate(chunk.rows) if at >= skip]
    return Chunk(rows, chunk.batch.slice(skip) if chunk.batch is not None else None)


def gathered(rows: Iterable[Row]) -> Iterator[Chunk]:
    """Gather rows into chunks."""
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


def lines_of(stream: Any, file: SourceFile) -> Iterator[bytes]:
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


def jsonl_rows(stream: Any, file: SourceFile, first: int = 1) -> Iterator[Row]:
    """Yield the rows of JSON lines, where the stream is at line `first`."""
    for number, line in enumerate(lines_of(stream, file), first):
        if number == 1:
            line = line.removeprefix(_BOM)
        text = line.strip()
        if not text:
            continue
        values, error = _parse(text)
        yield Row(0, number, file.path, values, error and f"line {number}: {error}", len(line))


def _parse(text: bytes) -> tuple[dict[str, Any] | None, str | None]:
    try:
        found = load_json(text)
    except orjson.JSONDecodeError as error:
        return None, f"no JSON ({error.msg} at character {error.colno}): {excerpt(text, 80)}"
    if not isinstance(found, dict):
        return None, f"a JSON object is wanted, not {type(found).__name__}: {excerpt(text, 80)}"
    return found, None


class CsvText:
    """Decoded lines for the `csv` module, and what it has no place for.

    Attributes:
        read: Bytes handed out so far.
        size: Bytes of the current row.
        broken: A line of the current row is not UTF-8.
    """

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self.broken = False
        self.read = self.size = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            data = line if self.read else line.removeprefix(_BOM)
            self.read += len(line)
            self.size += len(line)
            try:
                text = data.decode()
            except UnicodeDecodeError:
                self.broken = True
                text = data.decode("utf-8", "replace")
            yield text

    def next_row(self) -> tuple[int, bool]:
        """Return size and brokenness of the row just read, and begin the next one."""
        found = self.size, self.broken
        self.size, self.broken = 0, False
        return found


def csv_reader(stream: Any, file: SourceFile, header: list[str] | None = None) -> tuple[CsvText, Any, list[str]]:
    """Return the text of a CSV file, a reader of it, and the header; read from the stream unless it is given.

    Raises:
        UsageError: There is no header.
    """
    # The module's limit of 128 kB for a field is a global setting; documents are longer.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))
    text = CsvText(lines_of(stream, file))
    reader = csv.reader(iter(text), strict=True)
    if header is None:
        found = _next_fields(reader)
        if not isinstance(found, list) or not found:
            reason = f" ({found})" if found else ""
            raise UsageError(f"{file.path}: a CSV file starts with a header, and this one does not{reason}")
        header = found
        text.next_row()
    return text, reader, header


def csv_rows(reader: Any, text: CsvText, file: SourceFile, header: list[str] | None, first: int = 0) -> Iterator[Row]:
    """Yield the rows of a CSV file.

    Args:
        reader: A reader that is past the header.
        text: What it reads.
        file: The file.
        header: The columns' names; `None` to count rows only, whatever is in them.
        first: The line that the reader begins at, where that is not the file's second.
    """
    before = reader.line_num - first + 1 if first else 0
    while True:
        line = reader.line_num + 1 - before
        fields = _next_fields(reader)
        if fields is None:
            return
        size, broken = text.next_row()
        if fields:
            names = header if header is not None else list(fields)
            yield _csv_row(file, names, fields, line, size, broken)


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
