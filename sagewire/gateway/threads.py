"""Blocking work beside the event loop, in daemon threads of its own.

asyncio's default threads are few and shared: an endpoint or a database that never answers would hold all of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["BlockingCalls", "in_thread"]

P = ParamSpec("P")
T = TypeVar("T")


def _start(work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, result, failure)

    # A daemon: work that hangs must not keep the process from ending.
    threading.Thread(target=run, name="sagewire-blocking", daemon=True).start()
    return future


async def in_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of blocking work, done in its own thread."""
    return await _start(lambda: work(*args, **kwargs), asyncio.get_running_loop())


class BlockingCalls:
    """Blocking calls of one kind: a bounded number at once, each with a time limit.

    A call that hangs keeps its place until it ends, so that hanging calls cannot pile up.

    Args:
        limit: How many may run at once.
        seconds: How long a caller waits for a place and the result.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._places = asyncio.Semaphore(limit)
        self._seconds = seconds

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of blocking work.

        Raises:
            TimeoutError: There was no result in time.
        """
        async with asyncio.timeout(self._seconds):
            await self.enter()
            return await self._run(work, *args, **kwargs)

    async def enter(self) -> None:
        """Wait for a place, without a limit. With a place, call `run_entered` or `leave`."""
        await self._places.acquire()

    def leave(self) -> None:
        """Give back a place that is not used."""
        self._places.release()

    async def run_entered(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of blocking work in the place that the caller has; the time limit is for the work alone.

        Raises:
            TimeoutError: There was no result in time.
        """
        async with asyncio.timeout(self._seconds):
            return await self._run(work, *args, **kwargs)

    async def _run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        done = _start(lambda: work(*args, **kwargs), asyncio.get_running_loop())
        done.add_done_callback(self._ended)
        # The work itself cannot be cancelled, so its place stays taken.
        return await asyncio.shield(done)

    def _ended(self, done: asyncio.Future[T]) -> None:
        self._places.release()
        if not done.cancelled():
            done.exception()  # retrieved, so that asyncio does not log it
