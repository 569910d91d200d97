"""What must neither hang a job nor cost its answers: rows without an answer, callbacks that raise, damaged files."""

import pytest

from sagewire import bulk
from sagewire.bulk.engines import local
from sagewire.emulator import EndpointSpec
from sagewire.emulator.engines.base import EngineFailure
from sagewire.emulator.engines.simple import Echo


def questions(count):
    return [{"prompt": f"question {number}"} for number in range(count)]


class Unwell(Echo):
    """A model whose server dies over some of the questions."""

    def __init__(self, *numbers):
        self.texts = {f"question {number}" for number in numbers}

    def generate(self, turn, /):
        for piece in super().generate(turn):
            if piece.text in self.texts:
                raise EngineFailure("the worker died", 500)
            yield piece


@pytest.fixture
def window(monkeypatch):
    monkeypatch.setattr(local, "WINDOW_ROWS", 64)


@pytest.mark.parametrize("bad", [[0], [0, 1, 2, 3, 4], [5, 70, 71, 72, 399], list(range(0, 400, 40))])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_rows_without_an_answer_fail_and_all_others_are_done(bad, concurrency, models, window, write, read, tmp_path):
    models.add("unwell", EndpointSpec("openai_chat", engine=Unwell(*bad)))
    report = bulk.run(
        write(questions(400)), "sagemaker/unwell", tmp_path / "out.jsonl", concurrency=concurrency, attempts=1
    )
    if not report.complete:
        # Nothing was answered yet when it stopped, so the endpoint may be what is broken.
        assert bad == [0, 1, 2, 3, 4]
        assert report.stopped.startswith("the endpoint gives no answers any more")
        return
    assert (report.rows, report.failed, report.complete) == (400, len(bad), True)
    assert [n for n, row in enumerate(read(report.output)) if row["error"]] == bad


def test_a_row_without_an_answer_fails_in_a_resumed_job_as_well(models, window, write, read, tmp_path):
    models.add("unwell", EndpointSpec("openai_chat", engine=Unwell(0)))
    source, output = write(questions(200)), tmp_path / "out.jsonl"
    settings = {"attempts": 1, "concurrency": 8}
    report = bulk.run(source, "sagemaker/unwell", output, budget_tokens=200, **settings)
    assert not report.complete
    report = bulk.run(source, "sagemaker/unwell", output, resume=True, **settings)
    assert (report.complete, report.rows, report.failed) == (True, 200, 1)


@pytest.mark.parametrize("rows", [1, 400])
def test_a_callback_that_raises_ends_the_job_and_keeps_its_rows(rows, models, window, write, tmp_path):
    def watch(progress):
        raise RuntimeError("a mistake in the progress bar")

    source, output = write(questions(rows)), tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError, match="progress bar"):
        bulk.run(source, "sagemaker/chat", output, concurrency=8, watch=watch)
    made = len(models.calls)
    report = bulk.run(source, "sagemaker/chat", output, resume=True)
    assert (report.complete, report.done_before, len(models.calls)) == (True, made, rows)


def test_a_writer_that_fails_ends_the_job(models, window, write, tmp_path, monkeypatch):
    def broken(self, records):
        raise ValueError("unforeseen")

    monkeypatch.setattr("sagewire.bulk.state.job_state.PartWriter.append", broken)
    with pytest.raises(ValueError, match="unforeseen"):
        bulk.run(write(questions(400)), "sagemaker/chat", tmp_path / "out.jsonl", concurrency=8)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_damaged_index_costs_calls_and_nothing_else(when, models, window, write, read, tmp_path):
    rows = [{"prompt": f"question {number % 100}"} for number in range(300)]
    source, output = write(rows), tmp_path / "out.jsonl"
    index = tmp_path / "out.jsonl.bulk" / "pass-0" / "answers.sqlite"

    def damage(progress=None):
        for path in index.parent.glob("answers.sqlite*"):
            path.write_bytes(b"no database " * 1000)

    bulk.run(source, "sagemaker/chat", output, budget_tokens=150, concurrency=4)
    if when == "before":
        damage()
    watch = damage if when == "meanwhile" else None
    report = bulk.run(source, "sagemaker/chat", output, resume=True, watch=watch, concurrency=4)
    assert (report.complete, report.failed) == (True, 0)
    assert [row["output"] for row in read(output)] == [row["prompt"] for row in rows]


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_integers_keep_their_digits(format, models, write, tmp_path):
    import pyarrow.parquet as pq

    long = 123456789012345678901234567890
    rows = [{"prompt": "a", "id": long, "more": {"ids": [-long]}}, {"prompt": "b", "id": 7, "more": None}]
    report = bulk.run(write(rows), "sagemaker/chat", tmp_path / f"out.{format}", template="{id} {more}", dedup=False)
    if format == "parquet":
        table = pq.read_table(report.output)
        texts = [str(value) for value in table["id"].to_pylist()] + table["output"].to_pylist()
    else:
        texts = [(tmp_path / f"out.{format}").read_text()]
    assert str(long) in texts[0]
    assert report.failed == 1
    assert models.calls[0].json["messages"][0]["content"] == f'{long} {{"ids":[-{long}]}}'
