"""What the tests of the cloud share."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cloud_bench import Bench, Moody, hello
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import make_engine
from cloud.relational.migrate import migrate


@pytest.fixture
async def cloud_engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A relational store with the schema of this version."""
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}")
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
