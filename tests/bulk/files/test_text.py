"""Text files as other tools write them: compressed, in other encodings, with other separators and line ends."""

import bz2
import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sagewire import UsageError, bulk
from sagewire.bulk.files.input import Source
from sagewire.bulk.files.splits import read_segment, segments
from sagewire.bulk.files.storage import Storage


def rows_of(path, **settings):
    """Read a source whole and in segments, which must agree, and return the rows' columns or errors."""
    storage = Storage()
    source = Source(storage, storage.files(str(path)), **settings)
    whole = [row for chunk in source.chunks([]) for row in chunk.rows]
    pieces = [row for one in segments(source, 2) for chunk in read_segment(source, one, []) for row in chunk.rows]
    assert [row.values for row in pieces] == [row.values for row in whole]
    assert [row.number for row in pieces] == list(range(len(whole)))
    assert abs(source.count() - len(whole)) <= 1
    return [row.values or row.error for row in whole]


LINES = b'{"text": "hello"}\n{"text": "\xc3\xbc"}\n{"text": "third"}\n'
TABLE = "id,text\n1,hello\n2,ü\n3,third\n"
SEEN = ["hello", "ü", "third"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", gzip.compress(LINES)),
        ("members.jsonl.gz", gzip.compress(LINES[:18]) + gzip.compress(LINES[18:])),
        ("a.ndjson.bz2", bz2.compress(LINES)),
        ("a.csv.gz", gzip.compress(TABLE.encode())),
        ("a.CSV.GZ", gzip.compress(TABLE.encode())),
        ("a.tsv", TABLE.replace(",", "\t").encode()),
        ("a.tsv.gz", gzip.compress(TABLE.replace(",", "\t").encode())),
        ("semicolon.csv", TABLE.replace(",", ";").encode("utf-8-sig")),
        ("bar.csv", TABLE.replace(",", "|").encode()),
        ("tab.csv", TABLE.replace(",", "\t").encode("utf-16")),
        ("big_endian.csv", TABLE.encode("utf-16-be")),
        ("little_endian.jsonl", LINES.decode().encode("utf-16-le")),
        ("marked.jsonl", ("\ufeff" + LINES.decode()).encode("utf-16-le")),
        ("western.csv", TABLE.encode("cp1252")),
        ("western_semicolon.csv.gz", gzip.compress(TABLE.replace(",", ";").encode("cp1252"))),
        ("old_mac.csv", TABLE.replace("\n", "\r").encode()),
        ("windows.csv", TABLE.replace("\n", "\r\n").encode()),
        ("last_line.csv", TABLE.rstrip().replace("\n", "\r").encode()),
    ],
    # Compressed data holds the time: as an id it would differ between processes.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_certain_is_found_out(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert [row["text"] for row in rows_of(tmp_path / name)] == SEEN


def test_zstandard(tmp_path):
    with pa.output_stream(str(tmp_path / "a.jsonl.zst"), compression="zstd") as stream:
        stream.write(LINES)
    assert [row["text"] for row in rows_of(tmp_path / "a.jsonl.zst")] == SEEN


