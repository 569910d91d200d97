"""The newest requests, for the operators' page."""

import sqlalchemy as sa
from alembic import op

revision = "1.2"
down_revision = "1.1"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "sagewire_requests",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("failed", sa.Boolean, nullable=False, index=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("route", sa.String(40), nullable=False),
        sa.Column("key_name", sa.String(200), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.String(200), nullable=True),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        sa.Column("first_piece_milliseconds", sa.Integer, nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=True),
        sa.Column("completion_tokens", sa.BigInteger, nullable=True),
        sa.Column("nanodollars", sa.BigInteger, nullable=False),
    )
