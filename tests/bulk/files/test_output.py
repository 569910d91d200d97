"""The output holds every row once, with its values, whatever they are and whatever it is written as."""

import csv
import json
import math
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagewire import UsageError, bulk
from sagewire.bulk.files.input import Source
from sagewire.bulk.files.output import open_output
from sagewire.bulk.files.storage import Storage
from sagewire.bulk.job import Job
from sagewire.bulk.rows import Answer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([2**53 + 1, 2**63, -(2**63), 0.5])
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUE = st.recursive(
    SCALAR, lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXT, part, max_size=3), max_leaves=6
)
ROW = st.dictionaries(st.sampled_from(["a", "b", "c", "error", "", "a.b"]), VALUE, max_size=4)
ANSWER = st.builds(
    Answer,
    output=st.none() | TEXT | VALUE,
    finish_reason=st.none() | st.just("stop"),
    prompt_tokens=st.none() | st.integers(0, 10**6),
    error=st.none() | TEXT,
)


def written(path, rows, answers, name):
    """Write rows and answers as an output of the job does."""
    source_path = path / "in.jsonl"
    source_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    storage = Storage()
    source = Source(storage, storage.files(str(source_path)))
    target = path / name
    with open_output(Job(str(source_path), "sagemaker/x", str(target)), source, storage, str(target)) as output:
        done = 0
        for chunk in source.chunks():
            output.write(chunk, answers[done : done + len(chunk.rows)])
            done += len(chunk.rows)
    return target


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.tuples(ROW, ANSWER), max_size=6), repeat=st.sampled_from([1, 300]))
def test_any_rows_and_answers_can_be_written(data, repeat, tmp_path):
    data = [pair for pair in data for _ in range(repeat)]
    rows, answers = [row for row, _ in data], [answer for _, answer in data]
    lines = written(tmp_path, rows, answers, "out.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in written(tmp_path, rows, answers, "out.jsonl").read_bytes().splitlines()]
    assert len(lines) >= len(rows)
    for one, row, answer in zip(found, rows, answers, strict=True):
        assert {**one} == {**row, **{name: one[name] for name in one if name not in row}, "error": answer.error}
        assert one["output"] == answer.output
    with written(tmp_path, rows, answers, "out.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert [one["error"] for one in cells] == [answer.error or "" for answer in answers]
    table = pq.read_table(written(tmp_path, rows, answers, "out.parquet"))
    assert table.num_rows == len(rows)
    assert len(set(table.column_names)) == len(table.column_names)
    for at, row in enumerate(table.to_pylist()):
        for name, value in rows[at].items():
            if name != "error":
                assert same(row[name], value), (name, row[name], value)
        assert row["error"] == answers[at].error


def same(found, value):
    """Return whether a value came back: as it is, with more keys that are null, or as JSON text."""
    if found == value or (isinstance(found, float) and isinstance(value, int) and int(found) == value):
        return True
    if isinstance(found, str) and not isinstance(value, str):
        return json.loads(found) == value
    if isinstance(value, dict) and isinstance(found, dict):
        return all(same(found[name], value.get(name)) for name in found) and value.keys() <= found.keys()
    if isinstance(value, list) and isinstance(found, list):
        return len(value) == len(found) and all(map(same, found, value))
    return isinstance(found, float) and isinstance(value, float) and math.isclose(found, value)


@pytest.mark.parametrize(
    "tables",
    [
        [pa.table({"x": pa.array([1], pa.int64())}), pa.table({"x": ["text"]})],
        [pa.table({"x": pa.array([2**60 + 1], pa.int64())}), pa.table({"x": [0.5]})],
        [pa.table({"x": pa.array([1], pa.int32())}), pa.table({"x": [0.5]})],
        [pa.table({"x": [{"a": 1}]}), pa.table({"x": [{"b": "two"}]})],
        [pa.table({"x": [[1]]}), pa.table({"x": [["one"]]})],
        [pa.table({"x": ["early"]}), pa.table({"x": ["late"], "y": [1]})],
        [pa.table({"x": pa.array([datetime(2026, 1, 1, tzinfo=UTC)])}), pa.table({"x": ["text"]})],
    ],
)
@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_parquet_files_whose_types_differ(tables, format, models, tmp_path):
    (tmp_path / "in").mkdir()
    for number, table in enumerate(tables):
        table = table.append_column("prompt", pa.array([f"question {number}"]))
        pq.write_table(table, tmp_path / "in" / f"{number}.parquet")
    report = bulk.run(tmp_path / "in", "sagemaker/chat", tmp_path / f"out.{format}")
    assert (report.complete, report.failed, report.rows) == (True, 0, 2)
    if format == "parquet":
        found = pq.read_table(report.output).to_pylist()
        values = [table["x"].to_pylist()[0] for table in tables]
        if not isinstance(values[0], datetime):
            assert all(same(row["x"], value) for row, value in zip(found, values, strict=True)), found
        assert [row["output"] for row in found] == ["question 0", "question 1"]


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("kind", [pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.time64("ns"), pa.duration("ns")])
def test_nanoseconds_need_no_pandas(kind, format, models, tmp_path):
    odd = pa.array([1_000_000_001, None], kind)
    pq.write_table(
        pa.table({"prompt": ["a", "b"], "at": odd, "in": pa.array([[1], []], pa.list_(kind))}), tmp_path / "i.pq"
    )
    report = bulk.run(tmp_path / "i.pq", "sagemaker/chat", tmp_path / f"out.{format}", template="{prompt} {prompt}")
    assert (report.complete, report.failed) == (True, 0)
    if format == "parquet":
        assert pq.read_table(report.output)["at"].combine_chunks() == odd
    else:
        assert "000000001" in (tmp_path / f"out.{format}").read_text()


@pytest.mark.parametrize("kept", [True, False])
def test_notes_of_pandas_are_kept_if_they_are_still_true(kept, models, tmp_path):
    table = pa.table({"prompt": ["a", "b"], "n": pa.array([1, None], pa.int64())})
    note = {b"pandas": b'{"columns": []}'}
    pq.write_table(table.replace_schema_metadata(note), tmp_path / "1.parquet")
    other = table if kept else table.set_column(1, "n", pa.array(["x", "y"]))
    pq.write_table(other.replace_schema_metadata(note), tmp_path / "2.parquet")
    report = bulk.run(str(tmp_path / "*.parquet"), "sagemaker/chat", str(tmp_path / "out" / "o.parquet"))
    assert (report.complete, report.failed) == (True, 0)
    metadata = pq.read_schema(tmp_path / "out" / "o.parquet").metadata or {}
    assert (b"pandas" in metadata) == kept


def test_a_column_that_is_added_is_refused_in_any_file(models, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text("prompt\na\n")
    (tmp_path / "in" / "2.csv").write_text("prompt,error\nb,none\n")
    with pytest.raises(UsageError, match=r"2\.csv has a column 'error' already"):
        bulk.run(tmp_path / "in", "sagemaker/chat", tmp_path / "out.csv")
    assert models.calls == []


def test_columns_of_later_files_are_kept(models, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text("prompt,a\nx,1\n")
    (tmp_path / "in" / "2.csv").write_text("b,prompt\n2,y\n")
    report = bulk.run(tmp_path / "in", "sagemaker/chat", tmp_path / "out.csv")
    with open(report.output, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["a"], row["b"], row["output"]) for row in rows] == [("1", "", "x"), ("", "2", "y")]


@pytest.mark.parametrize("text", ["a\rb", "a\r\nb", "\r", 'say "x"\r', "a\nb", "=1+1", "\x00"])
def test_line_ends_in_csv_cells_come_back(text, models, write, tmp_path):
    report = bulk.run(write([{"prompt": text}, {"prompt": "next"}]), "sagemaker/chat", tmp_path / "out.csv")
    with open(report.output, newline="") as file:
        assert [row["output"] for row in csv.DictReader(file)] == [text, "next"]
