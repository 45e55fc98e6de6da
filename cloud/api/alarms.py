"""Alarms: the list a person works from, one occurrence with its steps, and acknowledging it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field, StringConstraints
from sqlalchemy import RowMapping, Select, and_, or_, select

from cloud import alarms as log
from cloud.api import schemas
from cloud.api.common import Given, Id, NoQuery, PageQuery, text
from cloud.api.cursors import Whole, next_cursor, read_cursor
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import age_s, iso
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, devices, transitions
from device_profiles.model import AlarmRule, Profile
from telemetry.alarm_states import AlarmState
from telemetry.reason import Reason

__all__ = ["alarm_select", "router", "shown_alarm"]

router = APIRouter(tags=["alarms"])

AlarmId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\-/]{1,160}$")]


class AlarmQuery(PageQuery):
    """Which alarms."""

    state: Literal["open", "all"] = Field("open", description="open: everything a person still sees; all: the past too")
    device: Id | None = Field(None, description="only of this device")


@router.get("/alarms", summary="Alarms, newest first", response_model=schemas.AlarmPage)
async def list_alarms(given: Given, query: Annotated[AlarmQuery, Query()]) -> dict[str, Any]:
    """In order of the time they were raised, newest first; at most 1000 a page."""
    wanted = alarm_select().order_by(alarms.c.raised_ns.desc(), alarms.c.id.desc()).limit(query.limit + 1)
    if query.state == "open":
        wanted = wanted.where(alarms.c.state != AlarmState.NORMAL.value)
    if query.device is not None:
        wanted = wanted.where(alarms.c.device == query.device)
    if (after := read_cursor(query.cursor, tuple[Whole, str])) is not None:
        same = and_(alarms.c.raised_ns == after[0], alarms.c.id < after[1])
        wanted = wanted.where(or_(alarms.c.raised_ns < after[0], same))
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
    page = rows[: query.limit]
    more = next_cursor(page[-1]["raised_ns"], page[-1]["id"]) if len(rows) > query.limit else None
    now_ns = given.clock.wall_ns()
    return {"items": [shown_alarm(given, row, now_ns) for row in page], "next": more}


@router.post(
    "/alarms/{id:path}/acknowledge",
    summary="Say that somebody has seen an alarm",
    response_model=schemas.AlarmDetail,
    responses=describe(403, 404, 409, 413),
)
async def acknowledge_alarm(
    given: Given, alarm: Annotated[AlarmId, Path(alias="id")], note: schemas.Note, _: NoQuery
) -> dict[str, Any]:
    """One cloud transition. 409 where there is nothing left to acknowledge."""
    now_ns = given.clock.wall_ns()
    async with writing(given.engine) as conn:
        row = await log.acknowledge(conn, alarm, note.actor, note.note, now_ns)
    given.feed.publish("alarm", log.alarm_news(row))
    return await _detail(given, alarm)


@router.get(
    "/alarms/{id:path}",
    summary="One alarm with every step so far",
    response_model=schemas.AlarmDetail,
    responses=describe(404),
)
async def get_alarm(given: Given, alarm: Annotated[AlarmId, Path(alias="id")], _: NoQuery) -> dict[str, Any]:
    """The id is `device/rule/onset`, with its slashes as they are."""
    return await _detail(given, alarm)


async def _detail(given: Services, alarm: str) -> dict[str, Any]:
    order = (transitions.c.event_time_ns, transitions.c.origin, transitions.c.n)
    async with reading(given.engine) as conn:
        row = (await conn.execute(alarm_select().where(alarms.c.id == alarm))).mappings().first()
        if row is None:
            raise ApiProblem(Reason.NOT_FOUND, f"alarm {alarm}: there is none")
        steps = (await conn.execute(select(transitions).where(transitions.c.alarm == alarm).order_by(*order))).mappings().all()
    rule = _rule(given, row)
    meaning = {name: text(getattr(rule, name)) if rule else None for name in ("cause", "consequence", "response")}
    return {**shown_alarm(given, row, given.clock.wall_ns()), **meaning, "transitions": [_shown_step(step) for step in steps]}


def alarm_select() -> Select[Any]:
    """Rows of `alarms` with their device's name."""
    return select(alarms, devices.c.name.label("device_name")).outerjoin(devices, devices.c.id == alarms.c.device)


def shown_alarm(given: Services, row: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    """A row of `alarm_select` as the API shows it."""
    rule = _rule(given, row)
    same = ("id", "device", "rule", "priority", "state", "uncertain", "acknowledged_by", "case_id", "evidence")
    return {
        **{name: row[name] for name in same},
        "device_name": row["device_name"] or "",
        "title": text(rule.title) if rule else None,
        "raised": iso(row["raised_ns"]),
        "age_s": age_s(row["raised_ns"], now_ns),
        "returned": iso(row["returned_ns"]),
        "acknowledged": iso(row["acknowledged_ns"]),
    }


def _rule(given: Services, row: Mapping[str, Any]) -> AlarmRule | None:
    profile: Profile | None = given.catalog.get(row["profile"])
    return profile.alarms.get(row["rule"]) if profile else None


def _shown_step(step: RowMapping) -> dict[str, Any]:
    same = ("origin", "n", "cause", "priority", "from_state", "to_state", "actor", "note", "evidence")
    times = {"event_time": step["event_time_ns"], "recorded": step["recorded_ns"], "stored": step["stored_ns"]}
    return {**{name: step[name] for name in same}, **{name: iso(value) for name, value in times.items()}}
