"""Cancelling a job, or a limit around it, returns in time although a disk, a bucket or an endpoint hangs."""

import asyncio
import threading
import time
from contextlib import closing

import pytest

from sagewire import bulk
from sagewire.bulk.engines import local
from sagewire.bulk.files.storage import Storage
from sagewire.bulk.state import job_state

from ..transports.conftest import Server

LIMIT = 0.2
# What a busy machine needs besides.
SLACK = 5.0


def took(call):
    """Return the seconds until a limit around a call, and the loop itself, have ended."""

    async def limited():
        async with asyncio.timeout(LIMIT):
            await call()

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(limited())
    return time.monotonic() - began


@pytest.fixture
def hang():
    """Return a function that never returns while the test runs."""
    over = threading.Event()
    yield lambda *_, **__: over.wait(60)
    over.set()


@pytest.fixture
def hanging_server():
    with closing(Server(lambda peer, seen: peer.wait_until_closed(30))) as server:
        yield server


@pytest.mark.parametrize("what", [bulk.arun, bulk.aplan])
def test_a_disk_that_gives_nothing(models, write, tmp_path, monkeypatch, hang, what):
    monkeypatch.setattr(Storage, "files", hang)
    assert took(lambda: what(write([{"prompt": "Hi"}]), "sagemaker/chat", str(tmp_path / "out.jsonl"))) < SLACK


@pytest.mark.parametrize(("what", "place"), [(bulk.arun, "source"), (bulk.arun, "output"), (bulk.aplan, "source")])
def test_a_bucket_that_hangs(models, hanging_server, write, tmp_path, monkeypatch, what, place):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", hanging_server.url)
    here = {"source": write([{"prompt": "Hi"}]), "output": str(tmp_path / "out.jsonl")}
    files = {**here, place: "s3://bucket/file.jsonl"}
    monkeypatch.chdir(tmp_path)
    assert took(lambda: what(files["source"], "sagemaker/chat", files["output"])) < SLACK


def test_a_disk_that_takes_nothing(models, write, tmp_path, monkeypatch, hang):
    monkeypatch.setattr(local, "_CANCELLED_PATIENCE", 0.1)
    monkeypatch.setattr(job_state.PartWriter, "_write", hang)
    source = write([{"prompt": f"question {number}"} for number in range(9)])
    assert took(lambda: bulk.arun(source, "sagemaker/chat", str(tmp_path / "out.jsonl"))) < SLACK
    monkeypatch.undo()


def test_a_control_plane_that_hangs(models, hanging_server, write, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", hanging_server.url)
    source = write([{"prompt": "Hi"}])
    assert took(lambda: bulk.arun(source, "sagemaker/chat", str(tmp_path / "out.jsonl"))) < SLACK


def test_a_cancelled_job_keeps_what_was_answered_and_goes_on(models, write, read, tmp_path):
    source, output = write([{"prompt": f"question {number}"} for number in range(48)]), tmp_path / "out.jsonl"

    async def cancelled():
        seen = asyncio.Event()
        job = asyncio.create_task(
            bulk.arun(source, "sagemaker/slow", str(output), concurrency=4, watch=lambda _: seen.set())
        )
        await seen.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    asyncio.run(cancelled())
    report = bulk.run(source, "sagemaker/slow", str(output), resume=True, concurrency=48)
    assert (report.complete, report.rows) == (True, 48)
    assert report.done_before > 0
    assert [row["output"] for row in read(output)] == [f"question {number}" for number in range(48)]
