"""Reading in pieces gives what reading in one go gives, line numbers and errors included."""

import csv
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagewire.bulk.files.input import Source
from sagewire.bulk.files.splits import read_segment, segments
from sagewire.bulk.files.storage import Storage

CELL = st.text(st.sampled_from('ab", \n\r;é語'), max_size=8)


def source_of(path):
    storage = Storage()
    return Source(storage, storage.files(str(path)))


def agree(source, size):
    whole = [row for chunk in source.chunks(["a"]) for row in chunk.rows]
    pieces = [row for one in segments(source, size) for chunk in read_segment(source, one, ["a"]) for row in chunk.rows]
    assert [replace(row, size=0) for row in pieces] == [replace(row, size=0) for row in whole]
    assert [row.number for row in whole] == list(range(len(whole)))
    return whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELL, CELL), max_size=12), size=st.integers(1, 5), mark=st.booleans())
def test_csv(rows, size, mark, tmp_path):
    path = tmp_path / "in.csv"
    with path.open("w", newline="", encoding="utf-8-sig" if mark else "utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b"])
        writer.writerows(rows)
    whole = agree(source_of(path), size)
    with path.open(newline="", encoding="utf-8-sig") as file:
        expected = [row for row in csv.reader(file) if row][1:]
    assert [tuple(row.values.values()) for row in whole] == [tuple(row) for row in expected]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.lists(st.sampled_from([b'{"a": 1}', b"{bad", b"", b"  ", b"[]", b'{"a": "\xff"}']), max_size=12),
    size=st.integers(1, 5),
    end=st.sampled_from([b"\n", b"\r\n"]),
    last=st.booleans(),
)
def test_json_lines(data, size, end, last, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(end.join(data) + (end if last else b""))
    whole = agree(source_of(path), size)
    assert [row.line for row in whole] == [number for number, line in enumerate(data, 1) if line.strip()]
    assert [row.error is None for row in whole] == [line == b'{"a": 1}' for line in data if line.strip()]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_parquet(size, tmp_path):
    (tmp_path / "in").mkdir()
    for name, count in (("x", 11), ("y", 5)):
        table = pa.table({"a": list(range(count)), "b": ["x"] * count})
        pq.write_table(table, tmp_path / "in" / f"{name}.parquet", row_group_size=4)
    whole = agree(source_of(tmp_path / "in"), size)
    assert [row.values["a"] for row in whole] == [*range(11), *range(5)]
    assert [row.line for row in whole] == [*range(1, 12), *range(1, 6)]
