"""The histories of a period out of the relational store, a page of cases at a time."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, CompoundSelect, Select, case, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.indicators.history import CaseClock, CaseStep, History
from cloud.indicators.period import Period, Span
from cloud.indicators.tally import Report, Tally
from cloud.indicators.words import By
from cloud.relational.engine import reading
from cloud.relational.tables import case_clocks, case_steps, cases
from cloud.workflow.states import State

__all__ = ["histories", "report"]

_PAGE: Final = 50
"""Cases at a time: some 15 ms of counting between two waits, so that the process stays prompt for everybody else."""

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
    """Every case open in the period, or of which a limit or a step lies in it, by its number; `page` of them in memory."""
    async with conn.stream(_touched(span)) as numbers:
        async for ids in numbers.scalars().partitions(page):
            rows = (await conn.execute(_CASES.where(cases.c.id.in_(ids)).order_by(cases.c.id))).mappings().all()
            steps, clocks = await _steps(conn, ids), await _clocks(conn, ids)
            for row in rows:
                held: dict[str, Any] = {name: row[name] for name in (*_CASE, "before_ns")}
                yield History(**held, steps=tuple(steps[row["id"]]), clocks=tuple(clocks[row["id"]]))


def _touched(span: Span) -> CompoundSelect[int]:
    """Numbers of the cases that can count. Each part goes by an index of its own, so that old cases cost nothing."""
    here = cases.c.opened_ns < span.until_ns
    return union(
        select(cases.c.id).where(here, cases.c.closed_ns.is_(None)),
        select(cases.c.id).where(here, cases.c.closed_ns >= span.from_ns),
        select(case_clocks.c.case_id).where(_within(case_clocks.c.deadline_ns, span)),
        select(case_steps.c.case_id).where(_within(case_steps.c.at_ns, span)),
    ).order_by("id")


def _cases() -> Select[Any]:
    before = cases.alias("before")
    # Only device and matter are asked for: without statistics SQLite would sooner look through all closed cases of the city.
    was_closed = (before.c.state == State.CLOSED.value) & (before.c.closed_ns <= cases.c.opened_ns)
    closed_ns = (
        select(func.max(case((was_closed, before.c.closed_ns))))
        .where(before.c.device == cases.c.device, before.c.matter == cases.c.matter, before.c.id < cases.c.id)
        .scalar_subquery()
    )
    return select(cases.c.id, *(cases.c[name] for name in _CASE), closed_ns.label("before_ns"))


_CASES: Final = _cases()


def _within(column: ColumnElement[int], span: Span) -> ColumnElement[bool]:
    return (column >= span.from_ns) & (column < span.until_ns)


async def _steps(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, list[CaseStep]]:
    found: defaultdict[int, list[CaseStep]] = defaultdict(list)
    wanted = select(case_steps.c.case_id, *(case_steps.c[name] for name in _STEP))
    for row in await conn.execute(wanted.where(case_steps.c.case_id.in_(ids)).order_by(case_steps.c.id)):
        number, *values = row
        found[number].append(CaseStep(**dict(zip(_STEP, values, strict=True))))
    return found


async def _clocks(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, list[CaseClock]]:
    found: defaultdict[int, list[CaseClock]] = defaultdict(list)
    wanted = select(case_clocks.c.case_id, case_clocks.c.clock, case_clocks.c.deadline_ns)
    for row in await conn.execute(wanted.where(case_clocks.c.case_id.in_(ids)).order_by(case_clocks.c.id)):
        found[row.case_id].append(CaseClock(clock=row.clock, deadline_ns=row.deadline_ns))
    return found
