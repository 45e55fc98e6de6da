"""The outbox of messages: one row for each target, digests, quiet hours, receipts, and who opened what."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OLD = "uq_notifications_occasion_step_channel"
_NEW = "uq_notifications_occasion_step_channel_target"


def upgrade() -> None:
    """Rows that exist went to a channel as a whole: their target is empty, their priority that of their payload's default."""
    with op.batch_alter_table("notifications") as batch:
        batch.add_column(sa.Column("target", sa.String(length=64), nullable=False, server_default=""))
        batch.add_column(sa.Column("priority", sa.String(length=16), nullable=False, server_default="medium"))
        batch.add_column(sa.Column("quiet_until_ns", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("copies", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("digest_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True))
        batch.add_column(sa.Column("receipt", sa.String(length=128), nullable=False, server_default=""))
        batch.add_column(sa.Column("token", sa.String(length=32), nullable=True))
        batch.add_column(sa.Column("opened_ns", sa.BigInteger(), nullable=True))
        batch.drop_constraint(_OLD, type_="unique")
        batch.create_unique_constraint(_NEW, ["occasion", "step", "channel", "target"])
    op.create_index(op.f("ix_notifications_digest_id"), "notifications", ["digest_id"])
    op.create_index(op.f("ix_notifications_token"), "notifications", ["token"], unique=True)
