"""What the store knows of a case beside its own row: its clocks, what its device reports, its matter."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.cases.desk import Desk
from cloud.cases.draft import CaseDraft, CaseError
from cloud.clocks.clock import ClockKind, Hold, Timer
from cloud.relational.chunks import chunks
from cloud.relational.tables import alarms, case_alarms, case_clocks, cases
from cloud.workflow.case import DeviceSays
from cloud.workflow.states import Clock
from device_profiles.matter import Matter
from telemetry.alarm_states import ACTIVE
from telemetry.reason import Reason

__all__ = ["device_says", "load", "load_many", "matter_of", "timer_of"]


async def load(conn: AsyncConnection, desk: Desk, case_id: int) -> CaseDraft:
    """The case as the store has it. CaseError where there is none, or where no table knows its matter any longer."""
    row = (await conn.execute(select(cases).where(cases.c.id == case_id))).mappings().first()
    if row is None:
        raise CaseError(Reason.NOT_FOUND, f"case {case_id}: there is none")
    [draft] = await load_many(conn, desk, [dict(row)])
    return draft


async def load_many(conn: AsyncConnection, desk: Desk, rows: Sequence[Mapping[str, Any]]) -> list[CaseDraft]:
    """Rows of `cases` with their clocks, at most some thousand. CaseError where no table knows a matter any longer."""
    clocks: dict[int, dict[Clock, dict[str, Any]]] = {row["id"]: {} for row in rows}
    for some in chunks(list(clocks)):
        ours = select(case_clocks).where(case_clocks.c.case_id.in_(some))
        for each in (await conn.execute(ours.order_by(case_clocks.c.id))).mappings():
            clocks[each["case_id"]][Clock(each["clock"])] = dict(each)  # the newest of each stays
    await desk.calendars.know(conn, {each["calendar"] for held in clocks.values() for each in held.values()})
    return [CaseDraft(desk, _known(desk, row), dict(row), clocks[row["id"]]) for row in rows]


def _known(desk: Desk, row: Mapping[str, Any]) -> Matter:
    matter = matter_of(desk, row)
    if matter is None:
        raise CaseError(Reason.INVALID, f"case {row['id']}: no table of matters has {row['matter']} any longer")
    return matter


def matter_of(desk: Desk, row: Mapping[str, Any]) -> Matter | None:
    """The line that a case goes by: the one in force when it was opened."""
    return desk.matters.find(row["matter"], row["opened_ns"])


def timer_of(row: Mapping[str, Any]) -> Timer:
    """A row of `case_clocks` as the clocks count it."""
    return Timer(
        start_ns=row["start_ns"],
        limit_ns=row["limit_ns"],
        kind=ClockKind(row["kind"]),
        calendar=row["calendar"],
        holds=tuple(Hold(start, end) for start, end in row["holds"]),
        extensions_ns=tuple(row["extensions"]),
    )


async def device_says(conn: AsyncConnection, desk: Desk, row: Mapping[str, Any]) -> DeviceSays:
    """What the device reports of the fault, as far as its matter asks for its word.

    It reports the fault while one of the case's alarms is active, however uncertain: silence clears nothing. A case without
    alarms is nothing that a device speaks of.
    """
    matter = matter_of(desk, row)
    if matter is None:
        return DeviceSays.NOTHING
    ours = select(alarms.c.state).join(case_alarms, case_alarms.c.alarm == alarms.c.id).where(case_alarms.c.case_id == row["id"])
    states = (await conn.scalars(ours)).all()
    fault = any(state in ACTIVE for state in states) if states else None
    return DeviceSays.by(matter, fault=fault)