def test_what_is_not_certain_has_to_be_named(tmp_path):
    text = "id,text\n1,Привет мир\n2,ü\n"
    (tmp_path / "cyrillic.csv").write_bytes(text.replace("ü", "да").encode("cp1251"))
    assert all("not UTF-8" in str(row) for row in rows_of(tmp_path / "cyrillic.csv"))
    rows = rows_of(tmp_path / "cyrillic.csv", encoding="cp1251")
    assert [row["text"] for row in rows] == ["Привет мир", "да"]
    (tmp_path / "damaged.csv").write_bytes("id,text\n1,ünïcode\n".encode() + b"2,bad \xfc\n")
    assert rows_of(tmp_path / "damaged.csv")[0]["text"] == "ünïcode"
    with pytest.raises(UsageError, match=r"damaged\.csv is not in the encoding ascii"):
        rows_of(tmp_path / "damaged.csv", encoding="ascii")
    (tmp_path / "stars.csv").write_text("id*text\n1*a, b\n")
    assert rows_of(tmp_path / "stars.csv", delimiter="*") == [{"id": "1", "text": "a, b"}]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("text\nhello, you\n", ["text"]),
        ("a;b,c\n1;2,3\n", ["a;b", "c"]),
        ("a;b;c\n1,5;2,5;x\n", ["a", "b", "c"]),
        ('"name, first";x\n"A, B";1\n', ["name, first", "x"]),
        ("just one column\nsecond row; with a semicolon\n", ["just one column"]),
        ('a,b\n"two\nlines",x\n', ["a", "b"]),
    ],
)
def test_separators_are_those_that_give_rows_of_one_length(text, header, tmp_path):
    (tmp_path / "in.csv").write_text(text)
    storage = Storage()
    assert Source(storage, storage.files(str(tmp_path / "in.csv"))).headers() == [header]


def test_carriage_returns_in_quoted_cells_are_kept(tmp_path):
    (tmp_path / "in.csv").write_bytes(b'a,b\r"x\ry","1\r\n2"\rz,3\r')
    assert rows_of(tmp_path / "in.csv") == [{"a": "x\ry", "b": "1\r\n2"}, {"a": "z", "b": "3"}]


def test_wildcards(tmp_path):
    for name in ("p1.jsonl", "p2.jsonl.gz", "q.jsonl", "sub/p3.jsonl", "sub/deep/p4.jsonl", "p5.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        data = json.dumps({"text": name}).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    def names(pattern):
        return [row["text"] for row in rows_of(tmp_path / pattern)]

    assert names("p*.jsonl*") == ["p1.jsonl", "p2.jsonl.gz"]
    assert names("[pq]*.jsonl") == ["p1.jsonl", "q.jsonl"]
    assert names("*/p?.jsonl") == ["sub/p3.jsonl"]
    assert names("**/p*.jsonl") == ["p1.jsonl", "sub/deep/p4.jsonl", "sub/p3.jsonl"]
    with pytest.raises(UsageError, match="holds no file"):
        names("x*.jsonl")
    (tmp_path / "odd[1].jsonl").write_text('{"text": "odd"}')
    assert names("odd[1].jsonl") == ["odd"]


def test_outputs_of_the_same_kinds(models, write, tmp_path):
    source = write([{"prompt": "tab\there"}, {"prompt": "ü"}])
    assert bulk.run(source, "sagemaker/chat", tmp_path / "out.jsonl.gz").complete
    with gzip.open(tmp_path / "out.jsonl.gz") as file:
        assert [json.loads(line)["output"] for line in file] == ["tab\there", "ü"]
    assert bulk.run(source, "sagemaker/chat", tmp_path / "out.tsv").complete
    with (tmp_path / "out.tsv").open(newline="") as file:
        assert [row["output"] for row in csv.DictReader(file, delimiter="\t")] == ["tab\there", "ü"]


def test_mistakes_are_named_before_the_first_call(models, write, tmp_path):
    source = write([{"prompt": "x"}])
    pq.write_table(pa.table({"prompt": ["x"]}), tmp_path / "in.parquet")
    (tmp_path / "in.parquet.gz").write_bytes(b"")
    for path, settings, words in [
        (source, {"delimiter": ";"}, "delimiter is for CSV files"),
        (source, {"delimiter": ";;"}, "must be one character"),
        (source, {"encoding": "klingon"}, "not a text encoding"),
        (source, {"encoding": "base64"}, "not a text encoding"),
        (tmp_path / "in.parquet", {"encoding": "utf-8"}, "encoding is for text files"),
        (tmp_path / "in.parquet.gz", {}, "compressed inside"),
    ]:
        with pytest.raises(UsageError, match=words):
            bulk.run(path, "sagemaker/chat", tmp_path / "out.jsonl", **settings)
    assert models.calls == []
