"""A timeout that is cheap to set anew."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

__all__ = ["Watch"]


class Watch:
    """Raises `TimeoutError` out of its `async with` block when time is up.

    What `asyncio.timeout` does, but moving the time costs an attribute: the running timer is left as it is, and looks
    when it fires whether it has come too early. A call moves its time twice and nearly never runs out of it.

    Args:
        seconds: How long the block may take; `None` for as long as it likes.
    """

    __slots__ = ("_expired", "_handle", "_loop", "_outer_cancels", "_over", "_seconds", "_task", "_when")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None
        self._expired = False
        self._over = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None, "coroutines run in tasks"
        self._task: asyncio.Task[Any] = task
        self._outer_cancels = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self.set(self._seconds)
        return self

    def set(self, seconds: float | None) -> None:
        """Let the block take `seconds` from now on, `None` for as long as it likes; nothing once the block is left."""
        if seconds is None or self._over:
            self._when: float | None = None
            return
        self._when = self._loop.time() + seconds
        if self._handle is None or self._handle.when() > self._when:
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_at(self._when, self._fire)

    def _fire(self) -> None:
        self._handle = None
        if self._when is None:
            return
        if self._loop.time() < self._when:
            self._handle = self._loop.call_at(self._when, self._fire)
            return
        self._expired = True
        self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        # Somebody else's cancellation goes on as one, also where time was up as well.
        if self._expired and self._task.uncancel() <= self._outer_cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error
