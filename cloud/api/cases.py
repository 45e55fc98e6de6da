"""Cases: what departments have to close, and the steps of closing it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import RowMapping, Select, select

from cloud import cases as workflow
from cloud.api import schemas
from cloud.api.alarms import alarm_select, shown_alarm
from cloud.api.common import MAX_INT, Given, Id, NoQuery, PageQuery
from cloud.api.cursors import Whole, next_cursor, read_cursor
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import age_s, iso
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, case_alarms, case_steps, cases, devices, notifications
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["cases"])

CaseId = Annotated[int, Path(alias="id", ge=1, le=MAX_INT)]
_STEP_PROBLEMS = describe(403, 404, 409, 413)


class CaseQuery(PageQuery):
    """Which cases."""

    state: Literal["open", "closed", "all"] = Field("open", description="open: not closed yet, in whatever state")
    device: Id | None = Field(None, description="only of this device")


@router.get("/cases", summary="Cases, newest first", response_model=schemas.CasePage)
async def list_cases(given: Given, query: Annotated[CaseQuery, Query()]) -> dict[str, Any]:
    """In order of their number, newest first; at most 1000 a page."""
    wanted = _select().order_by(cases.c.id.desc()).limit(query.limit + 1)
    if query.state != "all":
        wanted = wanted.where(cases.c.closed_ns.is_(None) if query.state == "open" else cases.c.closed_ns.is_not(None))
    if query.device is not None:
        wanted = wanted.where(cases.c.device == query.device)
    if (after := read_cursor(query.cursor, tuple[Whole])) is not None:
        wanted = wanted.where(cases.c.id < after[0])
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
    page = rows[: query.limit]
    more = next_cursor(page[-1]["id"]) if len(rows) > query.limit else None
    now_ns = given.clock.wall_ns()
    return {"items": [_shown(row, now_ns) for row in page], "next": more}


@router.get(
    "/cases/{id}",
    summary="One case with its steps, alarms and messages",
    response_model=schemas.CaseDetail,
    responses=describe(404),
)
async def get_case(given: Given, case: CaseId, _: NoQuery) -> dict[str, Any]:
    """Steps and messages in the order they happened, alarms newest first."""
    return await _detail(given, case)


@router.post(
    "/cases/{id}/acknowledge",
    summary="Accept a case",
    response_model=schemas.CaseDetail,
    responses=_STEP_PROBLEMS,
)
async def acknowledge_case(given: Given, case: CaseId, step: schemas.Step, _: NoQuery) -> dict[str, Any]:
    """409 where the case has moved on since `version`, or cannot be accepted from the state it is in."""
    async with writing(given.engine) as conn:
        row = await workflow.acknowledge(conn, case, **_deed(given, step))
    return await _moved(given, row)


@router.post(
    "/cases/{id}/dispatch",
    summary="Send a case to a crew",
    response_model=schemas.CaseDetail,
    responses=_STEP_PROBLEMS,
)
async def dispatch_case(given: Given, case: CaseId, step: schemas.Dispatch, _: NoQuery) -> dict[str, Any]:
    """May be done again for another crew. 409 as for accepting."""
    async with writing(given.engine) as conn:
        row = await workflow.dispatch(conn, case, assignee=step.assignee.strip(), **_deed(given, step))
    return await _moved(given, row)


@router.post(
    "/cases/{id}/close",
    summary="Close a case with a note",
    response_model=schemas.CaseDetail,
    responses=_STEP_PROBLEMS,
)
async def close_case(given: Given, case: CaseId, step: schemas.Step, _: NoQuery) -> dict[str, Any]:
    """The note must say what was done. 409 as for accepting."""
    async with writing(given.engine) as conn:
        row = await workflow.close(conn, case, **_deed(given, step))
    return await _moved(given, row)


def _deed(given: Services, step: schemas.Step) -> dict[str, Any]:
    return {
        "actor": step.actor,
        "note": step.note,
        "version": step.version,
        "now_ns": given.clock.wall_ns(),
        "channels": given.channels,
    }


async def _moved(given: Services, row: Mapping[str, Any]) -> dict[str, Any]:
    given.feed.publish("case", workflow.case_news(row))
    given.notify()
    return await _detail(given, row["id"])


async def _detail(given: Services, case: int) -> dict[str, Any]:
    now_ns = given.clock.wall_ns()
    steps_of = select(case_steps).where(case_steps.c.case_id == case).order_by(case_steps.c.id)
    told = select(notifications).where(notifications.c.case_id == case).order_by(notifications.c.id)
    joined = alarm_select().join(case_alarms, case_alarms.c.alarm == alarms.c.id).where(case_alarms.c.case_id == case)
    async with reading(given.engine) as conn:
        row = (await conn.execute(_select().where(cases.c.id == case))).mappings().first()
        if row is None:
            raise ApiProblem(Reason.NOT_FOUND, f"case {case}: there is none")
        steps = (await conn.execute(steps_of)).mappings().all()
        raised = (await conn.execute(joined.order_by(alarms.c.raised_ns.desc()))).mappings().all()
        notices = (await conn.execute(told)).mappings().all()
    return {
        **_shown(row, now_ns),
        "steps": [_shown_step(step) for step in steps],
        "alarms": [shown_alarm(given, alarm, now_ns) for alarm in raised],
        "notifications": [_shown_notice(notice) for notice in notices],
    }


def _select() -> Select[Any]:
    return select(cases, devices.c.name.label("device_name")).outerjoin(devices, devices.c.id == cases.c.device)


def _shown(row: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    same = (
        "id",
        "device",
        "matter",
        "gbt_code",
        "department",
        "priority",
        "state",
        "longitude",
        "latitude",
        "assignee",
        "version",
    )
    return {
        **{name: row[name] for name in same},
        "device_name": row["device_name"] or "",
        "title": {"zh": row["title_zh"], "en": row["title_en"]},
        "opened": iso(row["opened_ns"]),
        "age_s": age_s(row["opened_ns"], now_ns),
        "due": iso(row["due_ns"]),
        "overdue": (row["closed_ns"] or now_ns) > row["due_ns"],
        "closed": iso(row["closed_ns"]),
    }


def _shown_step(step: RowMapping) -> dict[str, Any]:
    same = ("id", "step", "from_state", "to_state", "actor", "note")
    return {**{name: step[name] for name in same}, "at": iso(step["at_ns"])}


def _shown_notice(notice: RowMapping) -> dict[str, Any]:
    same = ("id", "step", "channel", "state", "attempts", "failure", "vendor_code", "detail")
    waiting = notice["state"] == "pending"
    return {
        **{name: notice[name] for name in same},
        "created": iso(notice["created_ns"]),
        "sent": iso(notice["sent_ns"]),
        "next_attempt": iso(notice["next_attempt_ns"]) if waiting else None,
    }
