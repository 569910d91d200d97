"""The newest requests, with status and reason and without content, in the database that all workers share."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sagewire.gateway.accounting.costs import dollars
from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.tables import REQUESTS, as_utc
from sagewire.gateway.request_log import RequestLog

__all__ = ["RecentRequests"]

# Kept of those that failed, and of the others; and of each at most so many of a worker's two seconds.
KEPT = 500
AT_ONCE = 50
MOST_TOKENS = 2**62
_SHOWN = (
    "request_id", "route", "model", "status", "error", "milliseconds", "first_piece_milliseconds", "prompt_tokens",
    "completion_tokens",
)  # fmt: skip
ROUTES = frozenset({"chat", "completions", "responses", "embeddings", "rerank"})


class RecentRequests:
    """The requests that are kept for a while: under load a sample, with places of their own for those that failed.

    Args:
        store: Their database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[bool, deque[tuple[RequestLog, str, float]]] = {
            failed: deque(maxlen=AT_ONCE) for failed in (False, True)
        }

    def note(self, log: RequestLog, model: str) -> None:
        """Remember a request of a model that has ended.

        Args:
            log: Its facts.
            model: The entry of the configuration that served it, or should have.
        """
        if log.key is None or log.route not in ROUTES:
            return
        # Most of them make way for later ones: only those that are left become rows.
        self._waiting[log.error is not None].append((log, model, log.seconds))

    def take(self) -> list[dict[str, Any]]:
        """Return what is not written yet, oldest first, and forget it."""
        waiting = [one for requests in self._waiting.values() for one in requests]
        rows = sorted((_row(*one) for one in waiting), key=lambda row: row["time"])
        for requests in self._waiting.values():
            requests.clear()
        return rows

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Write requests to the database, and delete the oldest there. It blocks.

        Raises:
            StoreError: The database does not answer.
        """
        with self._store.transaction("write requests to") as connection:
            connection.execute(sa.insert(REQUESTS), rows)
            for failed in {row["failed"] for row in rows}:
                same = REQUESTS.c.failed == failed
                oldest = sa.select(REQUESTS.c.id).where(same).order_by(REQUESTS.c.id.desc()).offset(KEPT).limit(1)
                connection.execute(sa.delete(REQUESTS).where(same, REQUESTS.c.id <= oldest.scalar_subquery()))

    def newest(
        self,
        *,
        key_name: str | None = None,
        model: str | None = None,
        failed: bool = False,
        limit: int = 100,
        since: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Return requests, newest first. It blocks.

        Args:
            key_name: Only those of this key.
            model: Only those of this model.
            failed: Only those that failed.
            limit: At most so many.
            since: Only those that came then or later.

        Raises:
            StoreError: The database does not answer.
        """
        query = sa.select(REQUESTS).order_by(REQUESTS.c.time.desc(), REQUESTS.c.id.desc()).limit(limit)
        if key_name is not None:
            query = query.where(REQUESTS.c.key_name == key_name)
        if model is not None:
            query = query.where(REQUESTS.c.model == model)
        if failed:
            query = query.where(REQUESTS.c.failed)
        if since is not None:
            query = query.where(REQUESTS.c.time >= since)
        return [_shown(row) for row in self._store.rows(query, "read requests from")]


def _row(log: RequestLog, model: str, seconds: float) -> dict[str, Any]:
    usage = log.usage
    return {
        "failed": log.error is not None,
        "time": log.arrived,
        "request_id": log.request_id[:64],
        "route": log.route,
        "key_name": log.key.name[:200] if log.key else "",
        "model": model[:200],
        "status": log.status,
        "error": log.error and log.error[:200],
        "milliseconds": round(seconds * 1000),
        "first_piece_milliseconds": None if log.first_piece is None else round(log.first_piece * 1000),
        "prompt_tokens": _bounded(usage.prompt_tokens if usage else None),
        "completion_tokens": _bounded(usage.completion_tokens if usage else None),
        "nanodollars": log.cost,
    }


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "time": as_utc(row["time"]).isoformat(timespec="milliseconds"),
        "key": row["key_name"],
        "cost": dollars(row["nanodollars"]),
        **{name: row[name] for name in _SHOWN},
    }


def _bounded(tokens: int | None) -> int | None:
    return None if tokens is None else min(MOST_TOKENS, max(0, tokens))
