"""The numbers of what OGC SensorThings shows."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Nothing has one at first."""
    _table("sta_things", sa.Column("device", sa.String(length=64), nullable=False), unique=("device",))
    _table(
        "sta_sensors",
        sa.Column("profile", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        unique=("profile", "version"),
    )
    _table("sta_properties", sa.Column("metric", sa.String(length=64), nullable=False), unique=("metric",))
    _table(
        "sta_datastreams",
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        unique=("device", "metric"),
    )


def _table(name: str, *columns: sa.Column[Any], unique: tuple[str, ...]) -> None:
    op.create_table(
        name,
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        sa.UniqueConstraint(*unique, name=op.f(f"uq_{name}_{'_'.join(unique)}")),
    )
