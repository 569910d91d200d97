"""The parent of the workers: which ones it starts again, when, and when it gives up."""

import signal
import socket
from types import SimpleNamespace

import pytest

from sagewire.gateway.server import supervisor
from sagewire.gateway.server.supervisor import Supervisor


class Worker:
    pid = 1

    def __init__(self) -> None:
        self.exitcode: int | None = None

    def is_alive(self) -> bool:
        return self.exitcode is None


class Parent(Supervisor):
    """A supervisor whose workers are objects, in a time of its own."""

    def __init__(self, workers: int) -> None:
        self.now = 0.0
        self.started: list[Worker] = []
        with socket.socket() as listening:
            super().__init__(lambda: None, (), listening, workers, 1)
        for _ in range(workers):
            self._start()

    def _start(self) -> None:
        self.started.append(Worker())
        self._running[self.started[-1]] = self.now

    @property
    def alive(self) -> list[Worker]:
        return [worker for worker in self.started if worker.is_alive()]

    def look(self, seconds: float) -> bool:
        self.now += seconds
        goes_on = self._replace_the_dead()
        self._start_those_due()
        return goes_on


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Parent:
    made = Parent(4)
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(supervisor, "mark_process_dead", lambda pid: None)
    return made


def test_workers_that_are_killed_come_back_however_young(parent: Parent) -> None:
    for _ in range(5):
        for worker in parent.alive:
            worker.exitcode = -signal.SIGKILL
        assert parent.look(1)
        # With growing pauses, so that the machine has time for something else.
        assert len(parent.alive) <= 1
        assert parent.look(120)
        assert len(parent.alive) == 4


def test_it_gives_up_when_no_worker_can_start(parent: Parent) -> None:
    for number, worker in enumerate(parent.alive[:3], 1):
        worker.exitcode = 1
        assert parent.look(0.1) == (number < 3)


def test_those_that_serve_go_on_when_another_cannot_start(parent: Parent) -> None:
    assert parent.look(60)
    for _ in range(8):
        parent.alive[-1].exitcode = 1
        assert parent.look(60)
    assert len(parent.alive) == 4
    # One that dies of old age is replaced at once.
    parent.look(60)
    parent.alive[0].exitcode = -signal.SIGSEGV
    assert parent.look(1)
    assert len(parent.alive) == 4
