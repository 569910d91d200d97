"""The tables of the gateway's database, and the rows of usage."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

__all__ = [
    "BATCHES",
    "COSTS",
    "COUNTS",
    "KEYS",
    "LATENCIES",
    "MOST",
    "RATES",
    "REQUESTS",
    "RESERVED",
    "RESPONSES",
    "RESPONSE_ITEMS",
    "SPEND",
    "TABLES",
    "USAGE",
    "UsageRow",
    "as_utc",
    "bounded_sum",
]

TABLES = sa.MetaData()
# Upper bounds in seconds; slower requests are in one more class.
LATENCIES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
# No sum is larger: two of them still fit into 64 bits.
MOST = 2**62 - 1


class bounded_sum(GenericFunction[int]):
    """SQL's `sum` of a column of counts, 0 for no rows and at most `MOST`; `sum` itself fails beyond 64 bits."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(bounded_sum, "sqlite")
def _in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    # `total` is a float, which is exact up to 2**53.
    return f"CAST(MIN(TOTAL({compiler.process(element.clauses, **options)}), {MOST}) AS INTEGER)"


@compiles(bounded_sum, "postgresql")
def _in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"CAST(LEAST(COALESCE(SUM({compiler.process(element.clauses, **options)}), 0), {MOST}) AS BIGINT)"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The usage of one model by one key in one hour.

    Args:
        hour: The hour's beginning, UTC.
        key_name: The key.
        model: The model.
        requests: All requests.
        failures: Those that ended in an error.
        unmetered: Those whose token counts the server did not give, or that the caller left before it could.
        prompt_tokens: As the server counted.
        completion_tokens: As the server counted.
        nanodollars: The cost, see `accounting.costs`.
        latencies: How many successful requests took how long, by the classes of `LATENCIES`.
        account: What the cost is counted under, see `Key.account`; empty for none. Not of rows that were read.
    """

    hour: datetime
    key_name: str
    model: str
    requests: int = 0
    failures: int = 0
    unmetered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    nanodollars: int = 0
    latencies: tuple[int, ...] = (0,) * (len(LATENCIES) + 1)
    account: str = ""

    @property
    def counts(self) -> tuple[int, ...]:
        """All counts, in the order of `COUNTS`."""
        return (*(getattr(self, name) for name in _SINGLE), *self.latencies)

    @classmethod
    def of(cls, hour: datetime, key_name: str, model: str, counts: tuple[int, ...], account: str = "") -> UsageRow:
        """Return the row with the counts, in the order of `COUNTS`."""
        single = dict(zip(_SINGLE, counts, strict=False))
        return cls(hour, key_name, model, latencies=counts[len(_SINGLE) :], account=account, **single)


_SINGLE = tuple(field.name for field in fields(UsageRow))[3:-2]
# Their columns.
COUNTS = (*_SINGLE, *(f"latency_{number}" for number in range(len(LATENCIES) + 1)))

KEYS = sa.Table(
    "sagewire_keys",
    TABLES,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False, unique=True),
    sa.Column("models", sa.JSON, nullable=True),
    sa.Column("expires", sa.DateTime(timezone=True), nullable=True),
    sa.Column("requests_per_minute", sa.Integer, nullable=True),
    sa.Column("tokens_per_minute", sa.Integer, nullable=True),
    sa.Column("max_budget", sa.Float, nullable=True),
    sa.Column("budget_duration", sa.String(10), nullable=True),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    # What it spends and uses is counted under; of keys from before there was this column, their names.
    sa.Column("account", sa.String(200), nullable=True),
    sa.Column("blocked", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("max_parallel_requests", sa.Integer, nullable=True),
    sa.Column("model_limits", sa.JSON(none_as_null=True), nullable=True),
    # For those who manage keys: metadata, and whose it is.
    sa.Column("notes", sa.JSON(none_as_null=True), nullable=True),
    # When it got its name, if not when it was made.
    sa.Column("named", sa.DateTime(timezone=True), nullable=True),
)
USAGE = sa.Table(
    "sagewire_usage",
    TABLES,
    sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("key_name", sa.String(200), primary_key=True),
    sa.Column("model", sa.String(200), primary_key=True),
    *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in COUNTS),
)
# What all requests of each key have cost, by its account.
COSTS = sa.Table(
    "sagewire_key_costs",
    TABLES,
    sa.Column("account", sa.String(200), primary_key=True),
    sa.Column("nanodollars", sa.BigInteger, nullable=False),
)
# The dollars that keys with a budget have spent, reservations included. `key_name` is the key's account, which for
# releases before 1.6 was its name; also below.
SPEND = sa.Table(
    "sagewire_spend",
    TABLES,
    sa.Column("key_name", sa.String(200), primary_key=True),
    sa.Column("nanodollars", sa.BigInteger, nullable=False),
    sa.Column("resets_at", sa.DateTime(timezone=True), nullable=True),
)
# The part of that which is set aside for requests; one whose process was killed is given back after a while.
RESERVED = sa.Table(
    "sagewire_budget_reservations",
    TABLES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("key_name", sa.String(200), nullable=False),
    sa.Column("nanodollars", sa.BigInteger, nullable=False),
    sa.Column("resets_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("until", sa.DateTime(timezone=True), nullable=False),
)
# The last batch of usage that each process has written.
BATCHES = sa.Table(
    "sagewire_usage_batches",
    TABLES,
    sa.Column("writer", sa.String(32), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("written", sa.DateTime(timezone=True), nullable=False),
)
# The newest requests, for the operators' page.
REQUESTS = sa.Table(
    "sagewire_requests",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("failed", sa.Boolean, nullable=False, index=True),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("route", sa.String(40), nullable=False),
    sa.Column("key_name", sa.String(200), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("error", sa.String(200), nullable=True),
    sa.Column("milliseconds", sa.Integer, nullable=False),
    sa.Column("first_piece_milliseconds", sa.Integer, nullable=True),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=True),
    sa.Column("completion_tokens", sa.BigInteger, nullable=True),
    sa.Column("nanodollars", sa.BigInteger, nullable=False),
)
# Requests and tokens of this minute and the one before, see `rate_table`.
RATES = sa.Table(
    "sagewire_rates",
    TABLES,
    sa.Column("counter", sa.String(32), primary_key=True),
    sa.Column("minute", sa.BigInteger, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("previous", sa.BigInteger, nullable=False),
)
# SQLite numbers rows by itself only in a column of this type.
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
# Answers of the Responses API that later requests of the same key may refer to.
RESPONSES = sa.Table(
    "sagewire_responses",
    TABLES,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("id", sa.String(80), nullable=False),
    sa.Column("previous_id", sa.String(80), nullable=True),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    # The object without its output, as JSON.
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("owner", "id", name="uq_sagewire_responses_id"),
)
# Their input, and then their output.
RESPONSE_ITEMS = sa.Table(
    "sagewire_response_items",
    TABLES,
    sa.Column("response", _NUMBER, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("owner", sa.String(200), nullable=False),
    # Of items whose ids were made here, and which requests may refer to.
    sa.Column("item_id", sa.String(80), nullable=True),
    sa.Column("output", sa.Boolean, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_sagewire_response_items_id", "owner", "item_id"),
)


def as_utc(moment: datetime) -> datetime:
    """Return a moment of the database in UTC: SQLite gives back what it was given, without the zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
