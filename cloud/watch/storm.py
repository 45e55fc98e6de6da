"""Alarm floods (ISA-18.2: more alarms than an operator can take in): while one lasts, what matters least is not told.

Alarms are counted by when they were raised, and only those that people were told of, or would have been without the storm.
So a backlog of old alarms is no storm, nor is a cut that its feeder explains.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import NOTHING, SYSTEM, Recorded
from cloud.alarms.suppressing import suppress
from cloud.relational.tables import alarms, suppressions
from cloud.watch.config import Storm
from cloud.watch.feeder import most_within
from cloud.watch.groups import Groups
from cloud.watch.names import STORM
from cloud.watch.own import IS_ACTIVE, Raise, active, alarm_of, raise_all, return_all, subject
from telemetry.clock import SECOND_NS
from telemetry.records import Priority

__all__ = ["PERIOD_NS", "begin", "keep", "over"]

PERIOD_NS: Final = 600 * SECOND_NS
"""The period in which alarms are counted (the reference rates of ISA-18.2 and EEMUA 191 are by ten minutes)."""
_MOST_COUNTED: Final = 20_000


async def begin(conn: AsyncConnection, storm: Storm, groups: Groups, now_ns: int) -> Recorded:
    """Raise the storm where there are too many alarms and none is raised yet."""
    if await active(conn, STORM, storm.name):
        return NOTHING
    count = len(await _times(conn, storm, groups, now_ns - PERIOD_NS, ""))
    if count <= storm.more_than:
        return NOTHING
    evidence = {"alarms": count, "more_than": storm.more_than, "period_s": PERIOD_NS // SECOND_NS}
    own = subject(storm.name, STORM, Priority.HIGH)
    return await raise_all(conn, [Raise(subject=own, evidence=evidence)], now_ns)


async def keep(conn: AsyncConnection, storm: Storm, by: str, raised: Sequence[Mapping[str, Any]], now_ns: int) -> Recorded:
    """Suppress what was just raised and is not important enough for a storm, by the alarm `by` of the storm."""
    least = [row for row in raised if row["priority"] in storm.priorities]
    subjects = {each.alarm: each for each in map(alarm_of, least)}
    return await suppress(conn, list(subjects.values()), by, actor=SYSTEM, note="an alarm flood", now_ns=now_ns)


async def over(conn: AsyncConnection, storms: Sequence[Storm], groups: Groups, now_ns: int) -> Recorded:
    """Return the storms that have been quiet for long enough, and those that are in no file any longer."""
    known = {storm.name: storm for storm in storms}
    done = NOTHING
    for row in await active(conn, STORM):
        storm = known.get(row["device"])
        if storm is None:
            done = done.and_then(await return_all(conn, [row], "no rule is about this desk any longer", now_ns))
            continue
        times = await _times(conn, storm, groups, now_ns - 2 * PERIOD_NS, row["id"])
        # In any ten minutes that ended within the last ten; so it lasts ten minutes itself.
        if most_within(times, PERIOD_NS) < storm.below:
            note = f"fewer than {storm.below} in any ten minutes, for ten minutes"
            done = done.and_then(await return_all(conn, [row], note, now_ns))
    return done


async def _times(conn: AsyncConnection, storm: Storm, groups: Groups, since_ns: int, by: str) -> list[int]:
    """When the desk's alarms were raised since then, at most 20,000: those that people were told of, and those by `by` alone.

    Of what was suppressed after it was raised and is not any longer, only what still holds was told.
    """
    own = and_(suppressions.c.device == alarms.c.device, suppressions.c.rule == alarms.c.rule)
    untouched = or_(suppressions.c.id.is_(None), suppressions.c.changed_ns < alarms.c.raised_ns)
    told = or_(untouched, and_(~suppressions.c.by_design, IS_ACTIVE))
    wanted = select(alarms.c.device, alarms.c.raised_ns, told.label("told"), suppressions.c.suppressed_by)
    wanted = wanted.outerjoin(suppressions, own).where(alarms.c.raised_ns > since_ns, alarms.c.rule != STORM)
    wanted = wanted.where(or_(told, suppressions.c.by_design) if by else told)
    if storm.rules:
        wanted = wanted.where(alarms.c.rule.in_(storm.rules))
    rows = (await conn.execute(wanted.order_by(alarms.c.raised_ns.desc()).limit(_MOST_COUNTED))).all()
    return [row.raised_ns for row in rows if (row.told or row.suppressed_by == [by]) and groups.holds(storm.name, row.device)]
