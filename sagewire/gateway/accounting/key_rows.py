"""Keys as rows of the database, and what belongs to them in other tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from sagewire.gateway.accounting.tables import COSTS, KEYS, RESERVED, SPEND, as_utc
from sagewire.gateway.keys import Key

__all__ = ["LOOKED_UP", "as_key", "forget_budget", "move_account", "values_of"]

# Columns that requests need.
LOOKED_UP = [column for column in KEYS.c if column.name != "notes"]


def move_account(connection: sa.Connection, before: str, name: str) -> None:
    """Let what is counted under a name follow its key to another name."""
    for column in (SPEND.c.key_name, RESERVED.c.key_name, COSTS.c.account):
        if column.table is not RESERVED:
            connection.execute(sa.delete(column.table).where(column == name))
        connection.execute(sa.update(column.table).where(column == before).values({column: name}))


def forget_budget(connection: sa.Connection, account: str) -> None:
    """Delete what is counted of the budget of an account."""
    connection.execute(sa.delete(SPEND).where(SPEND.c.key_name == account))
    connection.execute(sa.delete(RESERVED).where(RESERVED.c.key_name == account))


def as_key(row: Any) -> Key:
    """Return the key of a row."""
    return Key(
        row["name"],
        row["digest"],
        None if row["models"] is None else tuple(row["models"]),
        None if row["expires"] is None else as_utc(row["expires"]),
        row["requests_per_minute"],
        row["tokens_per_minute"],
        row["max_budget"],
        row["budget_duration"],
        row["max_parallel_requests"],
        {name: (limits[0], limits[1]) for name, limits in (row["model_limits"] or {}).items()},
        row["blocked"],
        row["account"],
        row.get("notes") or {},
        as_utc(row["created"]),
        None if row["named"] is None else as_utc(row["named"]),
    )


def values_of(key: Key) -> dict[str, Any]:
    """Return the columns that can be changed."""
    return {
        "name": key.name,
        "models": None if key.models is None else list(key.models),
        "expires": key.expires,
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "max_budget": key.max_budget,
        "budget_duration": key.budget_duration,
        "max_parallel_requests": key.max_parallel_requests,
        "model_limits": {name: list(limits) for name, limits in key.model_limits.items()} or None,
        "blocked": key.blocked,
        "notes": dict(key.notes) or None,
    }
