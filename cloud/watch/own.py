"""Raising and returning the cloud's own alarms: one transition each, in the log like any other."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import NOTHING, SYSTEM, Recorded, Subject, record, subject_of, write
from cloud.relational.chunks import chunks
from cloud.relational.tables import alarms, devices
from cloud.watch.names import PROFILE, occurrence
from device_profiles.model import LATITUDE, LONGITUDE
from telemetry.alarm_states import ACTIVE, alarm_id
from telemetry.records import Cause, Origin, Priority, Transition, Value

__all__ = ["IS_ACTIVE", "Raise", "active", "alarm_of", "middle_of", "raise_all", "return_all", "rows_of", "subject"]

IS_ACTIVE: Final = alarms.c.state.in_(sorted(ACTIVE))


class Raise(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that comes true now, and what it is told by. `alarm` names the occurrence where it has a name already."""

    subject: Subject
    evidence: Mapping[str, Value]
    note: str = ""
    alarm: str = ""


def subject(name: str, rule: str, priority: Priority) -> Subject:
    """The alarm itself of something that is not a device and has no profile."""
    own = alarm_id(name, rule)
    return Subject(alarm=own, device=name, rule=rule, profile=PROFILE, profile_version=1, priority=priority)


async def middle_of(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, Value]:
    """Where the middle of these devices is, as evidence; nothing where no place is known."""
    total, longitudes, latitudes = 0, 0.0, 0.0
    for some in chunks(ids):
        sums = select(func.count(), func.sum(devices.c.longitude), func.sum(devices.c.latitude))
        placed = sums.where(devices.c.id.in_(some), devices.c.longitude.is_not(None), devices.c.latitude.is_not(None))
        count, longitude, latitude = (await conn.execute(placed)).one()
        if count:
            total, longitudes, latitudes = total + count, longitudes + longitude, latitudes + latitude
    return {LONGITUDE: round(longitudes / total, 6), LATITUDE: round(latitudes / total, 6)} if total else {}


def alarm_of(row: Mapping[str, Any]) -> Subject:
    """The alarm itself that an occurrence, a row of `alarms`, is one of: what suppression is about."""
    return subject_of({**row, "id": alarm_id(row["device"], row["rule"])})


async def rows_of(conn: AsyncConnection, wanted: Select[Any]) -> list[dict[str, Any]]:
    """The rows of an answer, by the names of their columns."""
    return [dict(row) for row in (await conn.execute(wanted)).mappings()]


async def active(conn: AsyncConnection, rule: str, name: str | None = None) -> list[dict[str, Any]]:
    """The active alarms of a rule, of one device or of all, in the order of their ids."""
    wanted = select(alarms).where(alarms.c.rule == rule, IS_ACTIVE).order_by(alarms.c.id)
    if name is not None:
        wanted = wanted.where(alarms.c.device == name)
    return await rows_of(conn, wanted)


async def raise_all(conn: AsyncConnection, raised: Sequence[Raise], now_ns: int) -> Recorded:
    """A new occurrence of each, named by this instant where it has no name; said again, it changes nothing."""
    if not raised:
        return NOTHING
    return await record(conn, [_step(each, now_ns) for each in raised], now_ns)


async def return_all(conn: AsyncConnection, rows: Sequence[Mapping[str, Any]], note: str, now_ns: int) -> Recorded:
    """These occurrences, rows of `alarms`, are over."""
    if not rows:
        return NOTHING
    return await write(conn, [subject_of(row) for row in rows], Cause.RETURN, actor=SYSTEM, note=note, now_ns=now_ns)


def _step(each: Raise, now_ns: int) -> Transition:
    about = each.subject
    return Transition(
        alarm=each.alarm or occurrence(about.device, about.rule, now_ns),
        origin=Origin.CLOUD,
        n=1,
        device=about.device,
        rule=about.rule,
        profile=about.profile,
        profile_version=about.profile_version,
        cause=Cause.RAISE,
        priority=about.priority,
        event_time_ns=now_ns,
        recorded_ns=now_ns,
        actor=SYSTEM,
        evidence=dict(each.evidence),
        note=each.note,
    )
