"""Requests and tokens per minute, for workers that count together without Redis."""

import sqlalchemy as sa
from alembic import op

revision = "1.4"
down_revision = "1.3"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "sagewire_rates",
        sa.Column("counter", sa.String(32), primary_key=True),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("previous", sa.BigInteger, nullable=False),
    )
