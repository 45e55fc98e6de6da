"""Cases: what departments have to close, and every step on the way there."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import RowMapping, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.api import case_schemas as schemas
from cloud.api.actor import Acting, Actor
from cloud.api.alarm_filter import alarm_select
from cloud.api.alarms import shown_alarm
from cloud.api.common import MAX_INT, Given, Id, NoQuery, PageQuery, text
from cloud.api.cursors import Whole, next_cursor, read_cursor
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import age_s, instant_ns, iso
from cloud.cases.desk import Desk
from cloud.cases.facts import device_says, matter_of, timer_of
from cloud.cases.opening import Report
from cloud.cases.opening import report as report_case
from cloud.cases.steps import take
from cloud.cases.telling import case_news
from cloud.clocks.clock import reckon
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, case_alarms, case_clocks, case_steps, cases, devices, notifications
from cloud.workflow.case import Deed
from cloud.workflow.states import CLOCK_WORDS, ENDED, STATE_WORDS, STEP_WORDS, Clock, Role, State, Step
from cloud.workflow.step import steps_from
from cloud.workflow.terms import Need
from device_profiles.quantities import Text
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["CaseId", "case_detail", "case_select", "router", "shown_case"]

router = APIRouter(tags=["cases"])

CaseId = Annotated[int, Path(alias="id", ge=1, le=MAX_INT)]
_STEP_PROBLEMS: Final = describe(403, 404, 409, 413)


class CaseQuery(PageQuery):
    """Which cases."""

    state: Literal["open", "closed", "all"] = Field("open", description="open: not ended yet, in whatever state; closed: ended")
    device: Id | None = Field(None, description="only of this device")
    assignee: str | None = Field(None, max_length=128, description="only this person's tasks")
    department: str | None = Field(None, max_length=64, description="only of this department")
    district: Id | None = Field(None, description="only of this district")
    matter: Id | None = Field(None, description="only of this matter")


@router.get("/cases", summary="Cases, newest first", response_model=schemas.CasePage)
async def list_cases(given: Given, who: Acting, query: Annotated[CaseQuery, Query()]) -> dict[str, Any]:
    """In order of their number, newest first; at most 1000 a page."""
    wanted = case_select().where(who.seen(cases.c.district)).order_by(cases.c.id.desc()).limit(query.limit + 1)
    if query.state != "all":
        wanted = wanted.where(cases.c.closed_ns.is_(None) if query.state == "open" else cases.c.closed_ns.is_not(None))
    for name in ("device", "assignee", "department", "district", "matter"):
        if (value := getattr(query, name)) is not None:
            wanted = wanted.where(cases.c[name] == value)
    if (after := read_cursor(query.cursor, tuple[Whole])) is not None:
        wanted = wanted.where(cases.c.id < after[0])
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
    page = rows[: query.limit]
    more = next_cursor(page[-1]["id"]) if len(rows) > query.limit else None
    now_ns = given.clock.wall_ns()
    return {"items": [shown_case(row, now_ns) for row in page], "next": more}


@router.get(
    "/cases/{id}",
    summary="One case with its steps, clocks, alarms and messages",
    response_model=schemas.CaseDetail,
    responses=describe(404),
)
async def get_case(given: Given, who: Acting, case: CaseId, _: NoQuery) -> dict[str, Any]:
    """Steps and messages in the order they happened, alarms newest first; `may` is what its state allows next. A case of a
    district that is none of one's own is not there."""
    async with reading(given.engine) as conn:
        detail = await case_detail(conn, given, case, who)
    if not who.sees(detail["district"]):
        raise ApiProblem(Reason.NOT_FOUND, f"case {case}: there is none")
    return detail


@router.post("/cases", summary="Report a problem", response_model=schemas.CaseDetail, responses=_STEP_PROBLEMS)
async def report_problem(given: Given, who: Acting, new: schemas.NewCase, _: NoQuery) -> dict[str, Any]:
    """The new case, or the open one that the report joined: of the same device, or the nearest of the same matter."""
    now_ns = given.clock.wall_ns()
    name, role = who.reports(new.actor, new.role if who.free or "role" in new.model_fields_set else "")
    matter = given.desk.matters.find(new.matter, now_ns)
    if matter is None:
        raise ApiProblem(Reason.NOT_FOUND, f"matter {new.matter}: there is none")
    async with writing(given.engine) as conn:
        told = Report(
            matter=matter,
            priority=matter.priority.value,
            source="person",
            occasion=f"report/{name}/{now_ns}",
            note=new.description or matter.title.zh,
            actor=name,
            role=role,
            address=new.address,
            description=new.description,
            reporter=name,
            photos=tuple(new.photos),
            **await _place(conn, new.device, new.longitude, new.latitude),
        )
        joined = await report_case(conn, given.desk, told, now_ns)
        detail = await case_detail(conn, given, joined.case["id"], who)
    _publish(given, joined.case)
    return detail


