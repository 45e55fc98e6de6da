"""The outbox on both databases."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cloud_notify_world import furnish
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from cloud.relational.engine import make_engine


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty store of the test's own."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'outbox.db'}"
        return
    server = request.getfixturevalue("postgresql_url")
    name = f"notify_{uuid.uuid4().hex}"
    _tell(server, f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    _tell(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def either(outbox_url: str) -> AsyncIterator[AsyncEngine]:
    """A store with one device and one case in it, on SQLite and on PostgreSQL."""
    engine = make_engine(outbox_url)
    await furnish(engine)
    yield engine
    await engine.dispose()


def _tell(server: str, statement: str) -> None:
    async def tell() -> None:
        engine = create_async_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with engine.connect() as conn:
            await conn.exec_driver_sql(statement)

    with ThreadPoolExecutor(1) as thread:  # a loop may run here already
        thread.submit(asyncio.run, tell()).result()
