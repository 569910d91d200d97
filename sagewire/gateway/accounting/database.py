"""Keys, usage and spend in a database: SQLite in its own file, or PostgreSQL by URL. Every call here blocks."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from sagewire._extras import install_command
from sagewire.errors import UsageError
from sagewire.gateway.accounting.key_rows import LOOKED_UP, as_key, forget_budget, move_account, values_of
from sagewire.gateway.accounting.schema import check_schema, update_schema
from sagewire.gateway.accounting.store_errors import StoreError, as_store_error
from sagewire.gateway.accounting.tables import (
    BATCHES,
    COSTS,
    COUNTS,
    KEYS,
    MOST,
    RESPONSE_ITEMS,
    RESPONSES,
    USAGE,
    UsageRow,
    as_utc,
)
from sagewire.gateway.keys import Key, digest_of

__all__ = ["Batch", "Store", "default_url", "open_store"]

_log = logging.getLogger("sagewire.gateway")
_ATTEMPTS = 5
# Stored responses that one transaction deletes.
_RESPONSES_AT_ONCE = 100
# A process that has written nothing for so long has no batch to repeat.
_WRITERS_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Batch:
    """The name of rows that are written together.

    Args:
        writer: The process.
        number: Its how many-th batch, from 1.
    """

    writer: str
    number: int


class Store:
    """Keys and usage.

    Args:
        engine: Their database.
        update: Make or update its tables; without that nothing is asked of it yet.

    Attributes:
        in_memory: No other process can see it.
        on_network: Other machines can see it.

    Raises:
        SchemaMismatch: Its tables are of a release that this one cannot work with.
        StoreError: It cannot be reached, or its tables cannot be made or updated.
    """

    def __init__(self, engine: sa.Engine, *, update: bool = True) -> None:
        self._engine = engine
        self.in_memory = in_memory = isinstance(engine.pool, StaticPool)
        # SQLite has one writer at a time, for whom it waits by polling; in memory it has one connection for all.
        self._lock = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        self.on_network = engine.dialect.name != "sqlite"
        self._read_lock = self._lock if in_memory else nullcontext()
        try:
            if update:
                self._update()
        except BaseException:
            engine.dispose()
            raise

    def _update(self) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                update_schema(self._engine)
                return
            except StoreError as error:
                # Two that start on a new SQLite file: one changes its journal, for which the other does not wait.
                if attempt == _ATTEMPTS - 1 or "locked" not in str(error):
                    raise
                time.sleep(0.1 * 2**attempt)

    @property
    def place(self) -> str:
        """The database's URL, without a password."""
        url = self._engine.url
        if url.get_backend_name() == "sqlite":
            return url.database or "memory"
        # As it is configured: without the driver.
        return url.set(drivername=url.get_backend_name()).render_as_string()

    def key(self, digest: str) -> Key | None:
        """Return the key of a digest, without its notes, or `None`."""
        rows = self.rows(sa.select(*LOOKED_UP).where(KEYS.c.digest == digest), "look up a key in")
        return as_key(rows[0]) if rows else None

    def all_keys(self, limit: int | None = None, *, notes: bool = True) -> list[Key]:
        """Return all keys, or so many, by name; with their notes, which may be long, or without."""
        query = sa.select(*(KEYS.c if notes else LOOKED_UP)).order_by(KEYS.c.name).limit(limit)
        return [as_key(row) for row in self.rows(query, "list the keys in")]

    def keys_named(self, text: str) -> list[Key]:
        """Return the keys that a text is, or the hash or the name of, with their notes."""
        if "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
            return []  # not every database takes them
        here = KEYS.c.digest.in_([text, digest_of(text)]) | (KEYS.c.name == text)
        return [as_key(row) for row in self.rows(sa.select(KEYS).where(here), "look up a key in")]

    def add_key(self, key: Key) -> None:
        """Keep a key.

        Raises:
            UsageError: There is a key of that name, or this very key.
        """
        row = {"digest": key.digest, **values_of(key), "account": key.owned}
        row["created"] = key.created or datetime.now(UTC)
        try:
            with self.transaction("add a key to") as connection:
                connection.execute(sa.insert(KEYS).values(**row))
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                if self.key(key.digest) is not None:
                    raise UsageError("this key is kept already, under another or the same name") from None
                raise UsageError(f"there is a key named {key.name!r} already; revoke it first") from None
            raise

    def update_key(self, key: Key, before: Key | None = None) -> bool:
        """Change the key of a digest; return whether there is one. Its spending stays with it.

        Args:
            key: Its name, models, expiry, limits and notes.
            before: As it was, perhaps with another digest; only what differs is written, beside changes by others.

        Raises:
            UsageError: Another key has that name.
        """
        values, old = values_of(key), {} if before is None else values_of(before)
        values = {name: value for name, value in values.items() if name not in old or old[name] != value}
        try:
            with self.transaction("change a key in") as connection:
                # The row is locked from here on, also if nothing changes.
                found = connection.execute(
                    sa.update(KEYS)
                    .where(KEYS.c.digest == (before or key).digest)
                    .values(digest=key.digest)
                    .returning(KEYS.c.name)
                ).scalar()
                here = KEYS.c.digest == key.digest
                if found is None:
                    return False
                if "name" in values and found != key.name:
                    values["named"] = datetime.now(UTC)
                if values:
                    connection.execute(sa.update(KEYS).where(here).values(**values))
                if key.owned is None and "name" in values and found != key.name:
                    move_account(connection, found, key.name)
                if "max_budget" in values and key.max_budget is None:
                    # What it spends from now on is in its costs only, with which a later budget begins.
                    forget_budget(connection, key.account)
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                if before is not None and before.digest != key.digest and self.key(key.digest) is not None:
                    raise UsageError("this key is kept already, under another name") from None
                raise UsageError(f"there is a key named {key.name!r} already; choose another name") from None
            raise
        return True

    def remove_key(self, name: str, digest: str | None = None, *, responses: bool = True) -> bool:
        """Delete a key; return whether there was one. Its usage stays.

        Args:
            name: The key's name.
            digest: Delete the key of this digest instead, whatever its name is by now.
            responses: Delete its stored responses, too. If that fails the key is gone all the same, and they expire.
        """
        with self.transaction("remove a key from") as connection:
            here = KEYS.c.name == name if digest is None else KEYS.c.digest == digest
            gone = sa.delete(KEYS).where(here).returning(KEYS.c.digest, KEYS.c.account, KEYS.c.name)
            owner, account, name = connection.execute(gone).first() or (None, None, name)
            if owner is not None:
                forget_budget(connection, account or name)
                connection.execute(sa.delete(COSTS).where(COSTS.c.account == (account or name)))
        # Not in that transaction: they may be many, and what takes too long is undone as a whole.
        if owner is not None and responses:
            try:
                self._remove_all_responses(owner)
            except StoreError as error:
                _log.warning("key %r is revoked, but its stored responses stay until they expire: %s", name, error)
        return owner is not None

    def _remove_all_responses(self, owner: str) -> None:
        query = sa.select(RESPONSES.c.number).where(RESPONSES.c.owner == owner).limit(_RESPONSES_AT_ONCE)
        while found := [row["number"] for row in self.rows(query, "find responses in")]:
            self.remove_responses(found)

    def move_responses(self, owner: str, new_owner: str) -> None:
        """Let stored responses belong to another key."""
        with self.transaction("change the owner of responses in") as connection:
            for table in (RESPONSES, RESPONSE_ITEMS):
                connection.execute(sa.update(table).where(table.c.owner == owner).values(owner=new_owner))

    def remove_responses(self, numbers: Sequence[int]) -> None:
        """Delete stored responses by their numbers, in one transaction."""
        with self.transaction("delete responses from") as connection:
            connection.execute(sa.delete(RESPONSE_ITEMS).where(RESPONSE_ITEMS.c.response.in_(numbers)))
            connection.execute(sa.delete(RESPONSES).where(RESPONSES.c.number.in_(numbers)))

    def add_usage(self, rows: Sequence[UsageRow], batch: Batch | None = None) -> None:
        """Add to the counts; each row is added to the one of its hour, key and model.

        Args:
            rows: The rows to add.
            batch: Names the rows, so that they are added once only, however often a broken connection makes one try.
        """
        with self.transaction("write usage to") as connection:
            if batch is not None and not self._begin(connection, batch):
                return
            # In one order everywhere, so that two workers never wait for each other's rows.
            for row in sorted(rows, key=lambda one: (one.hour, one.key_name, one.model)):
                values = {"hour": row.hour, "key_name": row.key_name, "model": row.model}
                counts = dict(zip(COUNTS, row.counts, strict=True))
                insert = self.insert(USAGE).values(**values, **counts)
                added = {name: _bounded(USAGE.c[name], insert.excluded[name]) for name in COUNTS}
                connection.execute(insert.on_conflict_do_update(index_elements=list(values), set_=added))
            costs: dict[str, int] = {}
            for row in rows:
                if row.account and row.nanodollars:
                    costs[row.account] = costs.get(row.account, 0) + row.nanodollars
            for account, cost in sorted(costs.items()):
                insert = self.insert(COSTS).values(account=account, nanodollars=min(cost, MOST))
                total = _bounded(COSTS.c.nanodollars, insert.excluded.nanodollars, MOST)
                connection.execute(
                    insert.on_conflict_do_update(index_elements=["account"], set_={"nanodollars": total})
                )

    def _begin(self, connection: sa.Connection, batch: Batch) -> bool:
        """Note a batch as written; return `False` if it has been."""
        now = datetime.now(UTC)
        if batch.number == 1:
            connection.execute(sa.delete(BATCHES).where(BATCHES.c.written < now - _WRITERS_KEPT))
        insert = self.insert(BATCHES).values(writer=batch.writer, number=batch.number, written=now)
        # In one statement: the attempt before may still be running in the server.
        noted = insert.on_conflict_do_update(
            index_elements=["writer"],
            set_={"number": insert.excluded.number, "written": now},
            where=BATCHES.c.number < insert.excluded.number,
        ).returning(BATCHES.c.number)
        return connection.execute(noted).first() is not None

    def usage(self, since: datetime | None = None, key_name: str | None = None) -> list[UsageRow]:
        """Return usage by hour, oldest first."""
        query = sa.select(USAGE).order_by(USAGE.c.hour, USAGE.c.key_name, USAGE.c.model)
        if since is not None:
            query = query.where(USAGE.c.hour >= since)
        if key_name is not None:
            query = query.where(USAGE.c.key_name == key_name)
        return [
            UsageRow.of(as_utc(row["hour"]), row["key_name"], row["model"], tuple(row[name] for name in COUNTS))
            for row in self.rows(query, "read usage from")
        ]

    def rows(self, query: sa.Select[Any], doing: str) -> Sequence[Mapping[Any, Any]]:
        """Return the rows of a query.

        Args:
            query: The query.
            doing: The words for it in errors, "cannot <doing> the database".

        Raises:
            StoreError: The database does not answer.
        """
        with as_store_error(doing), self._read_lock, self._engine.connect() as connection:
            return connection.execute(query).mappings().all()

    def insert(self, table: sa.Table) -> Any:
        """Return an INSERT statement that can say what to do if the row is there already."""
        dialect: Any = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)

    @contextmanager
    def transaction(self, doing: str) -> Iterator[sa.Connection]:
        """Run the block in a transaction that changes something.

        Args:
            doing: The words for it in errors, "cannot <doing> the database".

        Raises:
            StoreError: The database does not answer.
        """
        with as_store_error(doing), self._lock, self._engine.begin() as connection:
            yield connection

    def ping(self) -> None:
        """Raise `StoreError` if the database does not answer, `SchemaMismatch` if its tables do not fit any more."""
        with as_store_error("reach"), self._read_lock, self._engine.connect() as connection:
            check_schema(connection)

    def close(self) -> None:
        """Close all connections; those in use are closed once they are given back."""
        # In memory all share one connection, and closing it under a statement would crash the process.
        with self._read_lock:
            self._engine.dispose()


