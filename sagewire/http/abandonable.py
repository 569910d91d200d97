"""Blocking calls that cannot be stopped, but need not be waited for."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["SharedCalls", "call_within", "in_background", "in_thread"]

T = TypeVar("T")


def call_within(seconds: float | None, function: Callable[[], T], discard: Callable[[T], object] | None = None) -> T:
    """Return what a blocking function returns, or leave it alone once `seconds` have passed.

    Looking up a name, a proxy's greeting and a credential process have no time limit that covers all of
    it. The function runs in a thread, which ends when the function does.

    Args:
        seconds: How long to wait; `None` calls the function here.
        function: The function to call.
        discard: Given a result that came too late.

    Raises:
        TimeoutError: Time is up.
    """
    if seconds is None:
        return function()
    run = _Run(function, discard)
    threading.Thread(target=run.work, name="sagewire-wait", daemon=True).start()
    return run.result(seconds)


async def in_thread(function: Callable[..., T], *arguments: Any, discard: Callable[[T], object] | None = None) -> T:
    """Return what a blocking function returns, run in its own thread.

    The loop's default executor has as few as five threads, which 64 calls in flight would queue up for, and
    `asyncio.run` waits for all of them. A cancelled caller is let go at once; the call itself ends by its own limits.

    Args:
        function: The function to call.
        *arguments: Its arguments.
        discard: Given a result that the caller was cancelled before.
    """
    # Sync callers do not wait until these are loaded.
    import asyncio
    from concurrent.futures import Future

    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result = context.run(function, *arguments)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=work, name="sagewire-call", daemon=True).start()
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        if discard is not None:
            tidy = discard
            future.add_done_callback(lambda late: None if late.exception() else in_background(tidy, late.result()))
        raise


class SharedCalls:
    """Blocking calls that tasks share: those that want the same while it is under way get its result, or its error.

    A thousand tasks that wait for one look-up are one thread, not a thousand.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, Future[Any]] = {}

    async def run(self, key: Hashable, function: Callable[..., T], *arguments: Any) -> T:
        """Return what a blocking function returns, run in its own thread.

        Args:
            key: Calls with equal keys are one call.
            function: The function to call.
            *arguments: Its arguments.
        """
        import asyncio
        from concurrent.futures import Future

        mine: Future[T] = Future()
        # Else a cancelled task would cancel it for the others.
        mine.set_running_or_notify_cancel()
        future = self._running.setdefault(key, mine)
        if future is mine:
            context = contextvars.copy_context()

            def work() -> None:
                try:
                    result = context.run(function, *arguments)
                except BaseException as error:
                    self._running.pop(key, None)
                    mine.set_exception(error)
                else:
                    self._running.pop(key, None)
                    mine.set_result(result)

            try:
                threading.Thread(target=work, name="sagewire-call", daemon=True).start()
            except RuntimeError as error:
                self._running.pop(key, None)
                mine.set_exception(error)
        return await asyncio.wrap_future(future)


def in_background(function: Callable[..., object], *arguments: Any) -> None:
    """Call a blocking function without waiting for it; the program does not end before it has."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(function, *arguments), name="sagewire-tidy").start()


class _Run(Generic[T]):
    def __init__(self, function: Callable[[], T], discard: Callable[[T], object] | None) -> None:
        self._function = function
        self._discard = discard
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._abandoned = False
        self._result: list[T] = []
        self._error: BaseException | None = None

    def work(self) -> None:
        try:
            result = self._context.run(self._function)
        except BaseException as error:
            self._error = error
        else:
            with self._lock:
                self._result.append(result)
                late = self._abandoned
            if late and self._discard is not None:
                self._discard(result)
        self._over.set()

    def result(self, seconds: float) -> T:
        try:
            if not self._over.wait(seconds):
                raise TimeoutError
        except BaseException:
            with self._lock:
                self._abandoned = True
                finished = list(self._result)
            if finished and self._discard is not None:
                in_background(self._discard, finished[0])
            raise
        if self._error is not None:
            try:
                raise self._error
            finally:
                # The traceback refers to this frame, and this to the error.
                self._error = None
        return self._result[0]
