"""The relational store: its migrations make the schema, and writers take turns."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import make_engine, reading, writing
from cloud.relational.migrate import migrate
from cloud.relational.tables import gateways, metadata


def gateway(name: str) -> dict[str, Any]:
    return {"id": name, "first_seen_ns": 1, "last_seen_ns": 1}


async def test_the_migrated_schema_is_the_declared_one(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'new' / 'cloud.db'}")
    await migrate(engine)

    def differences(connection: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    async with reading(engine) as conn:
        assert await conn.run_sync(differences) == []
    await engine.dispose()


async def test_one_open_case_rule_is_in_the_migrated_database(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}")
    await migrate(engine)
    async with reading(engine) as conn:
        sql = await conn.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'uq_cases_open'")
        assert "WHERE closed_ns IS NULL" in sql.scalar_one()
    await engine.dispose()


async def test_migrating_again_keeps_what_is_there(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await conn.execute(gateways.insert().values(gateway("gw-1")))
    await migrate(cloud_engine)
    async with reading(cloud_engine) as conn:
        assert await conn.scalar(select(func.count()).select_from(gateways)) == 1


async def test_every_commit_is_on_disk_and_keys_are_held(cloud_engine: AsyncEngine) -> None:
    async with reading(cloud_engine) as conn:
        told = {name: (await conn.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")}
        assert told == {"journal_mode": "wal", "synchronous": 2}
        assert (await conn.exec_driver_sql("PRAGMA foreign_keys")).scalar() == 1


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