def default_url() -> str:
    """Return the URL of the SQLite file that is used if none is configured."""
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    return f"sqlite:///{state / 'sagewire' / 'gateway.db'}"


def open_store(url: str | None = None, *, update: bool = True) -> Store:
    """Return the store at a database URL, made if it does not exist yet.

    Args:
        url: `sqlite:///file.db`, `sqlite://` for memory, or `postgresql://user:password@host/name`; default:
            `default_url()`.
        update: Make or update its tables; `False` for a process whose parent has done so.

    Raises:
        UsageError: The URL is not valid, or its driver is not installed.
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
        return Store(_engine(parsed), update=update or _in_memory(parsed))
    except ImportError as error:
        raise UsageError(f"this database needs {error.name}: {install_command('gateway-cluster')}") from None


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        from sagewire.gateway.accounting.postgresql import postgresql_engine

        return postgresql_engine(url)
    if _in_memory(url):
        # One connection, or every thread would have an empty database of its own.
        return sa.create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    try:
        _make_private(Path(url.database or ""))
    except OSError as error:
        raise StoreError(f"cannot open {url.database}: {error.strerror}; set database_url") from None
    engine = sa.create_engine(url, connect_args={"timeout": 10})

    @sa.event.listens_for(engine, "connect")
    def _tune(connection: Any, record: Any) -> None:
        # Several workers share the file: readers and one writer at a time get along in WAL mode.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        # Deleted rows, of stored responses for example, are overwritten in the file.
        connection.execute("PRAGMA secure_delete=ON")

    return engine


def _in_memory(url: sa.URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _make_private(path: Path) -> None:
    """Make a file, and its directory, that its owner alone can read; SQLite gives its side files the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    # On Windows a user's files are private by the rights of the folder that they are in.
    if sys.platform != "win32" and path.stat().st_uid == os.getuid():
        path.chmod(0o600)


def _bounded(before: Any, more: Any, most: int = 2**63 - 1) -> Any:
    """Return a sum that stays within 64 bits."""
    return sa.case((before > most - more, most), else_=before + more)