@router.post("/cases/{id}/steps", summary="Take a step of a case", response_model=schemas.CaseDetail, responses=_STEP_PROBLEMS)
async def take_step(given: Given, who: Acting, case: CaseId, step: schemas.StepTaken, _: NoQuery) -> dict[str, Any]:
    """409 where the case has moved on since `version` or its state does not allow the step, 403 where the office does not."""
    if step.role is Role.SYSTEM:
        raise ApiProblem(Reason.NOT_ALLOWED, "role system: is nobody's office")
    async with writing(given.engine) as conn:
        name, role = await who.steps_on(conn, case, step.step, step.actor, step.role)
        row = await take(
            conn,
            given.desk,
            case,
            _deed(step, name, role),
            now_ns=given.clock.wall_ns(),
            version=step.version,
            key=step.key,
            done_ns=instant_ns(step.done) if step.done else None,
        )
        detail = await case_detail(conn, given, case, who)
    _publish(given, row)
    return detail


def _deed(step: schemas.StepTaken, name: str, role: Role) -> Deed:
    return Deed(
        step=step.step,
        actor=name,
        role=role,
        at_ns=0,  # `take` says when
        note=step.note,
        reason=step.reason,
        standard=step.standard,
        until_ns=instant_ns(step.until) if step.until else None,
        department=step.department,
        assignee=step.assignee,
        photos=tuple(step.photos),
        position=(step.position.longitude, step.position.latitude) if step.position else None,
    )


def _publish(given: Services, row: Mapping[str, Any]) -> None:
    given.feed.publish("case", case_news(row))
    given.notify()


async def _place(conn: AsyncConnection, device: str | None, longitude: float | None, latitude: float | None) -> dict[str, Any]:
    """What a report says of where it is: the device's own place where the report names none."""
    if device is None:
        return {"longitude": longitude, "latitude": latitude}
    row = (await conn.execute(select(devices).where(devices.c.id == device))).mappings().first()
    if row is None:
        raise ApiProblem(Reason.UNKNOWN_DEVICE, f"device {device}: there is none")
    here = (longitude, latitude) if longitude is not None and latitude is not None else (row["longitude"], row["latitude"])
    return {"device": device, "component_code": row["component_code"], "longitude": here[0], "latitude": here[1]}


async def case_detail(conn: AsyncConnection, given: Services, case: int, who: Actor) -> dict[str, Any]:
    """A case as `get_case` shows it; ApiProblem where there is none. Who may read it is for the caller to say."""
    now_ns, desk = given.clock.wall_ns(), given.desk
    row = (await conn.execute(case_select().where(cases.c.id == case))).mappings().first()
    if row is None:
        raise ApiProblem(Reason.NOT_FOUND, f"case {case}: there is none")
    steps = select(case_steps).where(case_steps.c.case_id == case).order_by(case_steps.c.id)
    clocks = select(case_clocks).where(case_clocks.c.case_id == case).order_by(case_clocks.c.id)
    joined = alarm_select().join(case_alarms, case_alarms.c.alarm == alarms.c.id).where(case_alarms.c.case_id == case)
    told = select(notifications).where(notifications.c.case_id == case).order_by(notifications.c.id)
    timers = (await conn.execute(clocks)).mappings().all()
    await desk.calendars.know(conn, {timer["calendar"] for timer in timers})
    matter = matter_of(desk, row)
    return {
        **shown_case(row, now_ns),
        "steps": [_shown_step(step) for step in (await conn.execute(steps)).mappings()],
        "clocks": [_shown_clock(desk, timer, now_ns) for timer in timers],
        "may": _may(State(row["state"])),
        "device_says": (await device_says(conn, desk, row)).value,
        "filed_when": text(matter.filed_when) if matter else None,
        "closes_when": text(matter.closes_when) if matter else None,
        "alarms": [
            shown_alarm(given, alarm, now_ns, who)
            for alarm in (await conn.execute(joined.order_by(alarms.c.raised_ns.desc()))).mappings()
        ],
        "notifications": [_shown_notice(notice) for notice in (await conn.execute(told)).mappings()],
    }


