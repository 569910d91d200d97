"""When a key got its name, so that it does not see the requests of the key that had it before."""

import sqlalchemy as sa
from alembic import op

revision = "1.7"
down_revision = "1.6"


def upgrade() -> None:
    """Add the column."""
    op.add_column("sagewire_keys", sa.Column("named", sa.DateTime(timezone=True), nullable=True))
