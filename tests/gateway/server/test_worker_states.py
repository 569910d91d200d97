"""What several workers say about models and requests in flight, put together."""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sagewire.errors import ModelError
from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.config import parse_config
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.keys import MASTER, Key
from sagewire.gateway.routing.deployments import Deployment, Lease
from sagewire.gateway.server.supervisor import forget_states
from sagewire.gateway.worker_states import WorkerStates
from tests.cases import each
from tests.gateway.accounting.logs import ended

CONFIG = """
models:
  m: {endpoint: m, handler: openai_chat, breaker_failures: 1, max_concurrency: 4}
  team/*: {endpoint: "*", handler: openai_chat}
"""
# Larger than any pid of Linux.
NOWHERE = 1 << 22 | 1
Worker = Callable[[int], Gateway]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    def start(pid: int) -> Gateway:
        gateway = Gateway(parse_config(CONFIG), open_store("sqlite://"), workers=4)
        gateway.states = WorkerStates(lambda: gateway.router, gateway.live, pid)
        gateway.states.join(tmp_path)
        return gateway

    return start


def deployment(gateway: Gateway, model: str = "m") -> Deployment:
    found = gateway.router.find(model)
    assert found is not None
    return found.deployments[0]


def fail(one: Deployment, minute: int = 0) -> None:
    Lease(one, caller="a").failed(ModelError(f"broken at {minute}", status=500))
    one.last_error_at = datetime(2030, 1, 1, 1, minute, tzinfo=UTC)


def answer(one: Deployment) -> None:
    Lease(one).succeeded()


def seen(gateway: Gateway, model: str = "m") -> dict[str, Any]:
    (found,) = [one for one in gateway.states.all().models() if one["name"] == model]
    return found["deployments"][0]


def test_whoever_is_asked_says_the_same(worker: Worker) -> None:
    workers = [worker(os.getpid()), worker(os.getppid())]
    leases = [Lease(deployment(workers[number])) for number in (0, 0, 1)]
    fail(deployment(workers[1]), 7)
    fail(deployment(workers[0]), 3)
    answer(deployment(workers[0]))
    for one in workers:
        one.states.write()
    assert seen(workers[0]) == seen(workers[1])
    assert seen(workers[0]) == {
        "name": "m",
        "state": "circuit_open",
        "workers": 1,
        "in_flight": 3,
        "max_concurrency": 8,
        "last_error": "ModelError: broken at 7",
        "last_error_at": "2030-01-01T01:07:00+00:00",
    }
    for lease in leases:
        lease.given_up()


@each(
    ("first", "second", "state", "workers"),
    [
        ("", "", "not_asked", 2),
        # One that has not called it does not disagree.
        ("ok", "", "healthy", 2),
        ("", "fail", "circuit_open", 1),
        ("ok", "fail", "circuit_open", 1),
        ("fail", "fail", "circuit_open", 2),
    ],
)
def test_the_worst_state_counts(worker: Worker, first: str, second: str, state: str, workers: int) -> None:
    asked = worker(os.getpid())
    for told, gateway in ((first, asked), (second, other := worker(os.getppid()))):
        if told:
            {"ok": answer, "fail": fail}[told](deployment(gateway))
    other.states.write()
    assert (seen(asked)["state"], seen(asked)["workers"]) == (state, workers)


def test_names_that_fit_a_pattern_are_those_of_all(worker: Worker) -> None:
    asked, other = worker(os.getpid()), worker(os.getppid())
    fail(deployment(other, "team/x"))
    other.states.write()
    assert seen(asked, "team/x")["last_error"] == "ModelError: broken at 0"


def test_requests_in_flight_of_all_workers_and_of_one_key(worker: Worker) -> None:
    asked, other = worker(os.getpid()), worker(os.getppid())
    bob = Key("bob", "b" * 64)
    for number in range(60):
        log = ended(f"req-{number}", model="m", key=MASTER if number % 2 else bob, route="chat")
        log.started = number
        (other if number % 3 else asked).live[number] = log
    asked.live[99] = ended("req-99", model="m", key=Key("master", "c" * 64))
    other.states.write()
    found = asked.states.all()
    assert (found.workers, found.live(None), found.live(bob.digest), found.live(MASTER.digest)) == (2, 61, 30, 30)
    oldest = found.requests(None, 5)
    assert [one["request_id"] for one in oldest] == [f"req-{number}" for number in range(5)]
    assert oldest[0].keys() == {"request_id", "model", "key", "route", "stream", "characters", "seconds"}
    # A key of that name is not the master key.
    assert [one["request_id"] for one in found.requests("c" * 64, 100)] == ["req-99"]


def test_files_are_private_whole_and_of_living_workers(worker: Worker, tmp_path: Path) -> None:
    asked, other, dead = worker(os.getpid()), worker(os.getppid()), worker(NOWHERE)
    fail(deployment(dead))
    for one in (asked, other, dead):
        one.states.write()
    path = tmp_path / f"states-{os.getppid()}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(
        f"states-{pid}.json" for pid in (os.getpid(), os.getppid(), NOWHERE)
    )
    assert (seen(asked)["state"], asked.states.all().workers) == ("not_asked", 2)
    assert not (tmp_path / f"states-{NOWHERE}.json").exists()
    # Nothing new is not written anew.
    path.write_bytes(b"{")
    other.states.write()
    assert asked.states.all().workers == 1
    answer(deployment(other))
    other.states.write()
    assert asked.states.all().workers == 2
    forget_states(str(tmp_path), os.getppid())
    assert not path.exists()


def test_a_directory_that_is_gone_is_told_once(
    worker: Worker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = worker(os.getpid())
    asked.states.join(tmp_path / "gone")
    for _ in range(3):
        asked.states.write()
    assert caplog.text.count("other workers do not see") == 1
    assert asked.states.all().workers == 1
