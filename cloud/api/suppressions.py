"""Keeping alarms from people: the register of what is shelved, suppressed by design and out of service, and the acts on it.

The id of an alarm is `device/rule`; an occurrence's, `device/rule/onset`, means the same.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import Select, select

from cloud.accounts.rights import Act
from cloud.alarms import suppressing
from cloud.api import schemas
from cloud.api.actor import Acting
from cloud.api.alarm_acts import ACT_PROBLEMS, SUPPRESSED, AlarmPath, acting, suppression_of
from cloud.api.common import Given, Id, NoQuery, PageQuery, text
from cloud.api.cursors import next_cursor, read_cursor
from cloud.api.problems import ApiProblem
from cloud.api.services import Services
from cloud.api.times import instant_ns, iso
from cloud.relational.engine import reading
from cloud.relational.tables import devices, suppressions
from cloud.watch.names import TITLES
from telemetry.alarm_states import Suppression
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["alarms"])


class SuppressionQuery(PageQuery):
    """Which suppressions."""

    suppression: Literal["any", "shelved", "suppressed_by_design", "out_of_service"] = Field(
        "any", description="only alarms for which this holds; any: whichever of the three"
    )
    device: Id | None = Field(None, description="only of this device")


@router.get("/suppressions", summary="Alarms that people are not told of", response_model=schemas.SuppressionPage)
async def list_suppressions(given: Given, query: Annotated[SuppressionQuery, Query()]) -> dict[str, Any]:
    """In order of their ids, whether they are active or not; at most 1000 a page."""
    wanted = _select().where(suppressions.c.shown != "").order_by(suppressions.c.id).limit(query.limit + 1)
    if query.suppression != "any":
        wanted = wanted.where(SUPPRESSED[Suppression(query.suppression)])
    if query.device is not None:
        wanted = wanted.where(suppressions.c.device == query.device)
    if (after := read_cursor(query.cursor, tuple[str])) is not None:
        wanted = wanted.where(suppressions.c.id > after[0])
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
    page = rows[: query.limit]
    more = next_cursor(page[-1]["id"]) if len(rows) > query.limit else None
    return {"items": [_shown(given, row) for row in page], "next": more}


@router.post(
    "/alarms/{id:path}/shelve",
    summary="Keep an alarm off the lists for a while",
    response_model=schemas.Suppression,
    responses=ACT_PROBLEMS,
)
async def shelve_alarm(given: Given, who: Acting, alarm: AlarmPath, shelving: schemas.Shelving, _: NoQuery) -> dict[str, Any]:
    """Wants a reason; a day at most, or what its rule allows. Again, it moves the end."""
    async with acting(given) as act:
        subject = await suppressing.find(act.conn, given.catalog, alarm)
        name = await who.acts_on(act.conn, Act.SHELVE, alarm, shelving.actor)
        act.did = await suppressing.shelve(
            act.conn,
            subject,
            until_ns=instant_ns(shelving.until),
            actor=name,
            reason=shelving.note,
            now_ns=act.now_ns,
            once=shelving.once,
            longest_s=suppressing.longest_shelf_s(given.catalog, subject),
        )
    return await _register(given, subject.alarm)


@router.post(
    "/alarms/{id:path}/unshelve",
    summary="End a shelf before its time",
    response_model=schemas.Suppression,
    responses=ACT_PROBLEMS,
)
async def unshelve_alarm(given: Given, who: Acting, alarm: AlarmPath, note: schemas.Note, _: NoQuery) -> dict[str, Any]:
    """What is active and unacknowledged then is told as if it were new. 409 where it is not shelved."""
    async with acting(given) as act:
        subject = await suppressing.find(act.conn, given.catalog, alarm)
        name = await who.acts_on(act.conn, Act.SHELVE, alarm, note.actor)
        act.did = await suppressing.unshelve(act.conn, subject, actor=name, note=note.note, now_ns=act.now_ns)
    return await _register(given, subject.alarm)


@router.post(
    "/alarms/{id:path}/suppress",
    summary="Say what explains an alarm",
    response_model=schemas.Suppression,
    responses=ACT_PROBLEMS,
)
async def suppress_alarm(given: Given, who: Acting, alarm: AlarmPath, why: schemas.Suppressing, _: NoQuery) -> dict[str, Any]:
    """Suppressed by design until nothing explains it any more. Again for the same cause, it changes nothing."""
    async with acting(given) as act:
        subject = await suppressing.find(act.conn, given.catalog, alarm)
        name = await who.acts_on(act.conn, Act.SUPPRESS, alarm, why.actor)
        said: dict[str, Any] = {"actor": name, "note": why.note, "now_ns": act.now_ns}
        act.did = await suppressing.suppress(act.conn, [subject], why.by, **said)
    return await _register(given, subject.alarm)


@router.post(
    "/alarms/{id:path}/unsuppress",
    summary="Say that something explains an alarm no longer",
    response_model=schemas.Suppression,
    responses=ACT_PROBLEMS,
)
async def unsuppress_alarm(given: Given, who: Acting, alarm: AlarmPath, why: schemas.Suppressing, _: NoQuery) -> dict[str, Any]:
    """When the last cause has gone, what is active and unacknowledged is told as if it were new. 409 where it was none."""
    async with acting(given) as act:
        subject = await suppressing.find(act.conn, given.catalog, alarm)
        name = await who.acts_on(act.conn, Act.SUPPRESS, alarm, why.actor)
        said: dict[str, Any] = {"actor": name, "note": why.note, "now_ns": act.now_ns}
        act.did = await suppressing.unsuppress(act.conn, [subject], why.by, **said)
        if not act.did.steps:
            raise ApiProblem(Reason.CONFLICT, f"alarm {subject.alarm}: is not suppressed by {why.by}")
    return await _register(given, subject.alarm)


@router.post(
    "/alarms/{id:path}/out-of-service",
    summary="Take an alarm out of service",
    response_model=schemas.Suppression,
    responses=ACT_PROBLEMS,
)
async def take_out_of_service(
    given: Given, who: Acting, alarm: AlarmPath, out: schemas.OutOfService, _: NoQuery
) -> dict[str, Any]:
    """Wants a reason and the date of a review, a year away at most. Again, it moves the review."""
    async with acting(given) as act:
        subject = await suppressing.find(act.conn, given.catalog, alarm)
        name = await who.acts_on(act.conn, Act.OUT_OF_SERVICE, alarm, out.actor)
        said: dict[str, Any] = {"actor": name, "reason": out.note, "now_ns": act.now_ns}
        act.did = await suppressing.out_of_service(act.conn, subject, review_ns=instant_ns(out.review), **said)
    return await _register(given, subject.alarm)


@router.post(
    "/alarms/{id:path}/return-to-service",
    summary="Return an alarm to service",
    response_model=schemas.Suppression,
    responses=ACT_PROBLEMS,
)
async def return_to_service(given: Given, who: Acting, alarm: AlarmPath, note: schemas.Note, _: NoQuery) -> dict[str, Any]:
    """What is active must be seen again, even what was acknowledged. 409 where it is in service."""
    async with acting(given) as act:
        subject = await suppressing.find(act.conn, given.catalog, alarm)
        name = await who.acts_on(act.conn, Act.OUT_OF_SERVICE, alarm, note.actor)
        act.did = await suppressing.return_to_service(act.conn, subject, actor=name, note=note.note, now_ns=act.now_ns)
    return await _register(given, subject.alarm)


async def _register(given: Services, alarm: str) -> dict[str, Any]:
    async with reading(given.engine) as conn:
        return _shown(given, (await conn.execute(_select().where(suppressions.c.id == alarm))).mappings().one())


def _select() -> Select[Any]:
    named = select(suppressions, devices.c.name.label("device_name"))
    return named.outerjoin(devices, devices.c.id == suppressions.c.device)


def _shown(given: Services, row: Mapping[str, Any]) -> dict[str, Any]:
    profile = given.catalog.get(row["profile"])
    rule = profile.alarms.get(row["rule"]) if profile else None
    same = ("id", "device", "rule", "shown", "shelf", "shelved_by", "shelf_reason", "suppressed_by", "out_by", "out_reason")
    times = ("changed", "shelved", "shelved_until", "out", "review")
    return {
        **{name: row[name] for name in same},
        **{name: iso(row[f"{name}_ns"]) for name in times},
        "device_name": row["device_name"] or "",
        "title": text(rule.title if rule else TITLES.get(row["rule"])),
        "suppression": suppression_of(row),
    }
