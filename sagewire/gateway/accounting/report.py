"""Usage over time, by model and by key: what the operators' page draws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from sagewire.gateway.accounting.costs import dollars
from sagewire.gateway.accounting.database import Store
from sagewire.gateway.accounting.tables import COUNTS, LATENCIES, USAGE, UsageRow, as_utc, bounded_sum

__all__ = ["HOURS", "percentile", "report"]

# Hours that a report may look back -> hours of one step in it.
HOURS = {24: 1, 168: 6, 720: 24}
# Models, and keys, in a report: those with the most requests.
MOST_NAMES = 200
Counts = tuple[int, ...]


def report(
    store: Store,
    hours: int,
    *,
    key_name: str | None = None,
    model: str | None = None,
    now: datetime | None = None,
    since: datetime | None = None,
) -> dict[str, Any]:
    """Return usage in equal steps up to now, and the sums by model and by key. It blocks.

    Args:
        store: The database.
        hours: How far to look back, one of `HOURS`.
        key_name: Only the usage of this key.
        model: Only the usage of this model.
        now: Default: now.
        since: Only the usage of the hours that began then or later.

    Raises:
        StoreError: The database does not answer.
    """
    step = timedelta(hours=HOURS[hours])
    this_hour = (now or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0)
    first = this_hour + timedelta(hours=1) - timedelta(hours=hours)
    where = [USAGE.c.hour >= first]
    if key_name is not None:
        where.append(USAGE.c.key_name == key_name)
    if since is not None:
        where.append(USAGE.c.hour >= since)
    if model is not None:
        where.append(USAGE.c.model == model)
    steps: list[Counts] = [(0,) * len(COUNTS)] * (hours // HOURS[hours])
    for hour, counts in _sums(store, USAGE.c.hour, where):
        number = int((as_utc(hour) - first) / step)
        if 0 <= number < len(steps):
            steps[number] = tuple(map(sum, zip(steps[number], counts, strict=True)))
    return {
        "since": first.isoformat(),
        "step_seconds": int(step.total_seconds()),
        "series": [{"at": (first + number * step).isoformat(), **_told(one)} for number, one in enumerate(steps)],
        "total": _told(tuple(map(sum, zip(*steps, strict=True)))),
        "models": _by_name(store, USAGE.c.model, where),
        "keys": _by_name(store, USAGE.c.key_name, where),
    }


def _sums(store: Store, by: sa.Column[Any], where: list[sa.ColumnElement[bool]]) -> list[tuple[Any, Counts]]:
    sums = [bounded_sum(USAGE.c[name]) for name in COUNTS]
    query = sa.select(by.label("by"), *(one.label(name) for one, name in zip(sums, COUNTS, strict=True)))
    query = query.where(*where).group_by(by).order_by(sums[0].desc(), by)
    if by is not USAGE.c.hour:
        query = query.limit(MOST_NAMES)
    return [(row["by"], tuple(row[name] for name in COUNTS)) for row in store.rows(query, "read usage from")]


def _by_name(store: Store, by: sa.Column[Any], where: list[sa.ColumnElement[bool]]) -> list[dict[str, Any]]:
    return [{"name": name, **_told(counts)} for name, counts in _sums(store, by, where)]


def _told(counts: Counts) -> dict[str, Any]:
    row = UsageRow.of(datetime.min, "", "", counts)
    return {
        "requests": row.requests,
        "failures": row.failures,
        "unmetered": row.unmetered,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cost": dollars(row.nanodollars),
        "p50": percentile(row.latencies, 0.5),
        "p95": percentile(row.latencies, 0.95),
    }


def percentile(latencies: Counts, share: float) -> float | None:
    """Return the seconds within which a share of requests ended, `None` if there are none.

    Within a class, times count as spread evenly; slower than the last bound counts as that bound.

    Example:
        >>> percentile((0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0), 0.5)
        0.35
    """
    wanted = share * sum(latencies)
    lower = 0.0
    for count, upper in zip(latencies, (*LATENCIES, LATENCIES[-1]), strict=True):
        if count and wanted <= count:
            return round(lower + (upper - lower) * wanted / count, 3)
        wanted -= count
        lower = upper
    return None
