"""What is set aside of budgets, one row for each request, so that what a killed process had set aside is free again."""

import sqlalchemy as sa
from alembic import op

revision = "1.5"
down_revision = "1.4"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "sagewire_budget_reservations",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("key_name", sa.String(200), nullable=False),
        sa.Column("nanodollars", sa.BigInteger, nullable=False),
        sa.Column("resets_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )
