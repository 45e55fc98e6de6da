"""The list of the open alarms is read by an index of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    is_open = sa.text("state != 'normal'")
    op.create_index("ix_alarms_open", "alarms", ["raised_ns", "id"], sqlite_where=is_open, postgresql_where=is_open)
