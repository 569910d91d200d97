"""Usage on its way to the database: counted at once, written in batches, kept while the database does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sagewire.gateway.accounting.database import Batch, Store
from sagewire.gateway.accounting.recent_requests import RecentRequests
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.accounting.tables import COUNTS, LATENCIES, UsageRow
from sagewire.gateway.threads import in_thread
from sagewire.types import Usage

__all__ = ["UsageWriter"]

_log = logging.getLogger("sagewire.gateway")
INTERVAL = 2.0
# Seconds for the last counts when the process ends: longer than a connection that is lost is waited for.
LAST_SECONDS = 12.0
# A server may count whatever it likes; a row of the database holds 64 bits.
MOST_TOKENS = 10**12
MOST_IN_A_ROW = 2**62
# Characters of names in the database.
NAME = 200
_HOUR = timedelta(hours=1)
# In a row, the counts of latencies are the last ones.
_FIRST_LATENCY = len(COUNTS) - len(LATENCIES) - 1


class UsageWriter:
    """Counts of this process that are not in the database yet.

    Args:
        store: Their destination.
        clock: The time of day.

    Attributes:
        recent: The newest requests, which are written along.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._clock = clock
        self.recent = RecentRequests(store)
        self._rows: dict[tuple[datetime, str, str, str], list[int]] = {}
        self._hour = datetime.min.replace(tzinfo=UTC)
        self._batches: deque[list[UsageRow]] = deque()
        self._writer = uuid.uuid4().hex
        self._number = 1
        self._flushing = asyncio.Lock()
        self._writing: asyncio.Task[None] | None = None
        self._trouble = ""

    def note(
        self,
        key_name: str,
        model: str,
        usage: Usage | None,
        *,
        failed: bool,
        unmetered: bool | None = None,
        cost: int = 0,
        seconds: float | None = None,
        account: str = "",
    ) -> None:
        """Count one request that has ended.

        Args:
            key_name: Whose it was.
            model: The model that answered.
            usage: Token counts if the server gave them.
            failed: It ended in an error.
            unmetered: It used tokens that were not counted; default: if there are neither counts nor an error.
            cost: Its cost in nanodollars.
            seconds: How long it took; counted if it did not fail.
            account: The key's account, to which the cost is added.
        """
        now = self._clock()
        if not self._hour <= now < self._hour + _HOUR:
            self._hour = now.replace(minute=0, second=0, microsecond=0)
        place = (self._hour, key_name[:NAME], model[:NAME], account)
        sums = self._rows.get(place)
        if sums is None:
            sums = self._rows[place] = [0] * len(COUNTS)
        sums[0] += 1
        sums[1] += failed
        sums[2] += usage is None and not failed if unmetered is None else unmetered
        if usage is not None:
            sums[3] += _count(usage.prompt_tokens)
            sums[4] += _count(usage.completion_tokens)
        sums[5] += cost
        if seconds is not None and not failed:
            sums[_FIRST_LATENCY + bisect_left(LATENCIES, seconds)] += 1

    def start(self) -> None:
        """Write to the database every other second from now on."""
        self._writing = asyncio.create_task(self._write_on(), name="sagewire-usage_writer")

    async def close(self) -> None:
        """Write the remaining counts, as far as there is time before this process is killed."""
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self.flush()
        self._take()
        lost = sum(row.requests for batch in self._batches for row in batch)
        if lost:
            _log.error("usage of %d requests could not be written and is lost: the database does not answer", lost)

    async def flush(self) -> None:
        """Write everything now; counts that cannot be written are kept for the next time."""
        async with self._flushing:
            try:
                # What failed comes first, and as it was: its commit may have arrived, and only the answer be lost.
                await self._write_batches()
                self._take()
                await self._write_batches()
                await self._write_recent()
            except StoreError as error:
                self._say(str(error))
            else:
                self._say("")

    def _say(self, trouble: str) -> None:
        """Log what has changed, once: it is tried again every other second."""
        if trouble and not self._trouble:
            _log.error("usage is not written yet, and kept: %s", trouble)
        elif self._trouble and not trouble:
            _log.warning("usage is written again, with all that was kept")
        self._trouble = trouble

    async def _write_recent(self) -> None:
        requests = self.recent.take()
        if requests:
            try:
                await in_thread(self.recent.write, requests)
            except Exception as error:
                # They are for looking at only: later there will be newer ones.
                _log.warning("recent requests are not written: %s", type(error).__name__)

    def _take(self) -> None:
        """Make a batch of what was counted since the last one."""
        counted, self._rows = self._rows, {}
        rows = [
            UsageRow.of(hour, name, model, tuple(min(MOST_IN_A_ROW, sum) for sum in sums), account)
            for (hour, name, model, account), sums in counted.items()
        ]
        if rows:
            self._batches.append(rows)

    async def _write_batches(self) -> None:
        while self._batches:
            rows = self._batches[0]
            try:
                await in_thread(self._store.add_usage, rows, Batch(self._writer, self._number))
            except StoreError:
                raise
            except Exception as error:
                self._batches.popleft()
                if len(rows) == 1:
                    name, kind = rows[0].key_name, type(error).__name__
                    _log.error("usage of key %r cannot be written and is lost: %s", name, kind)
                else:
                    # One by one, so that a row that cannot be written takes no other with it.
                    self._batches.extendleft([row] for row in reversed(rows))
                continue
            self._batches.popleft()
            self._number += 1

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            # A batch that is being written is written to its end.
            await asyncio.shield(self.flush())


def _count(tokens: int | None) -> int:
    return min(MOST_TOKENS, max(0, tokens or 0))
