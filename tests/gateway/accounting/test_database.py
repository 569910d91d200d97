"""The store by itself, in memory."""

import threading

import sqlalchemy as sa

from sagewire.gateway.accounting.database import open_store


def test_a_database_in_memory_is_closed_once_its_statements_have_ended() -> None:
    store = open_store("sqlite://")
    closing = threading.Thread(target=store.close)
    with store.transaction("write to") as connection:
        closing.start()
        closing.join(0.05)
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1
    closing.join(10)
    assert not closing.is_alive()
