"""What the tests of the cloud share."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cloud_bench import Bench, Moody, hello
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from cloud.relational.engine import make_engine
from cloud.relational.migrate import migrate


@pytest.fixture(params=["sqlite", "postgresql"])
async def relational_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The address of a relational store of the test's own, with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}"
        return
    server = request.getfixturevalue("postgresql_url")
    name = f"test_{uuid.uuid4().hex}"
    async with _administrator(server) as conn:
        await conn.exec_driver_sql(f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    async with _administrator(server) as conn:
        await conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.asynccontextmanager
async def _administrator(server: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool)
    async with engine.connect() as conn:
        yield conn


@pytest.fixture
async def cloud_engine(relational_url: str) -> AsyncIterator[AsyncEngine]:
    """A relational store with the schema of this version."""
    engine = make_engine(relational_url)
    await migrate(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
async def bench(cloud_engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Bench]:
    """An ingest over real stores that runs, and has heard the hello of gw-1 with cover-1 and cover-2."""
    series = Moody(tmp_path / "series.duckdb")
    await series.open()
    made = Bench(cloud_engine, series)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(made.ingest.run())
        made.say(hello("cover-1", "cover-2"))
        await made.until(lambda: len(made.acks) == 2)
        made.acks.clear()
        yield made
        work.cancel()
    await series.close()
