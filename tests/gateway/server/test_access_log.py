"""The access log on standard output."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from sagewire.gateway.server.access_log import configure_access_log, write_access_log
from tests.gateway.accounting.logs import ended

LOG = logging.getLogger("sagewire.gateway.access")


class Output(io.StringIO):
    """Counts the writes."""

    writes = 0
    broken = False

    def write(self, text: str, /) -> int:
        if self.broken:
            raise OSError("no space left on device")
        self.writes += 1
        return super().write(text)


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[Output]:
    before = LOG.handlers[:], LOG.level, LOG.propagate
    LOG.handlers.clear()
    monkeypatch.setattr("sys.stdout", found := Output())
    configure_access_log()
    yield found
    LOG.handlers[:], LOG.propagate = before[0], before[2]
    LOG.setLevel(before[1])


async def write(*ids: str) -> None:
    # Those of pytest, which listen to everything.
    LOG.handlers[:] = [one for one in LOG.handlers if not type(one).__module__.startswith("_pytest")]
    for one in ids:
        write_access_log(ended(one, status=200))
    await asyncio.sleep(0)


def written(output: Output) -> list[str]:
    return [orjson.loads(line)["request_id"] for line in output.getvalue().splitlines()]


def test_requests_that_end_together_are_written_together(output: Output) -> None:
    asyncio.run(write("a", "b", "c"))
    assert (written(output), output.writes) == (["a", "b", "c"], 1)
    asyncio.run(write("d"))
    assert written(output) == ["a", "b", "c", "d"]


def test_lines_in_hand_are_written_when_the_process_ends(output: Output) -> None:
    async def end_at_once() -> None:
        write_access_log(ended("last"))
        logging.shutdown([lambda: LOG.handlers[0]])

    asyncio.run(end_at_once())
    assert written(output) == ["last"]


def test_others_that_listen_get_records(output: Output) -> None:
    seen: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(orjson.loads(record.getMessage())["request_id"])

    LOG.addHandler(Listener())
    asyncio.run(write("a", "b"))
    assert (seen, written(output)) == (["a", "b"], ["a", "b"])


def test_nothing_is_written_if_the_level_says_so(output: Output) -> None:
    LOG.setLevel(logging.WARNING)
    asyncio.run(write("a"))
    assert not output.getvalue()


def test_a_full_disk_ends_no_request(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    output.broken = True
    asyncio.run(write("a"))
    output.broken = False
    asyncio.run(write("b"))
    assert written(output) == ["b"]
    assert "no space left" in capsys.readouterr().err
