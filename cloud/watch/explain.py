"""Planned work, and alarms that are the consequence of another: both are known the moment that an alarm is raised."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import NOTHING, SYSTEM, Recorded
from cloud.alarms.suppressing import suppress
from cloud.relational.tables import alarms, suppressions
from cloud.watch.config import Parent, Planned
from cloud.watch.groups import Groups
from cloud.watch.names import planned_link
from cloud.watch.own import IS_ACTIVE, active, alarm_of, rows_of
from telemetry.alarm_states import ACTIVE

__all__ = ["by_parent", "by_plan", "children_of", "explained_by"]

Rows = Sequence[Mapping[str, Any]]


async def explained_by(conn: AsyncConnection, alarm: str) -> list[dict[str, Any]]:
    """What an occurrence, or a planned work, explains now: `id` (device/rule), `device` and `rule` of each alarm, by id."""
    named = select(suppressions.c.id, suppressions.c.device, suppressions.c.rule, suppressions.c.suppressed_by)
    rows = await rows_of(conn, named.where(suppressions.c.shown != "", suppressions.c.by_design).order_by(suppressions.c.id))
    return [{name: row[name] for name in ("id", "device", "rule")} for row in rows if alarm in row["suppressed_by"]]


async def by_plan(conn: AsyncConnection, planned: Planned, raised: Rows, now_ns: int) -> Recorded:
    """Suppress what was raised during a planned work, by the alarms' own time.

    What is heard of only afterwards is suppressed where it has come and gone; what is still active then is told.
    """
    within = [
        row
        for row in raised
        if planned.from_ns <= row["raised_ns"] < planned.until_ns and (now_ns < planned.until_ns or row["state"] not in ACTIVE)
    ]
    return await _suppress(conn, within, planned_link(planned.name), planned.reason, now_ns)


async def by_parent(conn: AsyncConnection, parent: Parent, raised: Rows, now_ns: int) -> Recorded:
    """Suppress what was raised while the alarm that explains it is active."""
    if not raised:
        return NOTHING
    reasons = await active(conn, parent.by_rule, parent.by_device)
    if not reasons:
        return NOTHING
    return await _suppress(conn, raised, reasons[0]["id"], f"explained by {parent.name}", now_ns)


async def children_of(conn: AsyncConnection, parent: Parent, groups: Groups, reason: str, now_ns: int) -> Recorded:
    """The alarm `reason` of the rule `parent` was just raised: suppress what it explains of what is active already."""
    rows = await rows_of(conn, select(alarms).where(alarms.c.rule.in_(parent.rules), IS_ACTIVE))
    held = [row for row in rows if groups.holds(parent.name, row["device"])]
    return await _suppress(conn, held, reason, f"explained by {parent.name}", now_ns)


async def _suppress(conn: AsyncConnection, rows: Rows, by: str, note: str, now_ns: int) -> Recorded:
    subjects = {each.alarm: each for each in map(alarm_of, rows)}
    return await suppress(conn, list(subjects.values()), by, actor=SYSTEM, note=note, now_ns=now_ns)
