"""Numbers for rows before they are written: so that any number of rows, and rows that name them, go in one statement each."""

from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["new_ids"]


async def new_ids(conn: AsyncConnection, table: Table, count: int) -> list[int]:
    """So many numbers for the column `id`, in order; inside a write transaction, of which SQLite has one at a time."""
    if conn.dialect.name == "postgresql":
        drawn = text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :count)")
        return list((await conn.scalars(drawn, {"name": table.name, "count": count})).all())
    last = await conn.scalar(select(func.max(table.c.id))) or 0
    return list(range(last + 1, last + 1 + count))
