"""What a job refuses to destroy, what it counts where the server does not, and disks that take nothing."""

import csv
import errno
import os

import pytest

from sagewire import UsageError, bulk
from sagewire.bulk.state import job_state as journal
from sagewire.emulator import EndpointSpec


def questions(count):
    return [{"id": number, "prompt": f"question {number}", "text": f"text {number}"} for number in range(count)]


def test_an_output_that_is_the_input_is_refused_whatever_is_said(models, write, tmp_path):
    source = write(questions(3))
    before = (tmp_path / "in.jsonl").read_bytes()
    with pytest.raises(UsageError, match="is the input"):
        bulk.run(source, "sagemaker/chat", source, overwrite=True)
    assert (tmp_path / "in.jsonl").read_bytes() == before
    (tmp_path / "in").mkdir()
    write(questions(3), "in/1.jsonl")
    with pytest.raises(UsageError, match="lies in the input directory"):
        bulk.run(str(tmp_path / "in"), "sagemaker/chat", tmp_path / "in" / "out.jsonl")
    assert models.calls == []


def test_records_of_another_job_are_no_input(models, write, tmp_path):
    write(questions(3))
    (tmp_path / "other.jsonl.bulk").mkdir()
    write(questions(5), "other.jsonl.bulk/part-00000.jsonl")
    report = bulk.run(str(tmp_path), "sagemaker/chat", tmp_path.parent / f"{tmp_path.name}.jsonl")
    assert report.rows == 3


def test_a_job_that_has_done_nothing_is_in_nobodys_way(models, write, tmp_path):
    source, output = write(questions(3)), tmp_path / "out.jsonl"
    with pytest.raises(Exception, match="nowhere"):
        bulk.run(source, "sagemaker/nowhere", output)
    assert bulk.run(source, "sagemaker/chat", output).complete
    with pytest.raises(UsageError, match="is complete"):
        bulk.run(source, "sagemaker/chat", output)


def test_a_path_means_the_same_from_every_directory(models, write, tmp_path, monkeypatch):
    write(questions(100))
    monkeypatch.chdir(tmp_path)
    assert not bulk.run("in.jsonl", "sagemaker/chat", "out.jsonl", budget_tokens=100).complete
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    report = bulk.run("../in.jsonl", "sagemaker/chat", "../out.jsonl", resume=True)
    assert (report.complete, report.rows) == (True, 100)
    assert report.done_before > 0


@pytest.mark.parametrize(("name", "settings"), [("tei", {"task": "embed", "batch_size": 1}), ("tgi", {})])
def test_a_budget_is_kept_where_the_server_does_not_count(name, settings, models, write, tmp_path):
    source, output = write(questions(300)), tmp_path / "out.jsonl"
    settings = {**settings, "budget_tokens": 300, "options": {} if settings else {"max_tokens": 10}}
    report = bulk.run(source, f"sagemaker/{name}", output, **settings)
    assert report.stopped.startswith("the budget of 300 tokens is spent (as estimated")
    spent = report.prompt_tokens + report.completion_tokens + report.estimated_tokens
    assert 150 < spent <= 300
    plan = bulk.plan(source, f"sagemaker/{name}", output, **settings)
    assert plan.measured
    assert plan.prompt_tokens > 300


def test_rows_of_csv_are_counted_though_they_hold_line_ends(models, tmp_path):
    rows = [{"prompt": f'one "{number}"\r\ntwo\n\n'} for number in range(300)]
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["prompt"])
        writer.writeheader()
        writer.writerows(rows)
    assert bulk.plan(str(tmp_path / "in.csv"), "sagemaker/chat", "out.csv", sample=0).rows == 300


def test_calls_that_a_stop_prevented_are_not_counted(models, write, tmp_path):
    models.add("quick", EndpointSpec("openai_chat", engine="echo", latency=0.01))
    report = bulk.run(write(questions(2000)), "sagemaker/quick", tmp_path / "out.jsonl", deadline=0.3, dedup=False)
    assert "deadline" in report.stopped
    assert report.calls == len(models.calls) == report.rows


def test_a_disk_that_takes_nothing_is_one_sentence(models, write, tmp_path, monkeypatch):
    source, output = write(questions(3)), tmp_path / "out.jsonl"

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", full)
        with pytest.raises(UsageError, match="cannot be written: No space left"):
            bulk.run(source, "sagemaker/chat", output)
    assert models.calls == []
    assert bulk.run(source, "sagemaker/chat", output).complete


def test_a_disk_that_is_full_later_stops_the_job(models, write, tmp_path, monkeypatch):
    source, output = write(questions(3)), tmp_path / "out.jsonl"
    fsync = os.fsync

    def full(handle):
        if models.calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", full)
        report = bulk.run(source, "sagemaker/chat", output)
    assert report.stopped == "the disk is full: No space left on device"
    assert not output.exists()
    report = bulk.run(source, "sagemaker/chat", output, resume=True)
    assert report.complete
    assert report.rows == 3


def test_an_input_that_breaks_off_stops_the_job_and_is_read_again(models, write, tmp_path, monkeypatch, read):
    from sagewire.bulk.files.input import Source

    source, output = write(questions(1200)), tmp_path / "out.jsonl"
    chunks = Source.chunks

    def breaking(self, columns=None, start=0):
        for number, chunk in enumerate(chunks(self, columns, start)):
            if columns is not None and number == 1:
                raise OSError("the bucket is gone")
            yield chunk

    with monkeypatch.context() as patch:
        patch.setattr(Source, "chunks", breaking)
        report = bulk.run(source, "sagemaker/chat", output)
    assert report.stopped == "the input cannot be read any more: the bucket is gone"
    assert report.rows == 512
    assert bulk.run(source, "sagemaker/chat", output, resume=True).complete
    assert len(read(output)) == 1200
