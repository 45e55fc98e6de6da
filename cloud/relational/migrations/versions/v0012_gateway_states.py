"""When each gateway was there."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What is known of the past is how each gateway stood when it was last heard."""
    op.create_table(
        "gateway_states",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "at_ns", name="pk_gateway_states"),
    )
    op.execute(
        "INSERT INTO gateway_states (gateway, at_ns, state) "
        "SELECT id, last_seen_ns, CASE WHEN online THEN 'online' ELSE 'offline' END FROM gateways"
    )
