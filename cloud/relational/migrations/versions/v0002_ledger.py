"""The ledger: what moved to a later epoch, fingerprints of batches, open losses, every epoch, and the gateways' clocks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and know the epochs that have an account, or are a gateway's own."""
    op.add_column("lanes", sa.Column("moved", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("lanes", sa.Column("digests", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("losses", sa.Column("open_end", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("gateways", sa.Column("hello_ns", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("gateways", sa.Column("clock", sa.String(length=16), nullable=False, server_default=""))
    op.add_column("gateways", sa.Column("clock_ahead_ns", sa.BigInteger(), nullable=True))
    op.create_table(
        "epochs",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.String(length=64), nullable=False),
        sa.Column("first_seen_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "epoch", name=op.f("pk_epochs")),
    )
    op.execute(
        "INSERT INTO epochs (gateway, epoch, first_seen_ns) "
        "SELECT gateway, epoch, min(since) FROM ("
        "SELECT lanes.gateway AS gateway, lanes.epoch AS epoch, lanes.updated_ns AS since FROM lanes "
        "JOIN gateways ON gateways.id = lanes.gateway "
        "UNION ALL SELECT id, epoch, last_seen_ns FROM gateways WHERE epoch <> '') AS heard GROUP BY gateway, epoch"
    )
