"""Several worker processes on one listening socket, kept alive and told what their parent is told."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from sagewire.errors import UsageError
from sagewire.gateway.worker_states import forget_states

__all__ = ["INTERRUPTED", "NOT_ON_WINDOWS", "Supervisor"]

_log = logging.getLogger("sagewire.gateway")
# A worker that dies sooner than this after its start counts as one that cannot start.
YOUNG = 5.0
MAX_FAILED_STARTS = 3
# Seconds until a worker takes the place of one that died young, and of the next ones, doubled each time.
PAUSE, LONGEST_PAUSE = 0.5, 30.0
# The exit code that stands for SIGKILL.
KILLED = -9
NOT_ON_WINDOWS = "several workers cannot share a socket on Windows; run one, or use WSL or a container"
# The exit code after Ctrl-C: 128 and the signal's number, as shells and other commands have it.
INTERRUPTED = 130
# Seconds for what comes after the last request: connections are closed, the last usage is written.
CLOSING_SECONDS = 15.0


class Supervisor:
    """The parent of the worker processes, until it is told to stop.

    Args:
        target: The function that a worker runs; called with `args` and the socket. Must be importable: workers are
            spawned, so that they inherit neither threads nor event loops.
        args: Its arguments; picklable.
        listening: The socket the workers accept from.
        workers: Number of workers.
        drain_seconds: How long workers may take to end.
    """

    def __init__(
        self,
        target: Callable[..., object],
        args: tuple[Any, ...],
        listening: socket.socket,
        workers: int,
        drain_seconds: float,
    ) -> None:
        self._target = target
        self._args = (*args, listening)
        self._workers = workers
        self._drain_seconds = drain_seconds
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[BaseProcess, float] = {}
        self._due: list[float] = []
        self._died_young = 0
        self._failed_starts = 0
        self._stopping = False
        self._interrupted = False

    def run(self) -> int:
        """Run; return the exit code.

        SIGHUP is passed on, and makes each worker read its configuration again. SIGTERM and SIGINT let the workers
        finish what they have begun.
        """
        if sys.platform == "win32":
            raise UsageError(NOT_ON_WINDOWS)
        previous = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGHUP, self._pass_on),
            )
        }
        # There is a handler now; until here it would have ended the process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        try:
            for _ in range(self._workers):
                self._start()
            while not self._stopping:
                multiprocessing.connection.wait([worker.sentinel for worker in self._running], timeout=0.2)
                if not self._stopping and not self._replace_the_dead():
                    return 1
                self._start_those_due()
            return INTERRUPTED if self._interrupted else 0
        finally:
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _start(self) -> None:
        if sys.platform == "win32":
            raise UsageError(NOT_ON_WINDOWS)
        worker = self._context.Process(target=self._target, args=self._args, name="sagewire-gateway")
        # Inherited: SIGHUP would end a worker that has no handler for it yet. The worker lets it through then.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            worker.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._running[worker] = time.monotonic()

    def _replace_the_dead(self) -> bool:
        now = time.monotonic()
        dead = [worker for worker in self._running if not worker.is_alive()]
        alive = [started for worker, started in self._running.items() if worker not in dead]
        if alive and not dead and not self._due and min(now - started for started in alive) > YOUNG:
            self._died_young = self._failed_starts = 0
        for worker in dead:
            started = self._running.pop(worker)
            _log.error("worker %s ended with exit code %s", worker.pid, worker.exitcode)
            # Its gauges would be counted for ever.
            mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
            forget_states(os.environ.get("PROMETHEUS_MULTIPROC_DIR"), worker.pid)
            pause = 0.0
            if now - started < YOUNG:
                pause = min(LONGEST_PAUSE, PAUSE * 2**self._died_young) if self._died_young else 0.0
                self._died_young += 1
                # One that was killed, for want of memory for example, might have started well.
                self._failed_starts += worker.exitcode != KILLED
            self._due.append(now + pause)
        if self._failed_starts >= MAX_FAILED_STARTS and not any(now - started > YOUNG for started in alive):
            _log.error("workers do not start; giving up")
            return False
        return True

    def _start_those_due(self) -> None:
        now = time.monotonic()
        for moment in [moment for moment in self._due if moment <= now]:
            if not self._stopping:
                self._due.remove(moment)
                self._start()

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True
        self._interrupted = number == signal.SIGINT

    def _pass_on(self, number: int, frame: object) -> None:
        for worker in self._running:
            if worker.pid is not None and worker.is_alive():
                os.kill(worker.pid, number)

    def _end(self) -> None:
        for worker in self._running:
            worker.terminate()
        deadline = time.monotonic() + self._drain_seconds + CLOSING_SECONDS
        for worker in self._running:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                _log.error("worker %s does not end; killed", worker.pid)
                worker.kill()
                worker.join()
