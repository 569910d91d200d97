"""Versions of the tables: made, updated beside the release before, refused."""

import multiprocessing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from sagewire.gateway.accounting import schema
from sagewire.gateway.accounting.budgets import SpendTable
from sagewire.gateway.accounting.database import Store, open_store
from sagewire.gateway.accounting.store_errors import SchemaMismatch
from sagewire.gateway.accounting.tables import TABLES, UsageRow
from sagewire.gateway.keys import Key

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
OLD_KEY = {"name": "old", "digest": "a" * 64, "created": HOUR}
OLD_USAGE = {"hour": HOUR, "key_name": "old", "model": "m", "requests": 2}


def alembic(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


REVISIONS = [found.revision for found in ScriptDirectory.from_config(alembic()).walk_revisions()][::-1]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/keys.db" if request.param == "sqlite" else request.getfixturevalue("database")


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


def set_version(engine: sa.Engine, version: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{version}'")


def test_the_last_revision_is_the_version_and_makes_the_tables(url: str, engine: sa.Engine) -> None:
    assert REVISIONS[-1] == schema.SCHEMA
    open_store(url).close()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert context.get_current_revision() == schema.SCHEMA
        assert compare_metadata(context, TABLES) == []


@pytest.mark.parametrize("version", [None, *REVISIONS])
def test_an_older_database_is_updated_while_older_processes_use_it(
    url: str, engine: sa.Engine, version: str | None
) -> None:
    before = sa.MetaData()
    with engine.begin() as connection:
        command.upgrade(alembic(connection), version or REVISIONS[0])
        if version is None:
            # As before there were versions.
            connection.exec_driver_sql(f"DROP TABLE {schema.VERSION_TABLE}")
        before.reflect(connection)
        connection.execute(sa.insert(before.tables["sagewire_keys"]).values(OLD_KEY))
        usage = before.tables["sagewire_usage"]
        spent = {"nanodollars": 700} if "nanodollars" in usage.c else {}
        connection.execute(sa.insert(usage).values(OLD_USAGE | spent))
    store = open_store(url)
    # The process of the release before knows the columns that there were.
    with engine.begin() as connection:
        later = {"name": "later", "digest": "b" * 64}
        connection.execute(sa.insert(before.tables["sagewire_keys"]).values(OLD_KEY | later))
        connection.execute(sa.update(before.tables["sagewire_usage"]).values(requests=3))
        assert len(connection.execute(sa.select(before.tables["sagewire_keys"])).all()) == 2
    assert store.all_keys() == [Key("later", "b" * 64), Key("old", "a" * 64)]
    store.add_usage([UsageRow(HOUR, "old", "m", requests=1)])
    (row,) = store.usage()
    assert row == UsageRow(HOUR, "old", "m", requests=4, nanodollars=row.nanodollars)
    store.ping()
    # What was spent before is not forgotten, also of keys of the file.
    nanodollars = 700 if version in REVISIONS[1 : REVISIONS.index("1.6")] else 0
    assert SpendTable(store).of(Key("old", "a" * 64)).nanodollars == nanodollars
    assert not store.all_keys()[0].blocked
    store.close()
    open_store(url).close()


def test_a_newer_database(url: str, engine: sa.Engine) -> None:
    store = open_store(url)
    major = int(schema.SCHEMA.partition(".")[0])
    # Only additions: the release before goes on, and starts again.
    set_version(engine, f"{major}.999")
    store.ping()
    open_store(url).close()
    for version, says in ((f"{major + 1}.0", f"has schema {major + 1}.0"), ("ae1027a6acf", "not a version of")):
        set_version(engine, version)
        with pytest.raises(SchemaMismatch, match=says):
            open_store(url)
        with pytest.raises(SchemaMismatch, match=says):
            store.ping()
    store.close()


def test_a_schema_that_no_longer_fits_is_named(start, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    gateway = start("models: {chat: {endpoint: chat, handler: openai_chat}}", open_store(url))
    assert gateway.get("/health/ready").json() == {"status": "ready"}
    set_version(sa.create_engine(url, poolclass=sa.NullPool), "99.0")
    answer = gateway.get("/health/ready")
    assert (answer.status, answer.json()["status"]) == (503, "unready")
    assert "schema 99.0" in answer.json()["database"]
    assert "schema 99.0" in caplog.text
    # It is not the database that is away: requests are served as before.
    body = {"model": "chat", "messages": [{"role": "user", "content": "Hello there"}]}
    assert gateway.post("/v1/chat/completions", body).status == 200


def _start(url: str, barrier, failed) -> None:
    barrier.wait()
    try:
        open_store(url).close()
    except Exception as error:
        failed.put(repr(error))


@pytest.mark.slow
def test_gateways_that_start_at_once(url: str) -> None:
    processes = multiprocessing.get_context("fork")
    barrier, failed = processes.Barrier(4), processes.Queue()
    started = [processes.Process(target=_start, args=(url, barrier, failed)) for _ in range(4)]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
        assert one.exitcode == 0
    assert failed.empty()
    store: Store = open_store(url)
    assert store.all_keys() == []
    store.close()
