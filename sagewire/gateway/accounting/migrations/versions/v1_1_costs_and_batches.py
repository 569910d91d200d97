"""Costs, budgets and latencies; the last batch of usage of each process, so that none is added twice."""

import sqlalchemy as sa
from alembic import op

revision = "1.1"
down_revision = "1.0"


def upgrade() -> None:
    """Add columns and tables."""
    op.add_column("sagewire_keys", sa.Column("max_budget", sa.Float, nullable=True))
    op.add_column("sagewire_keys", sa.Column("budget_duration", sa.String(10), nullable=True))
    for name in ("nanodollars", *(f"latency_{number}" for number in range(12))):
        op.add_column("sagewire_usage", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "sagewire_spend",
        sa.Column("key_name", sa.String(200), primary_key=True),
        sa.Column("nanodollars", sa.BigInteger, nullable=False),
        sa.Column("resets_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_table(
        "sagewire_usage_batches",
        sa.Column("writer", sa.String(32), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("written", sa.DateTime(timezone=True), nullable=False),
    )
