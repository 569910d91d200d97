"""Stopping a job from outside: by Ctrl-C, SIGTERM, or the calling program."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["INTERRUPTED", "STOP_PATIENCE", "StopSignal", "interrupts"]

# Seconds for the calls in flight to end by themselves once a job is stopped.
STOP_PATIENCE = 60.0
# How the reason begins if it was Ctrl-C.
INTERRUPTED = "interrupted (SIGINT)"


class StopSignal:
    """A request to stop, which may be made once.

    Attributes:
        reason: Why, once it was made.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._made = asyncio.Event()

    def set(self, reason: str) -> None:
        """Make the request."""
        self.reason = self.reason or reason
        self._made.set()

    async def wait(self, seconds: float) -> bool:
        """Wait; return early, and true, when the request is made."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._made.wait(), seconds)
        return self.reason is not None


@contextmanager
def interrupts(stop: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Let Ctrl-C and SIGTERM stop the job cleanly; a second one is the usual interrupt.

    Yields:
        A function that takes the signals back from a library that has taken them meanwhile.
    """
    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def caught(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        signal.signal(number, before[number])
        caught_already.add(number)
        stop(f"interrupted ({number.name})")

    def take() -> None:
        for number in before.keys() - caught_already:
            loop.add_signal_handler(number, caught, number)

    caught_already: set[signal.Signals] = set()
    try:
        take()
    except NotImplementedError:
        # Windows' event loops have none.
        yield lambda: None
        return
    try:
        yield take
    finally:
        for number, handler in before.items():
            if loop.remove_signal_handler(number):
                signal.signal(number, handler)
