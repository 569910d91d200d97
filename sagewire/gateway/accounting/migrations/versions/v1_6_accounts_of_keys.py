"""Accounts of keys, so that a new key with an old name owes nothing; blocked keys, further limits and notes."""

import sqlalchemy as sa
from alembic import op

revision = "1.6"
down_revision = "1.5"


def upgrade() -> None:
    """Add columns, and a table with what has been spent so far."""
    op.add_column("sagewire_keys", sa.Column("account", sa.String(200), nullable=True))
    op.add_column("sagewire_keys", sa.Column("blocked", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("sagewire_keys", sa.Column("max_parallel_requests", sa.Integer, nullable=True))
    op.add_column("sagewire_keys", sa.Column("model_limits", sa.JSON, nullable=True))
    op.add_column("sagewire_keys", sa.Column("notes", sa.JSON, nullable=True))
    costs = op.create_table(
        "sagewire_key_costs",
        sa.Column("account", sa.String(200), primary_key=True),
        sa.Column("nanodollars", sa.BigInteger, nullable=False),
    )
    usage = sa.table("sagewire_usage", sa.column("key_name"), sa.column("nanodollars"))
    # Older releases counted by name. A sum beyond 64 bits would end the update.
    spent = sa.func.sum(usage.c.nanodollars * 1.0)
    most = 2**62 - 1
    whole = sa.case((spent >= most, most), else_=sa.cast(spent, sa.BigInteger))
    query = sa.select(usage.c.key_name, whole).group_by(usage.c.key_name)
    op.execute(sa.insert(costs).from_select(["account", "nanodollars"], query))
