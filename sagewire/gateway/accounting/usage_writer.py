"""Usage on its way to the database: counted at once, written in batches, never lost to a slow or absent database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime

from sagewire.gateway.accounting.database import Store, StoreError, UsageRow
from sagewire.types import Usage

__all__ = ["UsageWriter"]

_log = logging.getLogger("sagewire.gateway")
_COUNTS = tuple(field.name for field in fields(UsageRow))[3:]
INTERVAL = 2.0


class UsageWriter:
    """Counts of this process that are not in the database yet.

    Args:
        store: Where they go.
        clock: The time of day.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._clock = clock
        self._rows: dict[tuple[datetime, str, str], UsageRow] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, key_name: str, model: str, usage: Usage | None, *, failed: bool) -> None:
        """Count one request that has ended.

        Args:
            key_name: Whose it was.
            model: The model that answered.
            usage: Token counts where the server gave them.
            failed: It ended in an error.
        """
        hour = self._clock().replace(minute=0, second=0, microsecond=0)
        counts = UsageRow(
            hour,
            key_name,
            model,
            requests=1,
            failures=int(failed),
            unmetered=int(usage is None and not failed),
            prompt_tokens=(usage.prompt_tokens if usage else None) or 0,
            completion_tokens=(usage.completion_tokens if usage else None) or 0,
        )
        self._add(counts)

    def start(self) -> None:
        """Write to the database every other second from now on."""
        self._writing = asyncio.create_task(self._write_on(), name="sagewire-usage_writer")

    async def close(self) -> None:
        """Write what is left."""
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        await self.flush()

    async def flush(self) -> None:
        """Write everything now; what cannot be written is kept for the next time."""
        rows, self._rows = list(self._rows.values()), {}
        if not rows:
            return
        try:
            await asyncio.to_thread(self._store.add_usage, rows)
        except StoreError as error:
            _log.error("usage is not written yet: %s", error)
            for row in rows:
                self._add(row)

    def _add(self, row: UsageRow) -> None:
        place = (row.hour, row.key_name, row.model)
        before = self._rows.get(place)
        if before is not None:
            row = replace(row, **{name: getattr(before, name) + getattr(row, name) for name in _COUNTS})
        self._rows[place] = row

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            # A batch that is being written is written to its end.
            await asyncio.shield(self.flush())
