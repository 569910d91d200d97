"""Sticky sessions: one for each conversation, opened on first use and closed when it is no longer used."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sagewire.client import AsyncClient
from sagewire.errors import ModelError, SagewireError

__all__ = ["Sessions", "session_is_gone"]

_log = logging.getLogger("sagewire.gateway")
# The most conversations of one deployment; the one that was quiet for longest goes first.
REMEMBERED = 10_000
# How long a deployment that opens no sessions is not asked for any.
PAUSE = 60.0
# Seconds for closing all sessions at the end; containers end them by themselves, too.
FAREWELL = 5.0


@dataclass(slots=True)
class _Session:
    opening: asyncio.Task[str]
    used: float
    calls: int = 0


class Sessions:
    """The open sessions of one deployment.

    Args:
        client: Opens and closes them.
        idle_seconds: How long an unused one stays open.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, client: Callable[[], AsyncClient], idle_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._idle = idle_seconds
        self._clock = clock
        self._open: OrderedDict[str, _Session] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()
        self._paused_until = 0.0

    def __len__(self) -> int:
        return len(self._open)

    async def use(self, conversation: str) -> str | None:
        """Return the id of a conversation's session, opened now if needed; `done` ends the use.

        `None` if the endpoint opens none: the conversation then goes on without, which is slower and not wrong.
        """
        now = self._clock()
        self._close_idle(now)
        session = self._open.get(conversation)
        if session is None:
            if now < self._paused_until:
                return None
            # Its own task: its caller may hang up while others wait for the same one.
            session = self._open[conversation] = _Session(asyncio.create_task(self._client().open_session()), now)
            session.opening.add_done_callback(partial(self._tried, conversation))
        session.used = now
        self._open.move_to_end(conversation)
        session.calls += 1
        try:
            return await asyncio.shield(session.opening)
        except SagewireError:
            return None
        except BaseException:
            session.calls -= 1
            raise

    def done(self, conversation: str, session_id: str) -> None:
        """Note that a call in a session has ended."""
        if (session := self._opened(conversation, session_id)) is not None:
            session.calls -= 1
            session.used = self._clock()
            self._open.move_to_end(conversation)

    def forget(self, conversation: str, session_id: str) -> None:
        """Forget a session that is gone; the next use opens another."""
        if self._opened(conversation, session_id) is not None:
            del self._open[conversation]

    async def close(self) -> None:
        """Close all sessions."""
        while self._open:
            self._close(self._open.popitem()[1])
        if self._closing:
            _, late = await asyncio.wait(self._closing, timeout=FAREWELL)
            for task in late:
                task.cancel()

    def _opened(self, conversation: str, session_id: str) -> _Session | None:
        """Return a conversation's session, if it is still the one of that id."""
        session = self._open.get(conversation)
        return session if session and session.opening.done() and session.opening.result() == session_id else None

    def _tried(self, conversation: str, opening: asyncio.Task[str]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            return
        session = self._open.get(conversation)
        if session is not None and session.opening is opening:
            del self._open[conversation]
        if not opening.cancelled():
            self._paused_until = self._clock() + PAUSE
            _log.warning("no session was opened, conversations go on without for %g s: %s", PAUSE, opening.exception())

    def _close_idle(self, now: float) -> None:
        for _ in range(len(self._open)):
            conversation, session = next(iter(self._open.items()))
            if len(self._open) <= REMEMBERED and now - session.used < self._idle:
                return
            if session.calls:
                # A call may take longer than a session stays open unused.
                session.used = now
                self._open.move_to_end(conversation)
            else:
                self._close(self._open.pop(conversation))

    def _close(self, session: _Session) -> None:
        async def close() -> None:
            # One that is gone already, or cannot be reached, ends by itself.
            with contextlib.suppress(SagewireError):
                await self._client().close_session(await session.opening)

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def session_is_gone(error: SagewireError) -> bool:
    """Return whether a container no longer knows a session: it has expired, or the instance that had it is gone."""
    return (
        isinstance(error, ModelError)
        and error.original_status == 400
        and "session" in (error.original_message or error.message).lower()
    )
