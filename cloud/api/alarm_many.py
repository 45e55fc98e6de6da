"""Many alarms seen at once: one transaction, one answer for each of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.accounts.rights import Act
from cloud.alarms.log import subject_of, write
from cloud.api.actor import Acting, Actor
from cloud.api.alarm_acts import AlarmId, acting
from cloud.api.common import Given, NoQuery
from cloud.api.problems import ApiProblem, describe
from cloud.api.schemas import Answer, Note
from cloud.relational.chunks import chunks
from cloud.relational.tables import alarms, cases
from telemetry.alarm_states import TABLE, AlarmState
from telemetry.reason import Reason
from telemetry.records import Cause

__all__ = ["MOST_AT_ONCE", "router"]

router = APIRouter(tags=["alarms"])

MOST_AT_ONCE: Final = 500
_ID: Final = "cover-17/cover_open/1763647200123000000"


class ManyAlarms(Note):
    """Who has seen which alarms."""

    model_config = ConfigDict(json_schema_extra={"example": {"actor": "li.wei", "note": "one storm", "alarms": [_ID]}})
    alarms: list[AlarmId] = Field(min_length=1, max_length=MOST_AT_ONCE)


class RefusedAlarm(Answer):
    """One that was left as it is, and why."""

    id: str
    reason: str
    detail: str


class Seen(Answer):
    """`done` and `refused` are in the order in which they were asked for."""

    model_config = ConfigDict(json_schema_extra={"example": {"done": [_ID], "refused": []}})
    done: list[str]
    refused: list[RefusedAlarm]


@router.post(
    "/alarms/acknowledge",
    summary="Say that somebody has seen many alarms",
    response_model=Seen,
    responses=describe(403, 413),
)
async def acknowledge_alarms(given: Given, who: Acting, many: ManyAlarms, _: NoQuery) -> dict[str, Any]:
    """At most 500. What cannot be acknowledged is refused by itself; the others are, all of them or, on a fault, none."""
    name = who.named(many.actor)
    wanted = list(dict.fromkeys(many.alarms))
    async with acting(given) as act:
        held = await _held(act.conn, wanted)
        barred = await _barred(act.conn, who, held, many.actor)
        refused = [no for alarm in wanted if (no := _refusal(alarm, held, barred)) is not None]
        not_done = {each["id"] for each in refused}
        done = [alarm for alarm in wanted if alarm not in not_done]
        if done:
            subjects = [subject_of(held[alarm]) for alarm in done]
            act.did = await write(act.conn, subjects, Cause.ACKNOWLEDGE, actor=name, note=many.note, now_ns=act.now_ns)
    return {"done": done, "refused": refused}


async def _held(conn: AsyncConnection, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for some in chunks(wanted):
        rows = (await conn.execute(select(alarms).where(alarms.c.id.in_(some)))).mappings()
        found.update((row["id"], dict(row)) for row in rows)
    return found


async def _barred(conn: AsyncConnection, who: Actor, held: Mapping[str, Mapping[str, Any]], said: str) -> dict[str, str]:
    """Devices whose alarms this account may not acknowledge, and why. A device lies where its newest case lay, as `acts_on` has
    it; asked for all of them at once."""
    if who.free:
        return {}
    names = sorted({row["device"] for row in held.values()})
    lies: dict[str, str | None] = dict.fromkeys(names)
    for some in chunks(names):
        placed = cases.c.device.in_(some), cases.c.district != ""
        newest = select(func.max(cases.c.id)).where(*placed).group_by(cases.c.device)
        rows = await conn.execute(select(cases.c.device, cases.c.district).where(cases.c.id.in_(newest)))
        lies.update((row.device, row.district) for row in rows)
    answers = {district: _no(who, district, said) for district in set(lies.values())}
    return {device: no for device, district in lies.items() if (no := answers[district]) is not None}


def _no(who: Actor, district: str | None, said: str) -> str | None:
    try:
        who.does(Act.ACKNOWLEDGE, said, district)
    except ApiProblem as problem:
        return problem.detail
    return None


def _refusal(alarm: str, held: Mapping[str, Mapping[str, Any]], barred: Mapping[str, str]) -> dict[str, str] | None:
    row = held.get(alarm)
    if row is None:
        return _refused(alarm, Reason.NOT_FOUND, f"alarm {alarm}: there is none")
    if (why := barred.get(row["device"])) is not None:
        return _refused(alarm, Reason.NOT_ALLOWED, why)
    if (AlarmState(row["state"]), Cause.ACKNOWLEDGE) not in TABLE:
        return _refused(alarm, Reason.CONFLICT, f"alarm {alarm}: is {row['state']}; there is nothing to acknowledge")
    return None


def _refused(alarm: str, reason: Reason, detail: str) -> dict[str, str]:
    return {"id": alarm, "reason": reason.value, "detail": detail}
