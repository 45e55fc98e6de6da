"""Feeders: from many alarms of a group to the one of what they hang on.

The first alarm of a group begins an episode, and names the alarm that the feeder may come to have: `NAME/cloud.feeder/ONSET`.
All that is held is suppressed by that name. When there are enough within the rule's time, by when they were raised, the
alarm of that name is raised, and those that are held are its children already. When there are not, `cloud.watch.release`
lets each of them go, and the name was never that of an alarm. So the suppressions themselves are the memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import NOTHING, SYSTEM, Recorded, subject_of, write
from cloud.alarms.suppressing import suppress
from cloud.relational.tables import alarms, suppressions
from cloud.watch.config import Feeder
from cloud.watch.groups import Groups
from cloud.watch.names import FEEDER, STORM, occurrence
from cloud.watch.own import IS_ACTIVE, Raise, active, alarm_of, middle_of, raise_all, return_all, rows_of, subject
from telemetry.alarm_states import ACTIVE, alarm_id
from telemetry.clock import SECOND_NS
from telemetry.records import Cause, Priority, Value

__all__ = ["explain", "most_within", "over"]

_CRITICAL: Final = Priority.CRITICAL.value

Row = Mapping[str, Any]


def most_within(times: Iterable[int], width: int) -> int:
    """The most of these times that lie within any span of `width`, both ends included."""
    ordered = sorted(times)
    first = most = 0
    for last, at in enumerate(ordered):
        while at - ordered[first] > width:
            first += 1
        most = max(most, last - first + 1)
    return most


async def explain(conn: AsyncConnection, feeder: Feeder, groups: Groups, raised: Sequence[Row], now_ns: int) -> Recorded:
    """What the feeder has to do with alarms that were just raised, rows of `alarms` of its group and rules.

    Those of them that went already count, for a backlog may tell of a cut that is over; they are not held.
    """
    told = [row for row in raised if row["priority"] != _CRITICAL]
    if not told:
        return NOTHING
    parents = await active(conn, FEEDER, feeder.name)
    if parents:
        return await _suppress(conn, told, parents[0]["id"], "its feeder has failed", now_ns)
    width_ns = round(feeder.within_s * SECOND_NS)
    times = [row["raised_ns"] for row in told]
    around = alarms.c.raised_ns.between(min(times) - width_ns, max(times) + width_ns)
    fresh = {row["id"] for row in told}
    near = [row for row in await _of_group(conn, feeder, groups, around) if row["state"] in ACTIVE or row["id"] in fresh]
    firsts: dict[str, int] = {}
    for row in near:
        firsts[row["device"]] = min(row["raised_ns"], firsts.get(row["device"], row["raised_ns"]))
    name = _episode(feeder, near) or occurrence(feeder.name, FEEDER, min(times))
    if most_within(firsts.values(), width_ns) >= _enough(feeder, groups):
        done = await _suppress(conn, near, name, "its feeder has failed", now_ns)
        return done.and_then(await _fail(conn, feeder, groups, name, dark=sorted(firsts), now_ns=now_ns))
    if not feeder.hold:
        return NOTHING
    held = [row for row in told if row["state"] in ACTIVE]
    return await _suppress(conn, held, name, "held: its feeder may have failed", now_ns)


async def over(conn: AsyncConnection, feeders: Sequence[Feeder], groups: Groups, now_ns: int) -> Recorded:
    """Return the alarms of feeders of which few enough are left, and of those that are in no file any longer."""
    done = NOTHING
    known = {feeder.name: feeder for feeder in feeders}
    for parent in await active(conn, FEEDER):
        feeder = known.get(parent["device"])
        if feeder is None:
            done = done.and_then(await return_all(conn, [parent], "no rule is about this feeder any longer", now_ns))
            continue
        left = {row["device"] for row in await _of_group(conn, feeder, groups, IS_ACTIVE)}
        if len(left) < feeder.until_share * groups.size(feeder.name) or not left:
            note = f"{len(left)} of {groups.size(feeder.name)} are left"
            done = done.and_then(await return_all(conn, [parent], note, now_ns))
    return done


def _enough(feeder: Feeder, groups: Groups) -> int:
    return max(feeder.at_least, ceil(feeder.share * groups.size(feeder.name)))


async def _of_group(conn: AsyncConnection, feeder: Feeder, groups: Groups, which: ColumnElement[bool]) -> list[Row]:
    """The group's alarms of the feeder's rules, and what suppresses each."""
    own = and_(suppressions.c.device == alarms.c.device, suppressions.c.rule == alarms.c.rule)
    named = [alarms.c[name] for name in ("id", "device", "rule", "profile", "profile_version", "priority", "state", "raised_ns")]
    wanted = select(*named, suppressions.c.suppressed_by).outerjoin(suppressions, own)
    wanted = wanted.where(alarms.c.rule.in_(feeder.rules), which, alarms.c.priority != _CRITICAL)
    rows = await rows_of(conn, wanted.order_by(alarms.c.id))
    return [row for row in rows if groups.holds(feeder.name, row["device"]) and _counts(feeder, row["suppressed_by"] or ())]


def _counts(feeder: Feeder, suppressed_by: Sequence[str]) -> bool:
    """Whether nothing else explains it: what is behind a gateway that is gone, or is worked on, says nothing of a feeder."""
    return all(by.startswith(_begin(feeder.name, FEEDER)) or f"/{STORM}/" in by for by in suppressed_by)


def _begin(name: str, rule: str) -> str:
    return f"{alarm_id(name, rule)}/"


def _episode(feeder: Feeder, held: Sequence[Row]) -> str | None:
    """The name under which these are held already; the oldest one, where there are several."""
    begin = _begin(feeder.name, FEEDER)
    return min((by for row in held for by in row["suppressed_by"] or () if by.startswith(begin)), default=None)


async def _suppress(conn: AsyncConnection, rows: Sequence[Row], by: str, note: str, now_ns: int) -> Recorded:
    subjects = {each.alarm: each for each in map(alarm_of, rows)}
    return await suppress(conn, list(subjects.values()), by, actor=SYSTEM, note=note, now_ns=now_ns)


async def _fail(
    conn: AsyncConnection, feeder: Feeder, groups: Groups, name: str, *, dark: Sequence[str], now_ns: int
) -> Recorded:
    for earlier in await rows_of(conn, select(alarms).where(alarms.c.id == name)):
        # It came back before its children were let go: the same occurrence, once more.
        again = [subject_of(earlier)]
        return await write(conn, again, Cause.RAISE, actor=SYSTEM, note="", now_ns=now_ns, evidence=earlier["evidence"])
    evidence: dict[str, Value] = {"children": len(dark), "members": groups.size(feeder.name), "matter": feeder.matter}
    evidence |= await middle_of(conn, dark)
    own = subject(feeder.name, FEEDER, feeder.priority)
    return await raise_all(conn, [Raise(subject=own, evidence=evidence, alarm=name)], now_ns)
