"""Alembic's environment: the connection, and its transaction, are the caller's."""

from alembic import context

from sagewire.gateway.accounting.schema import VERSION_TABLE
from sagewire.gateway.accounting.tables import TABLES

context.configure(
    connection=context.config.attributes["connection"], target_metadata=TABLES, version_table=VERSION_TABLE
)
context.run_migrations()
