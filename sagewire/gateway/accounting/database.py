"""Keys and usage in a database: SQLite in a file of its own, or PostgreSQL by URL. Every call here blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from sagewire.errors import SagewireError, UsageError
from sagewire.gateway.keys import Key

__all__ = ["Store", "StoreError", "UsageRow", "default_url", "open_store"]

_tables = sa.MetaData()
_keys = sa.Table(
    "sagewire_keys",
    _tables,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False, unique=True),
    sa.Column("models", sa.JSON, nullable=True),
    sa.Column("expires", sa.DateTime(timezone=True), nullable=True),
    sa.Column("requests_per_minute", sa.Integer, nullable=True),
    sa.Column("tokens_per_minute", sa.Integer, nullable=True),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
)
_COUNTS = ("requests", "failures", "unmetered", "prompt_tokens", "completion_tokens")
_usage = sa.Table(
    "sagewire_usage",
    _tables,
    sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("key_name", sa.String(200), primary_key=True),
    sa.Column("model", sa.String(200), primary_key=True),
    *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in _COUNTS),
)


class StoreError(SagewireError):
    """The database does not do what it should; keys cannot be checked, or usage not be written down."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one key used of one model in one hour.

    Args:
        hour: The hour's beginning, UTC.
        key_name: The key.
        model: The model.
        requests: All requests.
        failures: Those that ended in an error.
        unmetered: Those whose token counts the server did not give, or that were given up before it could.
        prompt_tokens: As the server counted.
        completion_tokens: As the server counted.
    """

    hour: datetime
    key_name: str
    model: str
    requests: int = 0
    failures: int = 0
    unmetered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Store:
    """Keys and usage.

    Args:
        engine: Where they are.

    Raises:
        StoreError: The database cannot be reached, or its tables not be made.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        with _as_store_error("open"):
            _tables.create_all(engine)

    def key(self, digest: str) -> Key | None:
        """Return the key of a digest, `None` where there is none."""
        with _as_store_error("look up a key in"), self._engine.connect() as connection:
            row = connection.execute(sa.select(_keys).where(_keys.c.digest == digest)).mappings().first()
        return None if row is None else _as_key(row)

    def all_keys(self) -> list[Key]:
        """Return all keys, by name."""
        with _as_store_error("list the keys in"), self._engine.connect() as connection:
            rows = connection.execute(sa.select(_keys).order_by(_keys.c.name)).mappings().all()
        return [_as_key(row) for row in rows]

    def add_key(self, key: Key) -> None:
        """Keep a key.

        Raises:
            UsageError: There is one of that name.
        """
        row = {
            "digest": key.digest,
            "name": key.name,
            "models": None if key.models is None else list(key.models),
            "expires": key.expires,
            "requests_per_minute": key.requests_per_minute,
            "tokens_per_minute": key.tokens_per_minute,
            "created": datetime.now(UTC),
        }
        try:
            with _as_store_error("add a key to"), self._engine.begin() as connection:
                connection.execute(sa.insert(_keys).values(**row))
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise UsageError(f"there is a key named {key.name!r} already; revoke it first") from None
            raise

    def remove_key(self, name: str) -> bool:
        """Forget a key; return whether there was one. Its usage stays."""
        with _as_store_error("remove a key from"), self._engine.begin() as connection:
            return connection.execute(sa.delete(_keys).where(_keys.c.name == name)).rowcount > 0

    def add_usage(self, rows: Iterable[UsageRow]) -> None:
        """Add to the counts; each row is added to the one of its hour, key and model."""
        dialect: Any = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        with _as_store_error("write usage to"), self._engine.begin() as connection:
            # In one order everywhere, so that two workers never wait for each other's rows.
            for row in sorted(rows, key=lambda one: (one.hour, one.key_name, one.model)):
                values = {"hour": row.hour, "key_name": row.key_name, "model": row.model}
                counts = {name: getattr(row, name) for name in _COUNTS}
                insert = dialect.insert(_usage).values(**values, **counts)
                added = {name: _usage.c[name] + insert.excluded[name] for name in _COUNTS}
                connection.execute(insert.on_conflict_do_update(index_elements=list(values), set_=added))

    def usage(self, since: datetime | None = None, key_name: str | None = None) -> list[UsageRow]:
        """Return usage by hour, oldest first."""
        query = sa.select(_usage).order_by(_usage.c.hour, _usage.c.key_name, _usage.c.model)
        if since is not None:
            query = query.where(_usage.c.hour >= since)
        if key_name is not None:
            query = query.where(_usage.c.key_name == key_name)
        with _as_store_error("read usage from"), self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [UsageRow(**{**row, "hour": _utc(row["hour"])}) for row in rows]

    def ping(self) -> None:
        """Raise `StoreError` where the database does not answer."""
        with _as_store_error("reach"), self._engine.connect() as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def default_url() -> str:
    """Return the URL of the SQLite file that is used where none is configured."""
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    return f"sqlite:///{state / 'sagewire' / 'gateway.db'}"


def open_store(url: str | None = None) -> Store:
    """Return the store at a database URL, made where it is not there yet.

    Args:
        url: `sqlite:///file.db`, `sqlite://` for memory, or `postgresql://user:password@host/name`; else
            `default_url()`.

    Raises:
        UsageError: The URL is none, or its driver is not installed.
        StoreError: The database cannot be reached.
    """
    try:
        parsed = sa.make_url(url or default_url())
    except SQLAlchemyError:
        raise UsageError("the database URL cannot be read; write postgresql://user:password@host:5432/name") from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(f"keys and usage are kept in SQLite or PostgreSQL, not in {parsed.get_backend_name()!r}")
    try:
        return Store(_engine(parsed))
    except ImportError as error:
        raise UsageError(f"this database needs {error.name}: pip install 'sagewire[gateway-cluster]'") from None


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        # A worker writes one batch at a time, and looks up a key now and then.
        return sa.create_engine(
            url, pool_size=2, max_overflow=3, pool_pre_ping=True, connect_args={"connect_timeout": 10}
        )
    if not url.database or url.database == ":memory:":
        # One connection, or every thread would have an empty database of its own.
        return sa.create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the directory of {url.database}: {error.strerror}; set database_url") from None
    engine = sa.create_engine(url, connect_args={"timeout": 10})

    @sa.event.listens_for(engine, "connect")
    def _tune(connection: Any, record: Any) -> None:
        # Several workers share the file: readers and one writer at a time get along in WAL mode.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


@contextmanager
def _as_store_error(doing: str) -> Iterator[None]:
    """Turn SQLAlchemy's errors, which quote statements and parameters, into one line."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or type(error).__name__
        reason = str(cause).strip().partition("\n")[0]
        raise StoreError(f"cannot {doing} the database: {reason}") from error


def _as_key(row: Any) -> Key:
    return Key(
        row["name"],
        row["digest"],
        None if row["models"] is None else tuple(row["models"]),
        None if row["expires"] is None else _utc(row["expires"]),
        row["requests_per_minute"],
        row["tokens_per_minute"],
    )


def _utc(moment: datetime) -> datetime:
    # SQLite gives back what it was given, without the zone.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
