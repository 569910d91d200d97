"""The database as requests use it: beside the event loop, bounded in number and time, at rest while it is silent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.store_errors import SchemaMismatch, StoreBusy, StoreError
from sagewire.gateway.keys import Key
from sagewire.gateway.threads import BlockingCalls

__all__ = ["DatabaseCalls"]

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger("sagewire.gateway")
# Calls at once, fewer than there are connections, and seconds for each, while requests wait for them.
CALLS, PATIENCE = 4, 2.0
# Seconds that a request waits until its call begins.
LONGEST_QUEUE = 5.0
# Seconds for what no request waits for.
UNHURRIED = 10.0
# Seconds without a call after one that got no answer.
PAUSE = 5.0


class DatabaseCalls:
    """A store's calls for requests.

    Args:
        store: The store.
        clock: Seconds, monotonic.
        calls: How many may run at once.
        consequence: The log's words about a database that does not answer.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        *,
        calls: int = CALLS,
        consequence: str = "keys that were in use stay good for a while",
    ) -> None:
        self._store = store
        self._clock = clock
        self._consequence = consequence
        self._calls = BlockingCalls(calls, PATIENCE)
        self._unhurried = BlockingCalls(1, UNHURRIED)
        self._paused_until = 0.0
        self._answers = 0
        self._waiting: set[asyncio.Timeout] = set()
        self._trouble = ""

    async def key(self, digest: str) -> Key | None:
        """Return the key of a digest, or `None`.

        Raises:
            StoreError: The database does not answer.
        """
        return await self.run(self._store.key, digest)

    async def keys(self, limit: int) -> list[Key]:
        """Return all keys, or so many, without their notes. No request waits for them.

        Raises:
            StoreError: The database does not answer.
        """
        try:
            return await self._unhurried.run(self._store.all_keys, limit, notes=False)
        except TimeoutError:
            raise StoreError(f"the database did not list its keys within {UNHURRIED:g} s") from None

    async def ping(self) -> None:
        """Raise `StoreError` if the database does not answer, or has tables that do not fit."""
        await self.run(self._store.ping)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of a call of the store.

        Raises:
            StoreBusy: It answers, but too many calls were before this one.
            StoreError: The database does not answer.
        """
        self._check_pause()
        await self._enter()
        try:
            result = await self._calls.run_entered(work, *args, **kwargs)
        except TimeoutError:
            raise self._rest(StoreError(f"the database did not answer within {PATIENCE:g} s")) from None
        except SchemaMismatch as error:
            # It answers, and keys can be looked up as long as that works.
            self._say(str(error))
            raise
        except StoreError as error:
            raise self._rest(error) from None
        self._answers += 1
        self._say("")
        return result

    def _check_pause(self) -> None:
        if self._clock() < self._paused_until:
            raise StoreError(f"the database did not answer; it is tried again within {PAUSE:g} s")

    async def _enter(self) -> None:
        """Wait for a place; a long queue does not mean that the database is silent."""
        answers = self._answers
        waiting = asyncio.timeout(LONGEST_QUEUE)
        try:
            async with waiting:
                self._waiting.add(waiting)
                await self._calls.enter()
        except TimeoutError:
            self._check_pause()
            if self._answers > answers:
                raise StoreBusy("the database has too much to do") from None
            raise self._rest(StoreError(f"the database did not answer within {LONGEST_QUEUE:g} s")) from None
        finally:
            self._waiting.discard(waiting)
        try:
            self._check_pause()
        except StoreError:
            self._calls.leave()
            raise

    def _rest(self, error: StoreError) -> StoreError:
        self._paused_until = self._clock() + PAUSE
        # Calls that wait for a place need not wait for those that hang.
        for waiting in self._waiting:
            waiting.reschedule(0.0)
        self._waiting.clear()
        self._say(str(error))
        return error

    def _say(self, trouble: str) -> None:
        """Log what has changed, once."""
        if trouble and not self._trouble:
            _log.error("%s; %s", trouble, self._consequence)
        elif self._trouble and not trouble:
            _log.warning("the database answers again")
        self._trouble = trouble
