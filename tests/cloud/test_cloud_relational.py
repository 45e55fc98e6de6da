"""The relational store: its migrations make the schema, and writers take turns."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.ingest.lanes import Ledger
from cloud.relational.engine import make_engine, reading, writing
from cloud.relational.migrate import migrate
from cloud.relational.migrations.versions import v0001_first_schema, v0002_ledger, v0004_suppressions
from cloud.relational.tables import alarms, cases, epochs, gateways, losses, metadata
from telemetry.records import Lane


def gateway(name: str) -> dict[str, Any]:
    return {"id": name, "first_seen_ns": 1, "last_seen_ns": 1}


async def test_the_migrated_schema_is_the_declared_one(relational_url: str) -> None:
    engine = make_engine(relational_url)
    await migrate(engine)

    def differences(connection: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    async with reading(engine) as conn:
        assert await conn.run_sync(differences) == []
    await engine.dispose()


async def test_a_device_and_matter_have_one_open_case_at_most_in_the_migrated_database(cloud_engine: AsyncEngine) -> None:
    case = {
        **dict.fromkeys(("device", "matter", "gbt_code", "department", "title_zh", "title_en", "priority", "state"), "x"),
        **dict.fromkeys(("opened_ns", "due_ns"), 1),
    }
    async with writing(cloud_engine) as conn:
        await conn.execute(cases.insert().values(**case, closed_ns=2))
        await conn.execute(cases.insert().values(**case, closed_ns=3))
        await conn.execute(cases.insert().values(case))

    async def another() -> None:
        async with writing(cloud_engine) as conn:
            await conn.execute(cases.insert().values(case))

    with pytest.raises(IntegrityError):
        await another()


async def test_migrating_again_keeps_what_is_there(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await conn.execute(gateways.insert().values(gateway("gw-1")))
    await migrate(cloud_engine)
    async with reading(cloud_engine) as conn:
        assert await conn.scalar(select(func.count()).select_from(gateways)) == 1


async def test_every_commit_of_a_file_is_on_disk_and_keys_are_held(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'new' / 'cloud.db'}")
    async with reading(engine) as conn:
        told = {name: (await conn.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")}
        assert told == {"journal_mode": "wal", "synchronous": 2}
        assert (await conn.exec_driver_sql("PRAGMA foreign_keys")).scalar() == 1
    await engine.dispose()


async def test_what_is_read_is_one_view_however_much_is_written_meanwhile(cloud_engine: AsyncEngine) -> None:
    counted = select(func.count()).select_from(gateways)
    async with reading(cloud_engine) as conn:
        assert await conn.scalar(counted) == 0
        async with writing(cloud_engine) as writer:
            await writer.execute(gateways.insert().values(gateway("gw-1")))
        assert await conn.scalar(counted) == 0
    async with reading(cloud_engine) as conn:
        assert await conn.scalar(counted) == 1


@pytest.mark.parametrize(
    "url",
    [
        "mysql://a@b/c",
        "postgresql://a@b/c",
        "postgresql+asyncpg://a@b",
        "sqlite+aiosqlite://",
        "what",
        "postgresql+asyncpg://a:b@c/d",
    ],
)
def test_an_address_that_is_no_store_of_ours_or_tells_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the one error there is
        make_engine(url)


async def test_writers_take_turns_and_readers_wait_for_nobody(cloud_engine: AsyncEngine) -> None:
    async def add(name: str) -> None:
        async with writing(cloud_engine) as conn:
            before = await conn.scalar(select(func.count()).select_from(gateways))
            await asyncio.sleep(0)
            await conn.execute(gateways.insert().values({**gateway(name), "first_seen_ns": before}))

    async with asyncio.TaskGroup() as tasks:
        for i in range(20):
            tasks.create_task(add(f"gw-{i}"))
    async with writing(cloud_engine) as writer:
        await writer.execute(gateways.delete())
        async with reading(cloud_engine) as conn:
            seen = (await conn.scalars(select(gateways.c.first_seen_ns).order_by(gateways.c.first_seen_ns))).all()
    assert seen == list(range(20))


async def test_an_error_takes_the_whole_transaction_back(cloud_engine: AsyncEngine) -> None:
    async def twice() -> None:
        async with writing(cloud_engine) as conn:
            await conn.execute(gateways.insert().values(gateway("gw-1")))
            await conn.execute(gateways.insert().values(gateway("gw-1")))

    with pytest.raises(IntegrityError):
        await twice()
    async with reading(cloud_engine) as conn:
        assert await conn.scalar(select(func.count()).select_from(gateways)) == 0


def upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "cloud.relational:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


_FIRST_SCHEMA_ROWS = (
    (
        "INSERT INTO gateways (id, epoch, boot_id, agent_version, online, first_seen_ns, last_seen_ns, status) "
        "VALUES ('gw-1', 'e2', 'b1', '1', true, 1, 9, '{}'), ('gw-2', '', '', '', false, 1, 2, '{}')"
    ),
    (
        "INSERT INTO lanes (gateway, epoch, lane, watermark, ranges, stored, quarantined, lost, next_seq, updated_ns) "
        "VALUES ('gw-1', 'e1', 'readings', 7, '[[9, 10]]', 6, 1, 2, 11, 5), ('gw-1', 'e1', 'events', 1, '[]', 1, 0, 0, 2, 4)"
    ),
    (
        "INSERT INTO losses (gateway, epoch, lane, seq_from, seq_to, bytes, time_from_ns, time_to_ns, reason, at_ns) "
        "VALUES ('gw-1', 'e1', 'readings', 2, 3, 200, 1, 2, 'outbox_full', 3)"
    ),
    (
        "INSERT INTO alarms (id, device, rule, profile, profile_version, priority, state, uncertain, raised_ns, acknowledged_by, "
        "evidence) VALUES ('d/r/1', 'd', 'r', 'p', 1, 'high', 'unacknowledged', false, 1, '', '{}')"
    ),
    *(
        "INSERT INTO transitions (alarm, origin, n, device, rule, profile, profile_version, cause, priority, from_state, "  # noqa: S608 - our own numbers and words
        "to_state, event_time_ns, recorded_ns, stored_ns, actor, evidence, note) "
        f"VALUES ('d/r/1', 'edge', {n}, 'd', 'r', 'p', 1, '{cause}', 'high', 'x', 'y', {n}, {n}, {n}, '', '{{}}', '')"
        for n, cause in enumerate(("raise", "return", "raise"), 1)
    ),
)


async def test_a_database_of_the_first_schema_is_brought_up_to_date_with_all_it_holds(relational_url: str) -> None:
    engine = make_engine(relational_url)
    async with writing(engine) as conn:
        await conn.run_sync(upgrade, "0001")
        for statement in _FIRST_SCHEMA_ROWS:
            await conn.exec_driver_sql(statement)
    await migrate(engine)
    key = ("gw-1", "e1", Lane.READINGS)
    ledger = Ledger()
    async with reading(engine) as conn:
        await ledger.load(conn, [key])
        heard = (await conn.execute(select(epochs).order_by(epochs.c.epoch))).all()
        clocks = (await conn.execute(select(gateways.c.hello_ns, gateways.c.clock, gateways.c.clock_ahead_ns))).all()
        assert (await conn.execute(select(losses.c.seq_to, losses.c.open_end))).all() == [(3, False)]
        assert (await conn.scalars(select(alarms.c.raises))).all() == [2]
    account = ledger.draft(key)
    assert (account.watermark, account.ranges, account.stored, account.lost, account.moved) == (7, [(9, 10)], 6, 2, 0)
    assert account.digests == {}
    assert heard == [("gw-1", "e1", 4), ("gw-1", "e2", 9)]
    assert clocks == [(0, "", None)] * 2
    await engine.dispose()


def test_both_dialects_have_words_for_every_step() -> None:
    """The steps as PostgreSQL would be told; SQLite runs them in the other tests."""
    told = io.StringIO()
    config = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": told, "target_metadata": metadata}
    )
    with Operations.context(config):
        for step in (v0001_first_schema, v0002_ledger, v0004_suppressions):
            step.upgrade()
    assert "ALTER TABLE lanes ADD COLUMN moved BIGINT DEFAULT '0' NOT NULL" in told.getvalue()
    assert "ALTER TABLE losses ADD COLUMN open_end BOOLEAN DEFAULT false NOT NULL" in told.getvalue()
    assert "CREATE INDEX ix_suppressions_shelved_until_ns ON suppressions (shelved_until_ns)" in told.getvalue()
