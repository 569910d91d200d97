"""A timeout that is cheap to set, and to set anew."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Protocol, Self

__all__ = ["Alarm", "Timer", "TimerPool", "Watch"]


class TimerPool:
    """The timers of one event loop, each of which serves one wait after the other.

    Setting a timer and cancelling it take a twelfth of a call, and hardly one ever fires. So a timer is left running
    when its wait is over: the next one takes it. It looks when it fires whether it has come too early, and is set anew
    then; one that fires while no call waits is discarded.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._idle: list[Alarm] = []

    def take(self) -> Alarm:
        """Return an unused alarm."""
        return self._idle.pop() if self._idle else Alarm(self.loop)

    def give_back(self, alarm: Alarm) -> None:
        """Let the next wait have an alarm."""
        alarm.watch = None
        self._idle.append(alarm)


class Watch(Protocol):
    """The subject of an alarm."""

    def alarmed(self) -> None:
        """React to the alarm, which may be too early: it was set for an earlier wait then."""
        ...


class Alarm:
    """A timer that may serve one wait after the other.

    Args:
        loop: The event loop.

    Attributes:
        watch: The alarms that it raises; none between two waits.
    """

    __slots__ = ("_handle", "_loop", "_when", "watch")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._when = 0.0
        self.watch: Watch | None = None

    def fire_by(self, when: float) -> None:
        """Fire at `when` at the latest."""
        if self._handle is None or self._when > when:
            if self._handle is not None:
                self._handle.cancel()
            self._when = when
            self._handle = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._handle = None
        if self.watch is not None:
            self.watch.alarmed()


class Timer:
    """Raises `TimeoutError` out of its `with` block when time is up.

    What `asyncio.timeout` does, but moving the time costs an attribute. A call moves its time twice and nearly never
    runs out of it.

    Args:
        seconds: How long the block may take; `None` for as long as it likes.
        alarms: The timers of the running event loop.
    """

    __slots__ = ("_alarm", "_alarms", "_expired", "_outer_cancels", "_over", "_seconds", "_task", "_when")

    def __init__(self, seconds: float | None, alarms: TimerPool) -> None:
        self._seconds = seconds
        self._alarms = alarms
        self._alarm: Alarm | None = None
        self._when: float | None = None
        self._expired = False
        self._over = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None, "coroutines run in tasks"
        self._task: asyncio.Task[Any] = task
        self._outer_cancels = task.cancelling()
        if self._seconds is not None:
            self.set(self._seconds)
        return self

    def set(self, seconds: float | None) -> None:
        """Let the block take `seconds` from now on, `None` for as long as it likes; nothing once the block is left."""
        if seconds is None or self._over:
            self._when = None
            return
        self._when = when = self._alarms.loop.time() + seconds
        alarm = self._alarm
        if alarm is None:
            alarm = self._alarm = self._alarms.take()
            alarm.watch = self
        alarm.fire_by(when)

    def alarmed(self) -> None:
        """The alarm has fired, perhaps too early."""
        if self._when is None or self._alarm is None:
            return
        if self._alarms.loop.time() < self._when:
            self._alarm.fire_by(self._when)
            return
        self._expired = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._alarm is not None:
            self._alarms.give_back(self._alarm)
            self._alarm = None
        # A cancellation from outside stays a cancellation, even if the time is up as well.
        if self._expired and self._task.uncancel() <= self._outer_cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error
