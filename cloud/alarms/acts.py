"""What people, and the system in their stead, do to one occurrence: acknowledge, reset, raise or lower its priority, re-alarm.

Each is one transition of the cloud's own; the table of `telemetry.alarm_states` says which of them a state allows.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import Recorded, subject_of, write
from cloud.relational.tables import alarms
from telemetry.alarm_states import ACTIVE, TABLE, AlarmState
from telemetry.reason import Reason
from telemetry.records import Cause, Priority

__all__ = ["RANK", "AlarmError", "acknowledge", "re_alarm", "reset", "set_priority"]

RANK: Final = {Priority.LOW: 0, Priority.MEDIUM: 1, Priority.HIGH: 2, Priority.CRITICAL: 3}


class AlarmError(ValueError):
    """An act on an alarm that cannot be. `reason` is NOT_FOUND, CONFLICT (not from the state it is in) or INVALID (what was
    said with it is missing or beyond a limit)."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


async def acknowledge(conn: AsyncConnection, alarm: str, actor: str, note: str, now_ns: int) -> Recorded:
    """Somebody has seen the alarm. AlarmError where there is nothing left to acknowledge."""
    held = await _held(conn, alarm)
    _allow(held, Cause.ACKNOWLEDGE, "there is nothing to acknowledge")
    return await write(conn, [subject_of(held)], Cause.ACKNOWLEDGE, actor=actor, note=note, now_ns=now_ns)


async def reset(conn: AsyncConnection, alarm: str, actor: str, note: str, now_ns: int) -> Recorded:
    """A latched alarm is over: somebody was there. AlarmError while the condition holds, and before it is acknowledged."""
    held = await _held(conn, alarm)
    why = "the condition still holds" if AlarmState(held["state"]) in ACTIVE else "only a latched, acknowledged alarm is reset"
    _allow(held, Cause.RESET, why)
    return await write(conn, [subject_of(held)], Cause.RESET, actor=actor, note=note, now_ns=now_ns)


async def re_alarm(conn: AsyncConnection, alarm: str, actor: str, note: str, now_ns: int) -> Recorded:
    """It was acknowledged, and nothing came of it: it must be seen again. AlarmError unless it is acknowledged and active."""
    held = await _held(conn, alarm)
    _allow(held, Cause.RE_ALARM, "only an acknowledged alarm alarms again")
    return await write(conn, [subject_of(held)], Cause.RE_ALARM, actor=actor, note=note, now_ns=now_ns)


async def set_priority(conn: AsyncConnection, alarm: str, priority: Priority, *, actor: str, note: str, now_ns: int) -> Recorded:
    """Raise the priority, after which it must be seen again, or lower it. AlarmError unless it is active and has another."""
    held = await _held(conn, alarm)
    before = Priority(held["priority"])
    if AlarmState(held["state"]) not in ACTIVE:
        raise AlarmError(Reason.CONFLICT, f"alarm {alarm}: is {held['state']}, only an active alarm gets another priority")
    if priority is before:
        raise AlarmError(Reason.CONFLICT, f"alarm {alarm}: has the priority {before} already")
    cause = Cause.PRIORITY_RAISED if RANK[priority] > RANK[before] else Cause.PRIORITY_LOWERED
    subject = msgspec.structs.replace(subject_of(held), priority=priority)
    return await write(conn, [subject], cause, actor=actor, note=note, now_ns=now_ns, evidence={"before": before.value})


async def _held(conn: AsyncConnection, alarm: str) -> Mapping[str, Any]:
    row = (await conn.execute(select(alarms).where(alarms.c.id == alarm))).mappings().first()
    if row is None:
        raise AlarmError(Reason.NOT_FOUND, f"alarm {alarm}: there is none")
    return dict(row)


def _allow(held: Mapping[str, Any], cause: Cause, why_not: str) -> None:
    if (AlarmState(held["state"]), cause) not in TABLE:
        raise AlarmError(Reason.CONFLICT, f"alarm {held['id']}: is {held['state']}; {why_not}")
