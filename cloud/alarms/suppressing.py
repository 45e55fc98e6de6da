"""Keeping alarms from people, and giving them back: shelving, suppression by design, out of service.

These are about the alarm, a rule of a device, not about one occurrence: whatever comes true meanwhile is judged at the
edge and logged as ever, and opens no case. Each act is one transition for each alarm; who calls them passes what they
return to `cloud.alarms.announce`, so that what is still active afterwards is told.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.acts import AlarmError
from cloud.alarms.log import NOTHING, SYSTEM, Recorded, Subject, subject_of, write
from cloud.alarms.projection import REVIEW, UNTIL
from cloud.relational.chunks import chunks
from cloud.relational.tables import alarms, devices, suppressions
from device_profiles.model import Profile
from telemetry.alarm_states import LINK, AlarmState, Shelf, alarm_id
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Cause

__all__ = [
    "LONGEST_REVIEW_S",
    "LONGEST_SHELF_S",
    "expire_shelves",
    "find",
    "longest_shelf_s",
    "out_of_service",
    "return_to_service",
    "shelve",
    "suppress",
    "unshelve",
    "unsuppress",
]

LONGEST_SHELF_S: Final = 24 * 3600.0
"""The product's own limit, three shifts: OPC UA part 9 asks for a MaxTimeShelved and leaves it to the system."""
LONGEST_REVIEW_S: Final = 366 * 86400.0
"""Nothing is out of service for more than a year without anybody looking at it; the limit of a case on hold."""
_LONGEST_LINK: Final = 160
_MOST_EXPIRED: Final = 500


async def find(conn: AsyncConnection, catalog: Mapping[str, Profile], name: str) -> Subject:
    """The alarm that `name` means: `device/rule`, raised before or not, or any occurrence of it. AlarmError where none is."""
    row = (await conn.execute(select(alarms).where(alarms.c.id == name))).mappings().first()
    if row is not None:
        return subject_of({**row, "id": alarm_id(row["device"], row["rule"])})
    row = (await conn.execute(select(suppressions).where(suppressions.c.id == name))).mappings().first()
    if row is not None:
        return subject_of(dict(row))
    device, _, rule = name.partition("/")
    used = select(devices.c.profile, devices.c.profile_version).where(devices.c.id == device)
    held = (await conn.execute(used)).first()
    profile = catalog.get(held.profile) if held else None
    if held is None or profile is None or rule not in profile.alarms:
        raise AlarmError(Reason.NOT_FOUND, f"alarm {name}: there is none")
    return Subject(
        alarm=name,
        device=device,
        rule=rule,
        profile=held.profile,
        profile_version=held.profile_version,
        priority=profile.alarms[rule].priority,
    )


def longest_shelf_s(catalog: Mapping[str, Profile], alarm: Subject) -> float:
    """How many seconds an alarm may be shelved at once: as its rule says, or the product's limit where the rule is unknown."""
    profile = catalog.get(alarm.profile)
    rule = profile.alarms.get(alarm.rule) if profile else None
    return rule.max_shelve_s if rule else LONGEST_SHELF_S


async def shelve(
    conn: AsyncConnection,
    alarm: Subject,
    *,
    until_ns: int,
    actor: str,
    reason: str,
    now_ns: int,
    once: bool = False,
    longest_s: float = LONGEST_SHELF_S,
) -> Recorded:
    """Off the lists until `until_ns`; with `once`, until it returns to normal if that is sooner. Shelving again moves the end.

    AlarmError without a reason, and where the end is not after now or more than `longest_s` away.
    """
    _say_why(alarm, reason, "shelved")
    if not now_ns < until_ns <= now_ns + round(longest_s * SECOND_NS):
        raise AlarmError(Reason.INVALID, f"alarm {alarm.alarm}: want an end after now and within {longest_s:g} s")
    cause = Cause.SHELVE_ONCE if once else Cause.SHELVE
    return await write(conn, [alarm], cause, actor=actor, note=reason, now_ns=now_ns, evidence={UNTIL: until_ns})


async def unshelve(conn: AsyncConnection, alarm: Subject, *, actor: str, note: str, now_ns: int) -> Recorded:
    """Back on the lists before its time. AlarmError where it is not shelved."""
    shelf = await conn.scalar(select(suppressions.c.shelf).where(suppressions.c.id == alarm.alarm))
    if shelf in {None, Shelf.UNSHELVED.value}:
        raise AlarmError(Reason.CONFLICT, f"alarm {alarm.alarm}: is not shelved")
    return await write(conn, [alarm], Cause.UNSHELVE, actor=actor, note=note, now_ns=now_ns)


