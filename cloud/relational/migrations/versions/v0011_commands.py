"""Orders to devices, and what became of them."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was ordered yet."""
    op.create_table(
        "commands",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("command", sa.String(length=64), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("dangerous", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("approved_by", sa.String(length=128), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("ttl_s", sa.Integer(), nullable=False),
        sa.Column("counter", sa.BigInteger()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("hello_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("issued_ns", sa.BigInteger()),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("tried_ns", sa.BigInteger()),
        sa.Column("sent_ns", sa.BigInteger()),
        sa.Column("acked_ns", sa.BigInteger()),
        sa.Column("finished_ns", sa.BigInteger()),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
        sa.UniqueConstraint("device", "key", name=op.f("uq_commands_device_key")),
        sa.UniqueConstraint("gateway", "counter", name=op.f("uq_commands_gateway_counter")),
    )
    op.create_index("ix_commands_created", "commands", ["created_ns", "id"])
    op.create_index(op.f("ix_commands_state"), "commands", ["state"])
