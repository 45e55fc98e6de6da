"""The relational store's engine: how connections are made, and the one way to write."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

__all__ = ["check_database", "make_engine", "reading", "writing"]

_BUSY_MS = 5_000
_WRITES = "citynerve_writes"
_SQLITE = "sqlite+aiosqlite"
_POSTGRESQL = "postgresql+asyncpg"
# It would log every statement with its parameters, and what people wrote is not for a log.
logging.getLogger("aiosqlite").setLevel(logging.INFO)
_locks: WeakKeyDictionary[AsyncEngine, asyncio.Lock] = WeakKeyDictionary()


def check_database(url: str) -> None:
    """ValueError unless `make_engine` takes the address: a file of SQLite, or a PostgreSQL database without its password."""
    try:
        address = make_url(url)
    except ArgumentError:
        raise ValueError("not an address") from None
    if address.password is not None:
        raise ValueError("a password in an address is soon in a log")
    if address.drivername not in {_SQLITE, _POSTGRESQL} or not address.database:
        raise ValueError(f"{url!r}")


def make_engine(url: str, password: str | None = None) -> AsyncEngine:
    """An engine for `sqlite+aiosqlite:///path` or `postgresql+asyncpg://user@host:port/database`.

    SQLite: write-ahead log, every commit on disk, foreign keys held; makes the folder of the database file. PostgreSQL
    does these by itself unless its owner turned them off; a connection that broke meanwhile is noticed before it is used.
    """
    check_database(url)
    address = make_url(url)
    # Errors are logged, what people wrote is not.
    if address.drivername == _POSTGRESQL:
        return create_async_engine(address.set(password=password), hide_parameters=True, pool_pre_ping=True)
    Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(address, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


@contextlib.asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One write transaction: committed at the end, rolled back on an error. One at a time for each engine, in turn.

    Do nothing slow inside: everybody who writes waits for it.
    """
    lock = _locks.get(engine)
    if lock is None:
        lock = _locks[engine] = asyncio.Lock()
    async with lock, engine.connect() as plain:
        conn = await plain.execution_options(**{_WRITES: True})
        async with conn.begin():
            yield conn


@contextlib.asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One consistent view for reading; it waits for no writer."""
    async with engine.connect() as conn:
        if engine.dialect.name == "postgresql":
            # A view of its own for each statement is what PostgreSQL gives unless it is asked.
            await conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield conn


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself: `_begin_sqlite` does, knowing whether they write.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(conn: Connection) -> None:
    # IMMEDIATE: a transaction that reads first and writes later could otherwise fail with "database is locked".
    conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get(_WRITES) else "BEGIN")