async def expire_shelves(conn: AsyncConnection, now_ns: int) -> Recorded:
    """End the shelves whose time is over, the oldest first, at most 500 at once: call again while something is returned."""
    due = select(suppressions).where(suppressions.c.shelved_until_ns <= now_ns)
    rows = await conn.execute(due.order_by(suppressions.c.shelved_until_ns, suppressions.c.id).limit(_MOST_EXPIRED))
    over = [subject_of(dict(row)) for row in rows.mappings()]
    if not over:
        return NOTHING
    return await write(conn, over, Cause.UNSHELVE, actor=SYSTEM, note="its time is over", now_ns=now_ns)


async def suppress(
    conn: AsyncConnection, subjects: Sequence[Subject], by: str, *, actor: str, note: str, now_ns: int
) -> Recorded:
    """The alarms are explained by `by`: an alarm's id, a planned work, a storm. Those that are so already stay as they are."""
    wanted = await _chosen(conn, subjects, by, linked=False)
    if not wanted:
        return NOTHING
    return await write(conn, wanted, Cause.SUPPRESS, actor=actor, note=note, now_ns=now_ns, evidence={LINK: by})


async def unsuppress(
    conn: AsyncConnection, subjects: Sequence[Subject], by: str, *, actor: str, note: str, now_ns: int
) -> Recorded:
    """`by` explains the alarms no longer; another cause may still. Those that it does not suppress stay as they are."""
    wanted = await _chosen(conn, subjects, by, linked=True)
    if not wanted:
        return NOTHING
    return await write(conn, wanted, Cause.UNSUPPRESS, actor=actor, note=note, now_ns=now_ns, evidence={LINK: by})


async def out_of_service(
    conn: AsyncConnection, alarm: Subject, *, review_ns: int, actor: str, reason: str, now_ns: int
) -> Recorded:
    """For maintenance, until it is returned; somebody looks at it again at `review_ns`. Said again, it moves the review.

    AlarmError without a reason (the work order), and where the review is not after now or more than a year away.
    """
    _say_why(alarm, reason, "taken out of service")
    if not now_ns < review_ns <= now_ns + round(LONGEST_REVIEW_S * SECOND_NS):
        raise AlarmError(Reason.INVALID, f"alarm {alarm.alarm}: want a review after now and within a year")
    evidence = {REVIEW: review_ns}
    return await write(conn, [alarm], Cause.OUT_OF_SERVICE, actor=actor, note=reason, now_ns=now_ns, evidence=evidence)


async def return_to_service(conn: AsyncConnection, alarm: Subject, *, actor: str, note: str, now_ns: int) -> Recorded:
    """In service again: what is active must be seen again, even what was acknowledged. AlarmError where it is in service."""
    if not await conn.scalar(select(suppressions.c.out_of_service).where(suppressions.c.id == alarm.alarm)):
        raise AlarmError(Reason.CONFLICT, f"alarm {alarm.alarm}: is in service")
    seen = select(alarms).where(
        alarms.c.device == alarm.device, alarms.c.rule == alarm.rule, alarms.c.state == AlarmState.ACKNOWLEDGED.value
    )
    active = [subject_of(dict(row)) for row in (await conn.execute(seen.order_by(alarms.c.id))).mappings()]
    return await write(conn, [alarm, *active], Cause.RETURN_TO_SERVICE, actor=actor, note=note, now_ns=now_ns)


async def _chosen(conn: AsyncConnection, subjects: Sequence[Subject], by: str, *, linked: bool) -> list[Subject]:
    """The alarms that `by` does, or does not, suppress now; each once."""
    if not 1 <= len(by) <= _LONGEST_LINK:
        raise AlarmError(Reason.INVALID, f"{len(by)} characters that say what suppresses: want 1 to {_LONGEST_LINK}")
    unique = {alarm.alarm: alarm for alarm in subjects}
    held: set[str] = set()
    for some in chunks(sorted(unique)):
        links = select(suppressions.c.id, suppressions.c.suppressed_by).where(
            suppressions.c.id.in_(some), suppressions.c.by_design
        )
        held |= {row.id for row in await conn.execute(links) if by in row.suppressed_by}
    return [alarm for name, alarm in unique.items() if (name in held) is linked]


def _say_why(alarm: Subject, reason: str, what: str) -> None:
    if not reason.strip():
        raise AlarmError(Reason.INVALID, f"alarm {alarm.alarm}: is {what} with a reason")