def case_select() -> Select[Any]:
    """Rows of `cases` with their device's name."""
    return select(cases, devices.c.name.label("device_name")).outerjoin(devices, devices.c.id == cases.c.device)


_SAME: Final = (
    *("id", "device", "matter", "gbt_code", "department", "district", "priority", "source", "description", "address"),
    *("state", "longitude", "latitude", "assignee", "asked", "returned", "reworks", "version"),
)


_WORK_IS_DONE: Final = frozenset({State.FEEDBACK, State.CHECKING, *ENDED})
"""Whether the handling was late is fixed when the department confirms; nothing runs on against it."""


def shown_case(row: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    """A row of `case_select` as the API shows it."""
    waits = row["due_ns"] is not None and State(row["state"]) not in _WORK_IS_DONE
    return {
        **{name: row[name] for name in _SAME},
        "device_name": row["device_name"] or "",
        "title": {"zh": row["title_zh"], "en": row["title_en"]},
        "state_title": text(STATE_WORDS[State(row["state"])]),
        "opened": iso(row["opened_ns"]),
        "age_s": age_s(row["opened_ns"], now_ns),
        "due": iso(row["due_ns"]),
        "overdue": row["overdue"] or (waits and now_ns > row["due_ns"]),
        "closed": iso(row["closed_ns"]),
        "hold_until": iso(row["hold_until_ns"]),
    }


def _shown_step(step: RowMapping) -> dict[str, Any]:
    same = ("id", "step", "from_state", "to_state", "actor", "role", "note", "reason", "standard", "department", "assignee")
    title = STEP_WORDS[Step(step["step"])] if step["step"] in list(Step) else Text(step["step"], step["step"])
    return {
        **{name: step[name] for name in (*same, "device_says", "photos", "longitude", "latitude")},
        "title": text(title),
        "at": iso(step["at_ns"]),
        "done": iso(step["done_ns"]),
        "until": iso(step["until_ns"]),
    }


def _shown_clock(desk: Desk, row: RowMapping, now_ns: int) -> dict[str, Any]:
    stands = reckon(timer_of(dict(row)), desk.calendars.of(row["calendar"]), row["stopped_ns"] or now_ns)
    unknown = stands.unpublished[0] if stands.unpublished else None
    return {
        "clock": row["clock"],
        "title": text(CLOCK_WORDS[Clock(row["clock"])]),
        "state": row["state"],
        "kind": row["kind"],
        "started": iso(row["start_ns"]),
        "limit_s": (row["limit_ns"] + sum(row["extensions"])) / SECOND_NS,
        "deadline": iso(stands.deadline_ns),
        "spent_s": round(stands.spent_ns / SECOND_NS, 1),
        "left_s": round(stands.left_ns / SECOND_NS, 1),
        "late": stands.late if row["late"] is None else row["late"],
        "remark": {"zh": unknown.zh, "en": unknown.en} if unknown else None,
    }


def _may(state: State) -> list[dict[str, Any]]:
    """The steps of people; what only the system does is no button."""
    return [
        {
            "step": step.value,
            "title": text(STEP_WORDS[step]),
            "roles": [role.value for role in Role if role in row.roles and role is not Role.SYSTEM],
            "needs": [need.value for need in Need if need in row.needs],
            "to": row.after.value,
        }
        for step, row in steps_from(state).items()
        if row.roles - {Role.SYSTEM}
    ]


def _shown_notice(notice: RowMapping) -> dict[str, Any]:
    same = ("id", "step", "channel", "target", "state", "attempts", "failure", "vendor_code", "detail", "receipt")
    waiting = notice["state"] == "pending"
    return {
        **{name: notice[name] for name in same},
        "created": iso(notice["created_ns"]),
        "sent": iso(notice["sent_ns"]),
        "next_attempt": iso(notice["next_attempt_ns"]) if waiting else None,
        "opened": iso(notice["opened_ns"]),
    }
