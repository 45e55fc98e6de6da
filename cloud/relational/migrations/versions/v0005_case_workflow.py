"""The whole workflow of cases, their clocks and deadlines, photos, and the lease of what only one process may do."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXTS = ("description", "filing_standard", "closing_standard")
_COUNTS = ("extensions", "holds", "reworks", "supervisions", "reopened")
_FLAGS = ("returned", "checked", "overdue", "exempt")
_WORDS = (
    ("matter_table", 80, ""),
    ("district", 64, ""),
    ("source", 16, "alarm"),
    ("reporter", 128, ""),
    ("address", 400, ""),
    ("asked", 16, "nothing"),
    ("asked_by", 128, ""),
    ("appeal", 16, "none"),
    ("appeal_by", 128, ""),
    ("first_reviewer", 128, ""),
)
_STATES = {"open": "reported", "acknowledged": "filed"}
"""What the states of before are called; the others kept their names."""


def upgrade() -> None:
    """Cases that exist keep their place in the shorter workflow; they have no clocks but their deadline."""
    _widen_cases()
    _widen_steps()
    op.create_index(op.f("ix_case_alarms_alarm"), "case_alarms", ["alarm"])
    _make_clocks()
    op.create_table(
        "calendars",
        sa.Column("version", sa.String(length=16), nullable=False),
        sa.Column("rules", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_calendars")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "evidence",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("uploaded_by", sa.String(length=128), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
    )


def _widen_cases() -> None:
    with op.batch_alter_table("cases") as batch:
        batch.alter_column("device", existing_type=sa.String(length=64), nullable=True)
        batch.alter_column("due_ns", existing_type=sa.BigInteger(), nullable=True)
        for name, length, default in _WORDS:
            batch.add_column(sa.Column(name, sa.String(length=length), nullable=False, server_default=default))
        for name in _TEXTS:
            batch.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=""))
        for name in _COUNTS:
            batch.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
        for name in _FLAGS:
            batch.add_column(sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("found", sa.Boolean(), nullable=True))
        batch.add_column(sa.Column("hold_until_ns", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_cases_district"), "cases", ["district"])
    op.create_index(op.f("ix_cases_closed_ns"), "cases", ["closed_ns"])
    for before, after in _STATES.items():
        op.execute(f"UPDATE cases SET state = '{after}' WHERE state = '{before}'")  # noqa: S608 - words of this file


def _widen_steps() -> None:
    with op.batch_alter_table("case_steps") as batch:
        batch.add_column(sa.Column("role", sa.String(length=16), nullable=False, server_default="system"))
        batch.add_column(sa.Column("done_ns", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("reason", sa.Text(), nullable=False, server_default=""))
        batch.add_column(sa.Column("standard", sa.Text(), nullable=False, server_default=""))
        batch.add_column(sa.Column("until_ns", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("department", sa.String(length=64), nullable=False, server_default=""))
        batch.add_column(sa.Column("assignee", sa.String(length=128), nullable=False, server_default=""))
        batch.add_column(sa.Column("device_says", sa.String(length=16), nullable=False, server_default="nothing"))
        batch.add_column(sa.Column("photos", sa.JSON(), nullable=False, server_default="[]"))
        batch.add_column(sa.Column("longitude", sa.Float(), nullable=True))
        batch.add_column(sa.Column("latitude", sa.Float(), nullable=True))
        batch.add_column(sa.Column("key", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_case_steps_at_ns"), "case_steps", ["at_ns"])
    op.create_index(op.f("ix_case_steps_key"), "case_steps", ["key"], unique=True)


def _make_clocks() -> None:
    op.create_table(
        "case_clocks",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("case_id", _SERIAL, nullable=False),
        sa.Column("clock", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("calendar", sa.String(length=16), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("limit_ns", sa.BigInteger(), nullable=False),
        sa.Column("holds", sa.JSON(), nullable=False),
        sa.Column("extensions", sa.JSON(), nullable=False),
        sa.Column("deadline_ns", sa.BigInteger(), nullable=True),
        sa.Column("stopped_ns", sa.BigInteger(), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=True),
        sa.Column("charged", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_case_clocks_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_clocks")),
    )
    op.create_index(op.f("ix_case_clocks_case_id"), "case_clocks", ["case_id"])
    op.create_index(op.f("ix_case_clocks_deadline_ns"), "case_clocks", ["deadline_ns"])
    op.create_table(
        "deadlines",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("case_id", _SERIAL, nullable=False),
        sa.Column("clock_id", _SERIAL, nullable=True),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("due_ns", sa.BigInteger(), nullable=False),
        sa.Column("done_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_deadlines_case_id")),
        sa.ForeignKeyConstraint(["clock_id"], ["case_clocks.id"], name=op.f("fk_deadlines_clock_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deadlines")),
    )
    op.create_index(op.f("ix_deadlines_case_id"), "deadlines", ["case_id"])
    op.create_index(op.f("ix_deadlines_clock_id"), "deadlines", ["clock_id"])
    waiting = sa.text("done_ns IS NULL")
    op.create_index("ix_deadlines_waiting", "deadlines", ["due_ns"], sqlite_where=waiting, postgresql_where=waiting)
