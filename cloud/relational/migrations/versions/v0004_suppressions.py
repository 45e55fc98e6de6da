"""The suppression of alarms, and how often an occurrence came true."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; count the raises that the log has."""
    op.add_column("alarms", sa.Column("raises", sa.Integer(), nullable=False, server_default="1"))
    op.execute(
        "UPDATE alarms SET raises = ("
        "SELECT count(*) FROM transitions WHERE transitions.alarm = alarms.id AND transitions.cause = 'raise')"
    )
    op.create_table(
        "suppressions",
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.String(length=64), nullable=False),
        sa.Column("profile_version", sa.Integer(), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("shown", sa.String(length=32), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.Column("shelf", sa.String(length=16), nullable=False),
        sa.Column("shelved_ns", sa.BigInteger(), nullable=True),
        sa.Column("shelved_until_ns", sa.BigInteger(), nullable=True),
        sa.Column("shelved_by", sa.String(length=128), nullable=False),
        sa.Column("shelf_reason", sa.Text(), nullable=False),
        sa.Column("by_design", sa.Boolean(), nullable=False),
        sa.Column("suppressed_by", sa.JSON(), nullable=False),
        sa.Column("out_of_service", sa.Boolean(), nullable=False),
        sa.Column("out_ns", sa.BigInteger(), nullable=True),
        sa.Column("review_ns", sa.BigInteger(), nullable=True),
        sa.Column("out_by", sa.String(length=128), nullable=False),
        sa.Column("out_reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppressions")),
    )
    op.create_index(op.f("ix_suppressions_shown"), "suppressions", ["shown"], unique=False)
    op.create_index(op.f("ix_suppressions_shelved_until_ns"), "suppressions", ["shelved_until_ns"], unique=False)
    op.create_index("ix_suppressions_device_rule", "suppressions", ["device", "rule"], unique=False)
