"""Early warning and supervision (预警督办): the clocks of cases that need an eye on them now."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import Select, or_, select

from cloud.api import case_schemas as schemas
from cloud.api.actor import Acting
from cloud.api.common import Given, Id, StrictQuery, text
from cloud.api.times import iso
from cloud.cases.calendars import Calendars
from cloud.cases.facts import timer_of
from cloud.dispatch.watching import STANDING_WORDS, Standing, Watched, to_watch, watched
from cloud.relational.engine import reading
from cloud.relational.tables import case_clocks, cases
from cloud.workflow.states import CLOCK_WORDS, STATE_WORDS, Clock, State
from telemetry.clock import SECOND_NS

__all__ = ["router"]

router = APIRouter(tags=["cases"])

_MOST: Final = 2000
"""Clocks that are looked at, by their deadlines: those further off are not due soon."""

_NEEDS_AN_EYE: Final = tuple(standing for standing in Standing if standing is not Standing.FINE)


class WatchQuery(StrictQuery):
    """Which cases."""

    standing: Standing | None = Field(None, description="only these; left out, all but those in time")
    department: str | None = Field(None, max_length=64, description="only of this department")
    district: Id | None = Field(None, description="only of this district")
    limit: int = Field(200, ge=1, le=1000, description="most items in the answer")


@router.get("/watchlist", summary="Cases under supervision, overdue or due soon", response_model=schemas.Watchlist)
async def watchlist(given: Given, who: Acting, query: Annotated[WatchQuery, Query()]) -> dict[str, Any]:
    """The most urgent first: under supervision, then overdue, then due soon (four fifths of the limit have run)."""
    now_ns = given.clock.wall_ns()
    async with reading(given.engine) as conn:
        rows = (await conn.execute(_running(query).where(who.seen(cases.c.district)))).mappings().all()
        await given.desk.calendars.know(conn, {row["calendar"] for row in rows})
    # Up to 2000 clocks are counted by their calendars: beside the loop.
    found = await asyncio.to_thread(_watched, [dict(row) for row in rows], given.desk.calendars, query.standing, now_ns)
    by_clock = {(row["case_id"], row["clock"]): row for row in rows}
    return {
        "items": [_shown(each, by_clock[each.case_id, each.clock.value]) for each in found[: query.limit]],
        "counts": {standing.value: sum(each.standing is standing for each in found) for standing in _NEEDS_AN_EYE},
        "more": len(found) > query.limit or len(rows) == _MOST,
    }


def _running(query: WatchQuery) -> Select[Any]:
    named = (cases.c.title_zh, cases.c.title_en, cases.c.priority, cases.c.department, cases.c.district, cases.c.assignee)
    more = (cases.c.device, cases.c.supervisions, cases.c.state.label("case_state"))
    wanted = select(case_clocks, *named, *more).join(cases, cases.c.id == case_clocks.c.case_id)
    # A paused clock is only of interest where a supervisor has taken the case up.
    held = or_(case_clocks.c.state == "running", (case_clocks.c.state == "paused") & (cases.c.supervisions > 0))
    wanted = wanted.where(cases.c.closed_ns.is_(None), held)
    for name in ("department", "district"):
        if (value := getattr(query, name)) is not None:
            wanted = wanted.where(cases.c[name] == value)
    urgent = (cases.c.supervisions == 0, case_clocks.c.deadline_ns.is_(None), case_clocks.c.deadline_ns, case_clocks.c.id)
    return wanted.order_by(*urgent).limit(_MOST)


def _watched(rows: Sequence[Mapping[str, Any]], calendars: Calendars, only: Standing | None, now_ns: int) -> list[Watched]:
    return to_watch(
        (
            watched(
                row["case_id"],
                Clock(row["clock"]),
                timer_of(row),
                calendars.of(row["calendar"]),
                now_ns=now_ns,
                supervised=row["supervisions"] > 0,
            )
            for row in rows
        ),
        only,
    )


def _shown(each: Watched, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "case": each.case_id,
        "title": {"zh": row["title_zh"], "en": row["title_en"]},
        "device": row["device"],
        "priority": row["priority"],
        "department": row["department"],
        "district": row["district"],
        "assignee": row["assignee"],
        "state": row["case_state"],
        "state_title": text(STATE_WORDS[State(row["case_state"])]),
        "standing": each.standing.value,
        "standing_title": text(STANDING_WORDS[each.standing]),
        "clock": each.clock.value,
        "clock_title": text(CLOCK_WORDS[each.clock]),
        "deadline": iso(each.deadline_ns),
        "limit_s": each.limit_ns / SECOND_NS,
        "left_s": round(each.left_ns / SECOND_NS, 1),
        "late": each.late,
    }
