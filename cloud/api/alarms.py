"""Alarms: the list a person works from, one occurrence with its steps, and what is done to it."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import or_, select

from cloud.accounts.rights import Act
from cloud.alarms import acts
from cloud.api import schemas
from cloud.api.actor import Acting, Actor
from cloud.api.alarm_acts import ACT_PROBLEMS, AlarmPath, acting, suppression_of
from cloud.api.alarm_filter import AlarmQuery, alarm_select, cause_of, chosen, explained
from cloud.api.common import Given, NoQuery, text
from cloud.api.cursors import Whole, next_cursor, read_cursor
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.api.times import age_s, iso
from cloud.relational.engine import reading
from cloud.relational.tables import alarms, transitions
from cloud.watch.names import GATEWAY, TITLES
from device_profiles.model import AlarmRule, Profile
from telemetry.reason import Reason
from telemetry.records import Priority

__all__ = ["router", "shown_alarm", "shown_transition"]

router = APIRouter(tags=["alarms"])


@router.get("/alarms", summary="Alarms, newest first", response_model=schemas.AlarmPage)
async def list_alarms(given: Given, who: Acting, query: Annotated[AlarmQuery, Query()]) -> dict[str, Any]:
    """In order of the time they were raised, newest first; at most 1000 a page."""
    wanted = alarm_select().order_by(alarms.c.raised_ns.desc(), alarms.c.id.desc()).limit(query.limit + 1)
    wanted = wanted.where(*chosen(query, given.catalog))
    if (after := read_cursor(query.cursor, tuple[Whole, str])) is not None:
        # The first half is what an index goes by.
        later = or_(alarms.c.raised_ns < after[0], alarms.c.id < after[1])
        wanted = wanted.where(alarms.c.raised_ns <= after[0], later)
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
        counts = await explained(conn)
    page = rows[: query.limit]
    more = next_cursor(page[-1]["raised_ns"], page[-1]["id"]) if len(rows) > query.limit else None
    now_ns = given.clock.wall_ns()
    items = [{**shown_alarm(given, row, now_ns, who), "explains": counts.get(row["id"], 0)} for row in page]
    return {"items": items, "next": more}


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
    return await _detail(given, alarm, who)


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
    return await _detail(given, alarm, who)


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
    return await _detail(given, alarm, who)


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
    return await _detail(given, alarm, who)


@router.get(
    "/alarms/{id:path}",
    summary="One alarm with every step so far",
    response_model=schemas.AlarmDetail,
    responses=describe(404),
)
async def get_alarm(given: Given, who: Acting, alarm: AlarmPath, _: NoQuery) -> dict[str, Any]:
    """The id is `device/rule/onset`, with its slashes as they are."""
    return await _detail(given, alarm, who)


async def _detail(given: Services, alarm: str, who: Actor) -> dict[str, Any]:
    order = (transitions.c.event_time_ns, transitions.c.origin, transitions.c.n)
    async with reading(given.engine) as conn:
        row = (await conn.execute(alarm_select().where(alarms.c.id == alarm))).mappings().first()
        if row is None:
            raise ApiProblem(Reason.NOT_FOUND, f"alarm {alarm}: there is none")
        steps = (await conn.execute(select(transitions).where(transitions.c.alarm == alarm).order_by(*order))).mappings().all()
    rule = _rule(given, row)
    meaning = {name: text(getattr(rule, name)) if rule else None for name in ("cause", "consequence", "response")}
    return {
        **shown_alarm(given, row, given.clock.wall_ns(), who),
        **meaning,
        "transitions": [shown_transition(dict(step)) for step in steps],
    }


def shown_alarm(given: Services, row: Mapping[str, Any], now_ns: int, who: Actor) -> dict[str, Any]:
    """A row of `alarm_select` as the API shows it to `who`: where a case stands only who may read that case is told."""
    rule = _rule(given, row)
    sees = row["case_state"] is not None and who.sees(row["case_district"])
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
        "gateway": row["device_gateway"] or (row["device"] if row["rule"] == GATEWAY else ""),
        "kind": row["device_kind"] or "",
        "district": row["case_district"] if sees else "",
        "caused_by": cause_of(row["suppressed_by"] if row["by_design"] else None),
        "case": {"id": row["case_id"], "state": row["case_state"], "assignee": row["case_assignee"]} if sees else None,
    }


def _rule(given: Services, row: Mapping[str, Any]) -> AlarmRule | None:
    profile: Profile | None = given.catalog.get(row["profile"])
    return profile.alarms.get(row["rule"]) if profile else None


def shown_transition(step: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `transitions` as the API shows it."""
    same = ("origin", "n", "cause", "priority", "from_state", "to_state", "actor", "note", "evidence")
    times = {"event_time": step["event_time_ns"], "recorded": step["recorded_ns"], "stored": step["stored_ns"]}
    return {**{name: step[name] for name in same}, **{name: iso(value) for name, value in times.items()}}
