"""Alarms: the list a person works from, one occurrence with its steps, and what is done to it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import ColumnElement, RowMapping, Select, and_, or_, select

from cloud.accounts.rights import Act
from cloud.alarms import acts
from cloud.api import schemas
from cloud.api.actor import Acting
from cloud.api.alarm_acts import ACT_PROBLEMS, SUPPRESSED, AlarmPath, acting, suppression_of
from cloud.api.common import Given, Id, NoQuery, PageQuery, text
from cloud.api.cursors import Whole, next_cursor, read_cursor
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import age_s, iso
from cloud.relational.engine import reading
from cloud.relational.tables import alarms, devices, suppressions, transitions
from cloud.watch.names import TITLES
from device_profiles.model import AlarmRule, Profile
from telemetry.alarm_states import AlarmState, Suppression
from telemetry.reason import Reason
from telemetry.records import Priority

__all__ = ["alarm_select", "router", "shown_alarm"]

router = APIRouter(tags=["alarms"])


class AlarmQuery(PageQuery):
    """Which alarms."""

    state: Literal["open", "all"] = Field("open", description="open: everything a person still sees; all: the past too")
    device: Id | None = Field(None, description="only of this device")
    suppression: Literal["none", "any", "all", "shelved", "suppressed_by_design", "out_of_service"] | None = Field(
        None,
        description="none: people are told of them; any: they are not, for whatever reason; one: for this reason; all: both. "
        "Left out: none of the open alarms, all of the past",
    )


@router.get("/alarms", summary="Alarms, newest first", response_model=schemas.AlarmPage)
async def list_alarms(given: Given, query: Annotated[AlarmQuery, Query()]) -> dict[str, Any]:
    """In order of the time they were raised, newest first; at most 1000 a page."""
    wanted = alarm_select().order_by(alarms.c.raised_ns.desc(), alarms.c.id.desc()).limit(query.limit + 1)
    if query.state == "open":
        wanted = wanted.where(alarms.c.state != AlarmState.NORMAL.value)
    if query.device is not None:
        wanted = wanted.where(alarms.c.device == query.device)
    if (kept := _suppressed(query.suppression or ("none" if query.state == "open" else "all"))) is not None:
        wanted = wanted.where(kept)
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
    responses=ACT_PROBLEMS,
)
async def acknowledge_alarm(given: Given, who: Acting, alarm: AlarmPath, note: schemas.Note, _: NoQuery) -> dict[str, Any]:
    """One cloud transition. 409 where there is nothing left to acknowledge."""
    async with acting(given) as act:
        name = await who.acts_on(act.conn, Act.ACKNOWLEDGE, alarm, note.actor)
        act.did = await acts.acknowledge(act.conn, alarm, name, note.note, act.now_ns)
    return await _detail(given, alarm)


@router.post(
    "/alarms/{id:path}/reset",
    summary="Reset a latched alarm after a look at the place",
    response_model=schemas.AlarmDetail,
    responses=ACT_PROBLEMS,
)
async def reset_alarm(given: Given, who: Acting, alarm: AlarmPath, note: schemas.Note, _: NoQuery) -> dict[str, Any]:
    """409 while the condition holds, and before it is acknowledged."""
    async with acting(given) as act:
        name = await who.acts_on(act.conn, Act.RESET, alarm, note.actor)
        act.did = await acts.reset(act.conn, alarm, name, note.note, act.now_ns)
    return await _detail(given, alarm)


@router.post(
    "/alarms/{id:path}/re-alarm",
    summary="Have an acknowledged alarm seen again",
    response_model=schemas.AlarmDetail,
    responses=ACT_PROBLEMS,
)
async def re_alarm(given: Given, who: Acting, alarm: AlarmPath, note: schemas.Note, _: NoQuery) -> dict[str, Any]:
    """It is unacknowledged again, and its open case says so. 409 unless it is acknowledged and active."""
    async with acting(given) as act:
        name = await who.acts_on(act.conn, Act.RE_ALARM, alarm, note.actor)
        act.did = await acts.re_alarm(act.conn, alarm, name, note.note, act.now_ns)
    return await _detail(given, alarm)


@router.post(
    "/alarms/{id:path}/priority",
    summary="Raise or lower the priority of an active alarm",
    response_model=schemas.AlarmDetail,
    responses=ACT_PROBLEMS,
)
async def set_alarm_priority(
    given: Given, who: Acting, alarm: AlarmPath, rank: schemas.AlarmPriority, _: NoQuery
) -> dict[str, Any]:
    """Raised, it must be acknowledged again. 409 where it is over, or has this priority already."""
    async with acting(given) as act:
        name = await who.acts_on(act.conn, Act.PRIORITY, alarm, rank.actor)
        said: dict[str, Any] = {"actor": name, "note": rank.note, "now_ns": act.now_ns}
        act.did = await acts.set_priority(act.conn, alarm, Priority(rank.priority), **said)
    return await _detail(given, alarm)


@router.get(
    "/alarms/{id:path}",
    summary="One alarm with every step so far",
    response_model=schemas.AlarmDetail,
    responses=describe(404),
)
async def get_alarm(given: Given, alarm: AlarmPath, _: NoQuery) -> dict[str, Any]:
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
    """Rows of `alarms` with their device's name and their suppression."""
    kept = (suppressions.c.shelf, suppressions.c.by_design, suppressions.c.out_of_service, suppressions.c.shelved_until_ns)
    own = and_(suppressions.c.device == alarms.c.device, suppressions.c.rule == alarms.c.rule)
    named = select(alarms, devices.c.name.label("device_name"), *kept, suppressions.c.shown.label("suppressed"))
    return named.outerjoin(devices, devices.c.id == alarms.c.device).outerjoin(suppressions, own)


def _suppressed(which: str) -> ColumnElement[bool] | None:
    """The condition on rows of `alarm_select` that a query's `suppression` means; None where it means all."""
    match which:
        case "all":
            return None
        case "none":
            return or_(suppressions.c.shown.is_(None), suppressions.c.shown == "")
        case "any":
            return suppressions.c.shown != ""
        case _:
            return SUPPRESSED[Suppression(which)]


def shown_alarm(given: Services, row: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    """A row of `alarm_select` as the API shows it."""
    rule = _rule(given, row)
    same = ("id", "device", "rule", "priority", "state", "uncertain", "raises", "acknowledged_by", "case_id", "evidence")
    return {
        **{name: row[name] for name in same},
        "device_name": row["device_name"] or "",
        "title": text(rule.title if rule else TITLES.get(row["rule"])),
        "shown": row["suppressed"] or row["state"],
        "suppression": suppression_of(row),
        "shelved_until": iso(row["shelved_until_ns"]),
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
