"""Reading the input as a stream of rows: JSON lines, CSV and Parquet, one file after the other, in constant memory.

JSON lines and CSV are read here line by line rather than by pyarrow, which refuses a whole file for one bad line and
cannot say which line it was.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson

from sagewire.bulk.files.parquet import parquet_chunks, parquet_file
from sagewire.bulk.files.storage import SourceFile, Storage
from sagewire.bulk.files.text import READ_BYTES, TextFile, delimiter_of
from sagewire.bulk.rows import CHUNK_ROWS, Chunk, Row, load_json
from sagewire.errors import UsageError, excerpt

__all__ = ["CsvText", "Source", "csv_reader", "csv_rows", "gathered", "jsonl_rows", "lines_of", "rows_of"]

# A line longer than this is not a row but a JSON document, or a binary file.
_LONGEST_LINE = 64 << 20


class Source:
    """The input of a job; it can be read any number of times, and pickled.

    Args:
        storage: Opens the files.
        files: The files, in order.
        encoding: The encoding of text files; `None` finds it out.
        delimiter: The separator of cells in CSV files; `None` detects it.
    """

    def __init__(
        self,
        storage: Storage,
        files: Sequence[SourceFile],
        encoding: str | None = None,
        delimiter: str | None = None,
    ) -> None:
        self.storage = storage
        self.files = tuple(files)
        self.encoding = encoding
        self.delimiter = delimiter

    def text(self, file: SourceFile) -> TextFile:
        """Open a text file."""
        return TextFile(self.storage, file, self.encoding)

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
            names = self._header(file)
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise UsageError(f"{file.path}: the header has {twice[0]!r} twice; rename one of the columns")
            found.append(names)
        return found

    def count(self) -> int:
        """Return how many rows there are; for CSV and JSON lines about, as nothing is parsed."""
        count = 0
        for file in self.files:
            if file.format == "parquet":
                with self.storage.open(file.path) as stream:
                    count += parquet_file(stream, file).metadata.num_rows
                continue
            with self.text(file) as text:
                count += _line_ends(text, file.format == "csv")
        return max(0, count)

    def _header(self, file: SourceFile) -> list[str]:
        if file.format == "parquet":
            with self.storage.open(file.path) as stream:
                return list(parquet_file(stream, file).schema_arrow.names)
        with self.text(file) as text:
            return csv_reader(text, file, self.delimiter)[2]

    def _read(self, file: SourceFile, columns: list[str] | None, names: Sequence[str] | None) -> Iterator[Chunk]:
        if file.format == "parquet":
            with self.storage.open(file.path) as stream:
                yield from parquet_chunks(parquet_file(stream, file), file, columns, names=names)
            return
        with self.text(file) as text:
            yield from gathered(rows_of(text, file, self.delimiter))


def rows_of(text: TextFile, file: SourceFile, delimiter: str | None) -> Iterator[Row]:
    """Yield the rows of a JSON lines or CSV file from its start."""
    if file.format == "jsonl":
        return jsonl_rows(text, file)
    lines, reader, header = csv_reader(text, file, delimiter)
    return csv_rows(reader, lines, file, header)


def _line_ends(stream: Any, quotes: bool) -> int:
    """Count rows by their ends; those of CSV are line ends outside of quotes, and the first one is the header's."""
    count, quoted, last = 0, False, b"\n"
    while piece := stream.read(READ_BYTES):
        last = piece[-1:]
        if not quotes:
            count += piece.count(b"\n")
            continue
        # A quote in quotes is written twice, which changes nothing here.
        outside = piece.split(b'"')
        count += sum(_ends(part) for part in outside[int(quoted) :: 2])
        quoted ^= len(outside) % 2 == 0
    return count + (last not in (b"\n", b"\r")) - quotes


def _ends(piece: bytes) -> int:
    return piece.count(b"\n") + piece.count(b"\r") - piece.count(b"\r\n")


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
        if len(gathered) >= CHUNK_ROWS or size >= READ_BYTES:
            yield Chunk(gathered)
            gathered, size = [], 0
    if gathered:
        yield Chunk(gathered)


def lines_of(stream: Any, file: SourceFile) -> Iterator[bytes]:
    """Yield lines with their ends; a line that is too long is an error of the whole input."""
    # Carriage returns alone end lines of CSV, as old spreadsheets write them; in JSON they are white space.
    split = _split_csv if file.format == "csv" else _split_lines
    rest = b""
    while piece := stream.read(READ_BYTES):
        lines, rest = split(rest + piece)
        yield from lines
        if len(rest) > _LONGEST_LINE:
            raise UsageError(
                f"{file.path}: a line has more than {_LONGEST_LINE:,} bytes; check that it is {file.format}"
            )
    if rest:
        yield rest


def _split_lines(data: bytes) -> tuple[list[bytes], bytes]:
    *lines, rest = data.split(b"\n")
    return [line + b"\n" for line in lines], rest


def _split_csv(data: bytes) -> tuple[list[bytes], bytes]:
    lines = data.splitlines(keepends=True)
    # A carriage return at the end may be half of a line end.
    rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
    return lines, rest


def jsonl_rows(stream: Any, file: SourceFile, first: int = 1) -> Iterator[Row]:
    """Yield the rows of JSON lines; the stream is at line `first`."""
    for number, line in enumerate(lines_of(stream, file), first):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        text = line.strip()
        if not text:
            continue
        values, error = _parse(text)
        yield Row(0, number, file.path, values, error and f"line {number}: {error}", len(line))


def _parse(text: bytes) -> tuple[dict[str, Any] | None, str | None]:
    try:
        found = load_json(text)
    except orjson.JSONDecodeError as error:
        return None, f"not valid JSON ({error.msg} at character {error.colno}): {excerpt(text, 80)}"
    if not isinstance(found, dict):
        return None, f"a JSON object is wanted, not {type(found).__name__}: {excerpt(text, 80)}"
    return found, None


class CsvText:
    """Decoded lines for the `csv` module, and the values it cannot hold.

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
            data = line if self.read else line.removeprefix(codecs.BOM_UTF8)
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


def csv_reader(
    stream: TextFile, file: SourceFile, delimiter: str | None = None, header: list[str] | None = None
) -> tuple[CsvText, Any, list[str]]:
    """Return the text of a CSV file, a reader of it, and the header; read from the stream unless it is given.

    Args:
        stream: The file, at its start or at a row.
        file: The file.
        delimiter: The separator of its cells; `None` detects it, at the start of the file only.
        header: The names of the columns, if they are known.

    Raises:
        UsageError: The header is missing.
    """
    # The module's limit of 128 kB for a field is a global setting; documents are longer.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))
    delimiter = delimiter or delimiter_of(stream, file)
    text = CsvText(lines_of(stream, file))
    reader = csv.reader(iter(text), strict=True, delimiter=delimiter)
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
        text: The text it reads.
        file: The file.
        header: The columns' names; `None` to count rows only, whatever is in them.
        first: The line that the reader begins at, if it is not the file's second.
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
        error = f"{len(fields)} fields, but the header has {len(header)}"
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
