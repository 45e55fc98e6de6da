"""The stories' city, on SQLite and on PostgreSQL."""

import asyncio
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from story_city import Town, a_city


@pytest.fixture(params=["sqlite", "postgresql"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Town]:
    """Makes the city of a story; it wants to know when the story begins."""
    if request.param == "sqlite":
        yield partial(a_city, tmp_path, f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}")
        return
    server, name = request.getfixturevalue("postgresql_url"), f"story_{uuid.uuid4().hex}"
    _tell(server, f"CREATE DATABASE {name}")
    yield partial(a_city, tmp_path, f"{server}/{name}")
    _tell(server, f"DROP DATABASE {name} WITH (FORCE)")


def _tell(server: str, statement: str) -> None:
    async def tell() -> None:
        engine = create_async_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with engine.connect() as conn:
            await conn.exec_driver_sql(statement)

    with ThreadPoolExecutor(1) as thread:  # a loop may run here already
        thread.submit(asyncio.run, tell()).result()
