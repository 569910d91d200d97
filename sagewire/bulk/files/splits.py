"""The input in pieces that workers on other machines read for themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sagewire.bulk.files.input import (
    Source,
    csv_reader,
    csv_rows,
    gathered,
    jsonl_rows,
    lines_of,
    rows_of,
)
from sagewire.bulk.files.parquet import parquet_chunks, parquet_file
from sagewire.bulk.files.storage import SourceFile
from sagewire.bulk.files.text import TextFile, delimiter_of
from sagewire.bulk.rows import Chunk

__all__ = ["Split", "read_segment", "segments"]

_MOST_UNSEEKABLE = 64


@dataclass(frozen=True, slots=True)
class Split:
    """Consecutive rows of one file.

    Args:
        first: The number of its first row in the whole input.
        rows: How many there are.
        file: The index of the file among the source's.
        offset: The start of its first row: a byte; a row in Parquet files, and in those that are read from their start.
        line: The line of its first row.
    """

    first: int
    rows: int
    file: int
    offset: int
    line: int


def segments(source: Source, size: int) -> Iterator[Split]:
    """Cut a source into segments of `size` rows; the last one of each file may be shorter."""
    first = 0
    for at, file in enumerate(source.files):
        for segment in _cut(source, file, size):
            yield replace(segment, first=first, file=at)
            first += segment.rows


def read_segment(source: Source, segment: Split, columns: list[str]) -> Iterator[Chunk]:
    """Yield the rows of a segment, with the numbers they have in the whole input."""
    number = segment.first
    for chunk in _read(source, segment, columns):
        yield Chunk([replace(row, number=number + at) for at, row in enumerate(chunk.rows)])
        number += len(chunk.rows)


def _cut(source: Source, file: SourceFile, size: int) -> Iterator[Split]:
    if file.format == "parquet":
        with source.storage.open(file.path) as stream:
            total = parquet_file(stream, file).metadata.num_rows
        for start in range(0, total, size):
            yield Split(0, min(size, total - start), 0, start, start + 1)
        return
    with source.text(file) as text:
        if not text.seekable:
            # Each segment is read from the start of the file, so there are few of them.
            total = sum(1 for _ in rows_of(text, file, source.delimiter))
            size = max(size, -(-total // _MOST_UNSEEKABLE))
            for start in range(0, total, size):
                yield Split(0, min(size, total - start), 0, start, 0)
            return
        places = _jsonl_places(text, file) if file.format == "jsonl" else _csv_places(text, file, source.delimiter)
        while piece := list(islice(places, size)):
            offset, line = piece[0]
            yield Split(0, len(piece), 0, offset, line)


def _jsonl_places(stream: Any, file: SourceFile) -> Iterator[tuple[int, int]]:
    """Yield the byte and the line at which each row begins."""
    offset = 0
    for number, line in enumerate(lines_of(stream, file), 1):
        if line.strip():
            yield offset, number
        offset += len(line)


def _csv_places(stream: TextFile, file: SourceFile, delimiter: str | None) -> Iterator[tuple[int, int]]:
    text, reader, _ = csv_reader(stream, file, delimiter)
    for row in csv_rows(reader, text, file, None):
        yield text.read - row.size, row.line


def _read(source: Source, segment: Split, columns: list[str]) -> Iterator[Chunk]:
    file = source.files[segment.file]
    if file.format == "parquet":
        with source.storage.open(file.path) as stream:
            yield from _parquet_slice(stream, file, segment, columns)
        return
    with source.text(file) as text:
        if not text.seekable:
            rows = rows_of(text, file, source.delimiter)
            yield from gathered(islice(rows, segment.offset, segment.offset + segment.rows))
        elif file.format == "jsonl":
            text.seek(segment.offset)
            yield from gathered(islice(jsonl_rows(text, file, segment.line), segment.rows))
        else:
            delimiter = source.delimiter or delimiter_of(text, file)
            _, _, header = csv_reader(text, file, delimiter)
            text.seek(segment.offset)
            lines, reader, _ = csv_reader(text, file, delimiter, header)
            yield from gathered(islice(csv_rows(reader, lines, file, header, segment.line), segment.rows))


def _parquet_slice(stream: Any, file: SourceFile, segment: Split, columns: list[str]) -> Iterator[Chunk]:
    parquet = parquet_file(stream, file)
    end = segment.offset + segment.rows
    groups: list[int] = []
    row = first = 0
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if row < end and row + rows > segment.offset:
            first = first if groups else row
            groups.append(group)
        row += rows
    for chunk in parquet_chunks(parquet, file, columns, groups):
        # Lines were counted from the first of the row groups read.
        found = [replace(one, line=one.line + first) for one in chunk.rows]
        yield Chunk([one for one in found if segment.offset < one.line <= end])
