"""What the tests of the cloud share."""

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cloud_bench import Bench, Moody, hello
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from cloud.relational.engine import make_engine
from cloud.relational.migrate import migrate


@pytest.fixture(params=["sqlite", "postgresql"])
def relational_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a relational store of the test's own, with nothing in it."""
    with _a_store(request, tmp_path / "cloud.db", migrated=False) as url:
        yield url


@pytest.fixture
async def cloud_engine(a_migrated_store: str) -> AsyncIterator[AsyncEngine]:
    """A relational store with the schema of this version."""
    engine = make_engine(a_migrated_store)
    yield engine
    await engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def a_migrated_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a copy of a store that was migrated once: that takes longer than many a test."""
    with _a_store(request, tmp_path / "cloud.db", migrated=True) as url:
        yield url


@contextlib.contextmanager
def _a_store(request: pytest.FixtureRequest, file: Path, *, migrated: bool) -> Iterator[str]:
    if request.param == "sqlite":
        if migrated:
            shutil.copy(request.getfixturevalue("migrated_file"), file)
        yield f"sqlite+aiosqlite:///{file}"
        return
    server = request.getfixturevalue("postgresql_url")
    template = request.getfixturevalue("migrated_template") if migrated else "template1"
    name = f"test_{uuid.uuid4().hex}"
    _tell(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield f"{server}/{name}"
    _tell(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the schema of this version, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "cloud.db"
    _run(_migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def migrated_template(postgresql_url: str) -> str:
    """A PostgreSQL database with the schema of this version, to be copied."""
    _tell(postgresql_url, "CREATE DATABASE migrated")
    _run(_migrate(f"{postgresql_url}/migrated"))
    return "migrated"


async def _migrate(url: str) -> None:
    engine = make_engine(url)
    await migrate(engine)
    await engine.dispose()


def _tell(server: str, statement: str) -> None:
    """Say something that is said outside any transaction."""

    async def tell() -> None:
        engine = create_async_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with engine.connect() as conn:
            await conn.exec_driver_sql(statement)

    _run(tell())


def _run(work: Coroutine[object, object, None]) -> None:
    """In a thread, for here a loop may exist already."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


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
