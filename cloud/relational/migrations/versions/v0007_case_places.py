"""Open cases are found by their place."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    is_open = sa.text("closed_ns IS NULL")
    op.create_index("ix_cases_place", "cases", ["matter", "latitude"], sqlite_where=is_open, postgresql_where=is_open)
