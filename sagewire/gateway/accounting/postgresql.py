"""Connections to PostgreSQL on which nothing is waited for without a limit."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa

__all__ = ["LONG_SECONDS", "long_answers", "postgresql_engine"]

# What a worker may do at once: look up keys 4 and list them 1, reserve budgets 4, count rates 4, read reports 4 and
# stored responses 2, write usage 1, manage keys 1. That is 21.
KEPT, CONNECTIONS = 4, 24
# The server ends a statement by itself; what comes later than that no longer comes.
STATEMENT_SECONDS, ANSWER_SECONDS = 5, 8.0
# A change of the tables.
LONG_SECONDS = 300
# For servers whose packets vanish (libpq, "Parameter Key Words").
_SETTINGS = {
    "connect_timeout": 5,
    "tcp_user_timeout": 8_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s",
}


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when its server stays silent, though something in between keeps it open.

    TCP ends the wait for a host that is gone, but a proxy of one, or a frozen server, acknowledges everything.
    """

    answer_seconds = ANSWER_SECONDS

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a database operation to its end, or to the end of the time there is for it."""
        return super().wait(self._until(gen, time.monotonic() + self.answer_seconds), *args, **kwargs)

    def _until(self, operation: Any, deadline: float) -> Generator[Any, Any, Any]:
        try:
            waits_for = next(operation)
            while True:
                ready = yield waits_for
                if not ready and time.monotonic() >= deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server did not answer within {self.answer_seconds:g} s")
                waits_for = operation.send(ready)
        except StopIteration as done:
            return done.value


@contextmanager
def long_answers(connection: sa.Connection) -> Iterator[None]:
    """Let the statements of a block take long."""
    driver: Any = connection.connection.driver_connection
    driver.answer_seconds = LONG_SECONDS + ANSWER_SECONDS
    try:
        yield
    finally:
        driver.answer_seconds = ANSWER_SECONDS


def postgresql_engine(url: sa.URL) -> sa.Engine:
    """Return the engine for a URL; its own parameters (`?connect_timeout=2`) win over the settings here."""
    engine = sa.create_engine(
        url,
        pool_size=KEPT,
        max_overflow=CONNECTIONS - KEPT,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args={name: value for name, value in _SETTINGS.items() if name not in url.query},
    )

    @sa.event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, record: Any, arguments: Any, settings: Any) -> BoundedConnection:
        return BoundedConnection.connect(*arguments, **settings)

    return engine
