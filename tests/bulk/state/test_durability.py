"""Crashes, full disks, endpoints that throttle or vanish, and bounds: nothing lost, nothing twice."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sagewire import UsageError, bulk
from sagewire.bulk.concurrency import ConcurrencyController
from sagewire.bulk.state import job_state as journal
from sagewire.cli import app
from sagewire.emulator import Emulator, EndpointSpec
from sagewire.emulator.faults.base import FaultInjection, Refused

RUN = "import sys; from sagewire import bulk; r = bulk.run(*sys.argv[1:4], resume=True); sys.exit(not r.complete)"


def questions(count):
    return [{"id": number, "prompt": f"question {number}"} for number in range(count)]


def start(source, model, output):
    return subprocess.Popen([sys.executable, "-c", RUN, source, model, str(output)], stderr=subprocess.PIPE)


@pytest.fixture
def wait_for_calls(models, until):
    """Wait until a process has made so many calls, or has ended."""

    def wait(count, process, pause=0.01):
        until(lambda: len(models.calls) >= count or process.poll() is not None, 60, pause=pause)

    return wait


def test_killed_at_random_moments_no_row_is_lost_or_done_twice(models, write, read, tmp_path, wait_for_calls):
    random.seed(20)
    models.add("steady", EndpointSpec("openai_chat", engine="echo", latency=0.01))
    rows = questions(800)
    rows[7] = "{broken"
    source, output = write(rows), tmp_path / "out.jsonl"
    kills = 0
    while True:
        before = len(models.calls)
        process = start(source, "sagemaker/steady", output)
        if kills < 3:
            # Looking now and then hits the time between a call and its record as well as the middle of a write.
            wait_for_calls(before + random.randrange(1, 250), process, pause=random.uniform(0.001, 0.01))
            process.send_signal(signal.SIGKILL)
        process.wait(60)
        stderr = process.stderr.read().decode()
        process.stderr.close()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, stderr
        kills += 1
    assert kills == 3
    found = read(output)
    assert [row.get("output") for row in found] == [
        None if number == 7 else f"question {number}" for number in range(800)
    ]
    asked = Counter(call.json["messages"][0]["content"] for call in models.calls)
    assert len(asked) == 799
    # What was in flight at a kill is asked again, and nothing else.
    assert sum(asked.values()) - 799 <= kills * 256
    assert max(asked.values()) <= kills + 1
    assert [letter["line"] for letter in read(tmp_path / "out.failed.jsonl")] == [8]


def test_records_go_into_several_files_of_bounded_size(models, write, read, tmp_path, monkeypatch):
    monkeypatch.setattr("sagewire.bulk.state.job_state._PART_BYTES", 2000)
    source, output = write(questions(300)), tmp_path / "out.jsonl"
    report = bulk.run(source, "sagemaker/chat", output, budget_tokens=900, concurrency=4)
    parts = sorted((tmp_path / "out.jsonl.bulk" / "pass-0").glob("part-*.jsonl"))
    assert len(parts) > 1
    # What was written at once is in one file, however long.
    assert all(part.stat().st_size < 10_000 for part in parts)
    assert "budget" in report.stopped
    assert bulk.run(source, "sagemaker/chat", output, resume=True).complete
    assert [row["output"] for row in read(output)] == [f"question {number}" for number in range(300)]


def test_records_cut_by_a_crash_are_done_again(models, write, read, tmp_path):
    source, output = write(questions(300)), tmp_path / "out.jsonl"
    report = bulk.run(source, "sagemaker/chat", output, budget_tokens=900)
    assert "budget" in report.stopped
    [part] = (tmp_path / "out.jsonl.bulk" / "pass-0").glob("part-*.jsonl")
    data = part.read_bytes()
    lines = data.splitlines(keepends=True)
    lines[3] = b"\0" * len(lines[3]) + b"\n"
    part.write_bytes(b"".join(lines)[:-5])
    report = bulk.run(source, "sagemaker/chat", output, resume=True)
    assert report.complete
    assert [row["output"] for row in read(output)] == [f"question {number}" for number in range(300)]
    assert report.done_before == len(lines) - 2


def test_an_interrupt_keeps_what_is_in_flight(models, write, read, tmp_path, wait_for_calls):
    models.add("calm", EndpointSpec("openai_chat", engine="echo", latency=0.1))
    source, output = write(questions(400)), tmp_path / "out.jsonl"
    process = start(source, "sagemaker/calm", output)
    wait_for_calls(20, process)
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    process.stderr.close()
    assert process.returncode == 1
    asked = len(models.calls)
    report = bulk.run(source, "sagemaker/calm", output, resume=True)
    # Every call that was made before the end had its answer kept.
    assert report.done_before == asked
    assert len(models.calls) == 400


def test_the_first_ctrl_c_says_what_is_waited_for_and_how_long(models, write, tmp_path, until, monkeypatch):
    monkeypatch.setattr("sagewire.bulk.engines.local.STOP_PATIENCE", 0.2)
    models.add("slow", EndpointSpec("openai_chat", engine="echo", latency=5.0))
    source, output = write(questions(40)), tmp_path / "out.jsonl"
    arguments = ["run", "-m", "slow", "-i", str(source), "-o", str(output), "--column", "prompt", "--concurrency", "4"]

    def interrupt():
        until(lambda: len(models.calls) >= 4)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    done = CliRunner().invoke(app, ["bulk", *arguments])
    thread.join()
    # The calls were given up, and not waited for.
    assert time.monotonic() - began < 4.5
    assert done.exit_code == 130, done.output
    told = "interrupted (SIGINT): finishing 4 calls in flight, at most 60 s; press Ctrl-C again to stop now"
    assert told in done.output
    assert "continue with --resume" in done.output


class Full:
    """A disk that takes a number of bytes, and half of the write that is too much."""

    def __init__(self, room):
        self.room = room

    def __call__(self, writer, data):
        if len(data) > self.room:
            writer._file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return self.real(writer, data)


def test_a_full_disk_stops_cleanly_and_resumes(models, write, read, tmp_path, monkeypatch):
    source, output = write(questions(500)), tmp_path / "out.jsonl"
    disk = Full(20_000)
    disk.real = journal.PartWriter._write
    monkeypatch.setattr(journal.PartWriter, "_write", lambda self, data: disk(self, data))
    report = bulk.run(source, "sagemaker/chat", output)
    assert report.stopped.startswith("the disk is full")
    assert 0 < report.rows < 500
    assert not output.exists()
    disk.room = 1 << 30
    report = bulk.run(source, "sagemaker/chat", output, resume=True)
    assert report.complete
    assert [row["output"] for row in read(output)] == [f"question {number}" for number in range(500)]


def test_an_output_that_cannot_be_written_leaves_nothing_and_is_written_by_a_resume(models, write, read, tmp_path):
    source, output = write(questions(5)), tmp_path / "sub" / "out.jsonl"
    output.parent.mkdir()
    settings = {"work_dir": str(tmp_path / "work"), "watch": lambda _: output.parent.exists() and output.parent.rmdir()}
    report = bulk.run(source, "sagemaker/chat", output, **settings)
    assert report.stopped.startswith("the output cannot be written")
    (tmp_path / "sub").mkdir()
    report = bulk.run(source, "sagemaker/chat", output, work_dir=str(tmp_path / "work"), resume=True)
    assert (report.complete, report.calls) == (True, 0)
    assert len(read(output)) == 5


def test_two_processes_do_not_share_a_job(models, write, tmp_path):
    source, output = write(questions(5)), tmp_path / "out.jsonl"
    with (
        journal.Folder(Path(f"{output}.bulk")),
        pytest.raises(UsageError, match="another process"),
    ):
        bulk.run(source, "sagemaker/chat", output)


def test_resume_refuses_another_job_and_another_input(models, write, tmp_path):
    source, output = write(questions(50)), tmp_path / "out.jsonl"
    bulk.run(source, "sagemaker/chat", output, budget_tokens=100)
    with pytest.raises(UsageError, match="was begun and not finished"):
        bulk.run(source, "sagemaker/chat", output)
    with pytest.raises(UsageError, match="system was None and is 'x'"):
        bulk.run(source, "sagemaker/chat", output, resume=True, system="x")
    write(questions(51))
    with pytest.raises(UsageError, match="the input has changed"):
        bulk.run(source, "sagemaker/chat", output, resume=True)
    assert bulk.run(source, "sagemaker/chat", output, overwrite=True).rows == 51
    with pytest.raises(UsageError, match="is complete"):
        bulk.run(source, "sagemaker/chat", output)
    models.clear()
    report = bulk.run(source, "sagemaker/chat", output, resume=True)
    assert (report.complete, report.rows, len(models.calls)) == (True, 51, 0)


def test_another_files_output_is_not_overwritten(models, write, tmp_path):
    (tmp_path / "out.jsonl").write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        bulk.run(write(questions(5)), "sagemaker/chat", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "precious"


def test_failed_rows_can_be_retried(models, write, read, tmp_path):
    rows = [{"text": f"text {number}" if number % 3 else ""} for number in range(60)]
    source, output = write(rows), tmp_path / "out.jsonl"
    settings = {"task": "embed", "batch_size": 8, "dedup": False}
    report = bulk.run(source, "sagemaker/tei", output, **settings)
    assert (report.failed, report.complete) == (20, True)
    models.clear()
    report = bulk.run(source, "sagemaker/tei", output, retry=True, **settings)
    assert (report.rows, report.failed) == (60, 20)
    # Only those that had failed were asked for.
    assert all(text == "" for call in models.calls for text in call.json["inputs"])
    assert len(read(tmp_path / "out.failed.jsonl")) == 20


def test_a_retry_replaces_errors_by_answers(models, write, read, tmp_path):
    models.add("moody", EndpointSpec("openai_chat", engine="echo", faults=["container_error:400"]))
    source, output = write(questions(40)), tmp_path / "out.jsonl"
    assert bulk.run(source, "sagemaker/moody", output).failed == 40
    models.add("moody", EndpointSpec("openai_chat", engine="echo"))
    report = bulk.run(source, "sagemaker/moody", output, retry=True, budget_tokens=100)
    assert "budget" in report.stopped
    report = bulk.run(source, "sagemaker/moody", output, resume=True)
    assert (report.rows, report.failed, report.complete, report.dead_letter) == (40, 0, True, None)
    assert [row["output"] for row in read(output)] == [f"question {number}" for number in range(40)]
    assert not (tmp_path / "out.failed.jsonl").exists()


def test_max_errors_stops(models, write, read, tmp_path):
    rows = ["{bad"] * 10 + questions(500)
    report = bulk.run(write(rows), "sagemaker/chat", tmp_path / "out.jsonl", max_errors=3)
    assert report.stopped == "more than 3 rows have failed"
    assert not report.complete
    assert len(read(report.dead_letter)) == report.failed


def test_a_token_budget_is_kept(models, write, tmp_path):
    source, output = write(questions(400)), tmp_path / "out.jsonl"
    report = bulk.run(source, "sagemaker/chat", output, budget_tokens=1000, options={"max_tokens": 10})
    assert "1,000 tokens" in report.stopped
    assert 500 < report.prompt_tokens + report.completion_tokens <= 1000


def test_a_deadline_is_kept(models, write, tmp_path):
    report = bulk.run(write(questions(2000)), "sagemaker/slow", tmp_path / "out.jsonl", deadline=0.5, concurrency=4)
    assert "deadline of 0.5 s" in report.stopped
    # Calls that were in flight are waited for, and no more are begun.
    assert report.rows == report.calls == len(models.calls) < 2000


class Capacity(FaultInjection):
    """So many calls a moment are taken; more are throttled, as SageMaker does."""

    def __init__(self, calls, seconds):
        super().__init__("")
        self.calls, self.seconds = calls, seconds
        self.times = []
        self.lock = threading.Lock()

    def front_door(self):
        with self.lock:
            now = time.monotonic()
            self.times = [moment for moment in self.times if now - moment < self.seconds]
            if len(self.times) >= self.calls:
                raise Refused("ThrottlingException", 400, "Rate exceeded")
            self.times.append(now)


def test_throttling_slows_the_job_down_and_fails_no_row(models, write, tmp_path):
    models.add("tight", EndpointSpec("openai_chat", engine="echo", latency=0.05, faults=[Capacity(8, 0.05)]))
    report = bulk.run(write(questions(400)), "sagemaker/tight", tmp_path / "out.jsonl")
    assert (report.stopped, report.rows, report.failed) == (None, 400, 0)
    assert report.throttled > 0
    # It does not hammer: eight fit, and the most it may try is 256.
    assert report.concurrency < 40
    assert report.throttled < 400


def test_a_passing_failure_is_retried(models, write, tmp_path):
    faults = ["internal_failure:2", "reset:1", "too_many_requests:2,0.1", "unavailable:1"]
    models.add("shaky", EndpointSpec("openai_chat", engine="echo", faults=faults))
    report = bulk.run(write(questions(50)), "sagemaker/shaky", tmp_path / "out.jsonl")
    assert (report.rows, report.failed, report.complete) == (50, 0, True)


def test_a_lost_endpoint_stops_the_job_and_fails_no_row(write, tmp_path, clean_environment, monkeypatch):
    source, output = write(questions(600)), tmp_path / "out.jsonl"
    settings = {"attempts": 2, "client_arguments": {"handler": "openai_chat"}, "concurrency": 8}
    with Emulator({"chat": EndpointSpec("openai_chat", engine="echo", latency=0.01)}) as emulator:
        url, port = emulator.url, int(emulator.url.rpartition(":")[2])
        for name, value in emulator.environ().items():
            monkeypatch.setenv(name, value)
        stopped = threading.Event()

        def watch(progress):
            if progress.rows > 100 and not stopped.is_set():
                stopped.set()
                threading.Thread(target=emulator.stop).start()

        report = bulk.run(source, "sagemaker/chat", output, watch=watch, **settings)
    assert report.stopped.startswith("the endpoint gives no answers any more")
    assert 100 < report.rows < 600
    assert report.failed == 0
    with Emulator({"chat": "openai_chat:echo"}, port=port) as again:
        assert again.url == url
        for name, value in again.environ().items():
            monkeypatch.setenv(name, value)
        report = bulk.run(source, "sagemaker/chat", output, resume=True, **settings)
        assert (report.complete, report.failed) == (True, 0)


def test_rights_that_are_taken_away_stop_the_job(models, write, tmp_path):
    models.add("closed", EndpointSpec("openai_chat", engine="echo", faults=["access_denied:1"]))
    source, output = write(questions(20)), tmp_path / "out.jsonl"
    report = bulk.run(source, "sagemaker/closed", output)
    assert "AccessDenied" in report.stopped
    assert report.failed == 0
    assert bulk.run(source, "sagemaker/closed", output, resume=True).complete


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


async def settle(controller, clock, capacity, rounds):
    """Simulate an endpoint that works on `capacity` calls at once, a second each."""
    for _ in range(rounds):
        calls = [await controller.enter() for _ in range(controller.limit)]
        waves = -(-len(calls) // capacity)
        for at, call in enumerate(calls):
            clock.now = call.started + 1 + at // capacity
            controller.leave(call)
        clock.now = calls[0].started + waves


async def test_the_pace_finds_a_queueing_endpoints_capacity():
    clock = Clock()
    controller = ConcurrencyController(most=1000, clock=clock)
    await settle(controller, clock, 40, 200)
    assert 30 <= controller.limit <= 150


async def test_the_pace_is_cut_once_a_round_and_recovers():
    clock = Clock()
    controller = ConcurrencyController(most=100, start=40, clock=clock)
    calls = [await controller.enter() for _ in range(40)]
    for call in calls:
        controller.leave(call, refused=True)
    assert controller.limit == 28
    await settle(controller, clock, 1000, 40)
    assert controller.limit > 40


async def test_a_fixed_pace_stays():
    controller = ConcurrencyController(5)
    calls = [await controller.enter() for _ in range(5)]
    for call in calls:
        controller.leave(call, refused=True)
    assert controller.limit == 5


def test_state_on_disk_is_plain(models, write, tmp_path):
    bulk.run(write(["{bad", *questions(3)]), "sagemaker/chat", tmp_path / "out.jsonl")
    manifest = json.loads((tmp_path / "out.jsonl.bulk" / "manifest.json").read_text())
    assert (manifest["complete"], manifest["rows"], manifest["failed"]) == (True, 4, 1)
    assert manifest["job"]["model"] == "sagemaker/chat"
