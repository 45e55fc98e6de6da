"""The histories of a period out of the relational store, a page of cases at a time."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.indicators.history import CaseClock, CaseStep, History
from cloud.indicators.period import Period, Span
from cloud.indicators.tally import Report, Tally
from cloud.indicators.words import By
from cloud.relational.engine import reading
from cloud.relational.tables import case_clocks, case_steps, cases
from cloud.workflow.states import State

__all__ = ["histories", "report"]

_PAGE: Final = 500

_STEP: Final = ("step", "from_state", "to_state", "actor", "at_ns", "department", "assignee", "device_says")
_CASE: Final = ("opened_ns", "device", "department", "district", "source", "longitude", "latitude")


async def report(engine: AsyncEngine, period: Period, by: By, made_ns: int, *, page: int = _PAGE) -> Report:
    """The numbers of a period as they are known now, `made_ns`, in one consistent view of the store."""
    counts = Tally(period.known(made_ns), by)
    async with reading(engine) as conn:
        async for history in histories(conn, period.known(made_ns), page=page):
            counts.add(history)
    return counts.report(period, made_ns)


async def histories(conn: AsyncConnection, span: Span, *, page: int = _PAGE) -> AsyncIterator[History]:
    """Every case that was open in the period, or whose limit ended in it, by its number; `page` of them in memory."""
    after, going = 0, True
    while going:
        rows = (await conn.execute(_cases(span).where(cases.c.id > after).order_by(cases.c.id).limit(page))).mappings().all()
        going = len(rows) == page
        ids = [row["id"] for row in rows]
        after = ids[-1] if ids else after
        steps, clocks = await _steps(conn, ids), await _clocks(conn, ids)
        for row in rows:
            held: dict[str, Any] = {name: row[name] for name in (*_CASE, "before_ns")}
            yield History(**held, steps=tuple(steps[row["id"]]), clocks=tuple(clocks[row["id"]]))


def _cases(span: Span) -> Select[Any]:
    """Cases that can count: closed ones only where something of them lies in the period."""
    before = cases.alias("before")
    closed_ns = (
        select(func.max(before.c.closed_ns))
        .where(before.c.device == cases.c.device, before.c.matter == cases.c.matter, before.c.id < cases.c.id)
        .where(before.c.state == State.CLOSED.value, before.c.closed_ns <= cases.c.opened_ns)
        .scalar_subquery()
    )
    touched = or_(
        cases.c.closed_ns.is_(None),
        cases.c.closed_ns >= span.from_ns,
        exists().where(case_clocks.c.case_id == cases.c.id, _within(case_clocks.c.deadline_ns, span)),
        exists().where(case_steps.c.case_id == cases.c.id, _within(case_steps.c.at_ns, span)),
    )
    named = select(cases.c.id, *(cases.c[name] for name in _CASE), closed_ns.label("before_ns"))
    return named.where(cases.c.opened_ns < span.until_ns, touched)


def _within(column: ColumnElement[int], span: Span) -> ColumnElement[bool]:
    return (column >= span.from_ns) & (column < span.until_ns)


async def _steps(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, list[CaseStep]]:
    found: defaultdict[int, list[CaseStep]] = defaultdict(list)
    wanted = select(case_steps.c.case_id, *(case_steps.c[name] for name in _STEP))
    for row in await conn.execute(wanted.where(case_steps.c.case_id.in_(ids)).order_by(case_steps.c.id)):
        case, *values = row
        found[case].append(CaseStep(**dict(zip(_STEP, values, strict=True))))
    return found


async def _clocks(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, list[CaseClock]]:
    found: defaultdict[int, list[CaseClock]] = defaultdict(list)
    wanted = select(case_clocks.c.case_id, case_clocks.c.clock, case_clocks.c.deadline_ns)
    for row in await conn.execute(wanted.where(case_clocks.c.case_id.in_(ids)).order_by(case_clocks.c.id)):
        found[row.case_id].append(CaseClock(clock=row.clock, deadline_ns=row.deadline_ns))
    return found
