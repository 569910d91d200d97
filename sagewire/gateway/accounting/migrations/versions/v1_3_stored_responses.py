"""Answers of the Responses API, for requests that refer to them."""

import sqlalchemy as sa
from alembic import op

revision = "1.3"
down_revision = "1.2"


def upgrade() -> None:
    """Add the tables."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "sagewire_responses",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("previous_id", sa.String(80), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("owner", "id", name="uq_sagewire_responses_id"),
    )
    op.create_table(
        "sagewire_response_items",
        sa.Column("response", number, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("item_id", sa.String(80), nullable=True),
        sa.Column("output", sa.Boolean, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_sagewire_response_items_id", "sagewire_response_items", ["owner", "item_id"])
