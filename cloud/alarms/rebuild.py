"""Making the current rows of alarms anew from their log, as if there had never been any."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.alarms.log import logs, settle
from cloud.alarms.projection import alarm_row, ordered, settled, suppression_row
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, case_alarms, suppressions, transitions

__all__ = ["Rebuilt", "rebuild"]

_AT_ONCE: Final = 500
_COUNT = select(func.count(transitions.c.alarm.distinct()))


class Rebuilt(msgspec.Struct, frozen=True):
    """How far it is: `done` logs out of `total`; how many current rows there are because of them, and how many were otherwise."""

    done: int
    total: int
    rows: int = 0
    changed: int = 0


async def rebuild(engine: AsyncEngine, progress: Callable[[Rebuilt], None], at_once: int = _AT_ONCE) -> Rebuilt:
    """Make every row of `alarms` and `suppressions` anew, and the states in the log, `at_once` logs in each transaction.

    What the log does not know, the case of an alarm, comes from `case_alarms`. Rows without a log go. Between two
    transactions others may read and write: what they find is whole.
    """
    async with reading(engine) as conn:
        state = Rebuilt(0, await conn.scalar(_COUNT) or 0)
    after, going = "", True
    while going:
        async with writing(engine) as conn:
            if conn.dialect.name == "postgresql":
                # Another process may write: nobody else's row may come between reading the log and writing what it amounts to.
                await conn.execute(text("LOCK TABLE transitions, alarms, suppressions IN SHARE ROW EXCLUSIVE MODE"))
            wanted = select(transitions.c.alarm).distinct().where(transitions.c.alarm > after)
            ids = (await conn.scalars(wanted.order_by(transitions.c.alarm).limit(at_once))).all()
            going = len(ids) == at_once
            rows, changed = await _renew(conn, ids, after, ids[-1] if going else None)
        after = ids[-1] if ids else after
        state = Rebuilt(
            state.done + len(ids), max(state.total, state.done + len(ids)), state.rows + rows, state.changed + changed
        )
        progress(state)
    return state


async def _renew(conn: AsyncConnection, ids: Sequence[str], after: str, last: str | None) -> tuple[int, int]:
    """Put the rows of these logs in the place of all that there are after the id `after`, up to `last` or to the end."""
    held = await logs(conn, ids)
    occurrences, own = [], []
    for alarm in ids:
        steps = ordered(held[alarm].values())
        standing, words = settled(steps)
        await settle(conn, steps, words)
        occurrences.append(alarm_row(steps, standing))
        own.append(suppression_row(steps, standing))
    found = select(case_alarms.c.alarm, case_alarms.c.case_id).where(case_alarms.c.alarm.in_(ids)).order_by(case_alarms.c.case_id)
    cases: dict[str, int] = {row.alarm: row.case_id for row in await conn.execute(found)}
    made = [{**row, "case_id": cases.get(row["id"])} for row in occurrences if row is not None]
    total = changed = 0
    for table, rows in ((alarms, made), (suppressions, [row for row in own if row is not None])):
        here = (table.c.id > after,) if last is None else (table.c.id > after, table.c.id <= last)
        before: dict[str, Any] = {row["id"]: dict(row) for row in (await conn.execute(select(table).where(*here))).mappings()}
        await conn.execute(delete(table).where(*here))
        if rows:
            await conn.execute(table.insert(), rows)
        total += len(rows)
        changed += sum(before.pop(row["id"], None) != row for row in rows) + len(before)
    return total, changed
