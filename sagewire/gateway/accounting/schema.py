"""The version of the tables, and how a database gets from an older version to this one.

Versions are `major.minor`, the revisions of Alembic in `migrations/versions/`. A minor version only adds tables, and
columns that are nullable or have a default, so that processes of the release before go on working: a rolling update
needs nothing else. What takes something away is a new major version, which older processes refuse.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from sagewire.gateway.accounting.store_errors import SchemaMismatch, StoreError, as_store_error

__all__ = ["SCHEMA", "VERSION_TABLE", "check_schema", "update_schema"]

SCHEMA = "1.7"
VERSION_TABLE = "sagewire_schema"
_log = logging.getLogger("sagewire.gateway")
# Of several gateways that start at once, one changes the tables.
_LOCK = 7_236_471_204
# Alembic keeps its context in module globals.
_one_at_a_time = threading.Lock()

_version = sa.table(VERSION_TABLE, sa.column("version_num"))


def update_schema(engine: sa.Engine) -> None:
    """Bring a database to this version, or make its tables.

    Raises:
        SchemaMismatch: It has a newer major version.
        StoreError: It cannot be reached, or its tables cannot be changed.
    """
    with as_store_error("open"), engine.connect() as connection:
        found = _found(connection)
    if not _is_older(found):
        _check(found)
        return
    with as_store_error("update the tables of"), _one_at_a_time, _locked(engine) as connection:
        found = _found(connection)
        if _is_older(found):
            _upgrade(connection)
            _log.info("database schema: %s, was %s", SCHEMA, found or "none")


def check_schema(connection: sa.Connection) -> None:
    """Raise `SchemaMismatch` if the tables are, by now, of a version that this release cannot work with."""
    _check(connection.execute(sa.select(_version.c.version_num)).scalar())


def _found(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.select(_version.c.version_num)).scalar()


def _is_older(found: str | None) -> bool:
    return found is None or _parts(found) < _parts(SCHEMA)


def _check(found: str | None) -> None:
    if found is None or _parts(found)[0] != _parts(SCHEMA)[0]:
        raise SchemaMismatch(
            f"the database has schema {found or 'unknown'}, and this release of sagewire works with "
            f"{_parts(SCHEMA)[0]}.x: update sagewire, or set another database_url"
        )


def _parts(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise SchemaMismatch(f"the database has schema {version[:40]!r}, which is not a version of sagewire's tables")
    return int(major), int(minor)


@contextmanager
def _locked(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Return a connection in a transaction that no other gateway's change of the tables can overlap."""
    if engine.dialect.name == "postgresql":
        from sagewire.gateway.accounting.postgresql import LONG_SECONDS, long_answers

        with engine.connect() as connection, long_answers(connection), connection.begin():
            # Whoever has the lock may be at work for a while; a table in use is waited for less long.
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{LONG_SECONDS}s'")
            connection.exec_driver_sql("SET LOCAL lock_timeout = '120s'")
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
            yield connection
        return
    # The driver begins no transaction before it creates a table, and only a writing one keeps others out.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


def _upgrade(connection: sa.Connection) -> None:
    # Not at the top: most starts find their tables as they should be.
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"cannot update the tables of the database: {error}") from error
