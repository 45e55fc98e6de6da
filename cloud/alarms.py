"""The alarm log and its projection: append-only transitions, and one current row for each occurrence.

Whatever the order in which transitions come, and however often, the log and the rows are the same in the end: each
time, all steps of an occurrence are put in the order of (event time, origin, n) and gone through again.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import alarms, transitions
from telemetry.alarm_states import TABLE, AlarmState, next_state
from telemetry.reason import Reason
from telemetry.records import Cause, Origin, Priority, Transition, Value

__all__ = ["AlarmError", "Recorded", "acknowledge", "alarm_news", "record", "transition_news"]

_MOST_AT_ONCE = 500
"""Alarms asked for in one statement; SQLite binds 32,766 values at most."""


class AlarmError(ValueError):
    """An act on an alarm that cannot be. `reason` is NOT_FOUND or CONFLICT (it has nothing left to acknowledge)."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Recorded(msgspec.Struct, frozen=True):
    """What is new: the rows of `transitions` that were not there before, and the rows of `alarms` they touch, by id."""

    steps: list[dict[str, Any]]
    alarms: dict[str, dict[str, Any]]


async def record(conn: AsyncConnection, news: Sequence[Transition], now_ns: int) -> Recorded:
    """Put transitions into the log, each once, and bring their alarms up to date."""
    ids = sorted({step.alarm for step in news})
    logs = await _logs(conn, ids)
    fresh: list[dict[str, Any]] = []
    for step in news:
        log = logs.setdefault(step.alarm, {})
        if (step.origin.value, step.n) not in log:
            log[step.origin.value, step.n] = row = _row(step, now_ns)
            fresh.append(row)
    if not fresh:
        return Recorded([], {})
    touched = {row["alarm"] for row in fresh}
    projected = {alarm: await _settle(conn, _ordered(logs[alarm].values()), fresh) for alarm in touched}
    await conn.execute(transitions.insert(), fresh)
    return Recorded(fresh, await _project(conn, projected))


async def acknowledge(conn: AsyncConnection, alarm: str, actor: str, note: str, now_ns: int) -> dict[str, Any]:
    """Somebody has seen the alarm: one cloud transition. The `alarms` row as it is now; AlarmError where it cannot be."""
    steps = _ordered((await _logs(conn, [alarm])).get(alarm, {}).values())
    if not steps:
        raise AlarmError(Reason.NOT_FOUND, f"alarm {alarm}: there is none")
    last = steps[-1]
    state = AlarmState(last["to_state"])
    if (state, Cause.ACKNOWLEDGE) not in TABLE:
        raise AlarmError(Reason.CONFLICT, f"alarm {alarm}: is {state}, there is nothing to acknowledge")
    step = Transition(
        alarm=alarm,
        origin=Origin.CLOUD,
        n=1 + max((row["n"] for row in steps if row["origin"] == Origin.CLOUD.value), default=0),
        device=last["device"],
        rule=last["rule"],
        profile=last["profile"],
        profile_version=last["profile_version"],
        cause=Cause.ACKNOWLEDGE,
        priority=Priority(last["priority"]),
        # It answers what was seen, so it comes after it, even where a gateway's clock is ahead of ours.
        event_time_ns=max(now_ns, last["event_time_ns"] + 1),
        recorded_ns=now_ns,
        actor=actor,
        note=note,
    )
    return (await record(conn, [step], now_ns)).alarms[alarm]


def alarm_news(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the feed tells of a row of `alarms`."""
    return {name: row[name] for name in ("id", "device", "rule", "priority", "state", "case_id")}


def transition_news(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the feed tells of a row of `transitions`."""
    named = ("alarm", "origin", "n", "device", "rule", "cause", "priority", "from_state", "to_state")
    return {name: row[name] for name in (*named, "event_time_ns", "recorded_ns")}


async def _logs(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, dict[tuple[str, int], dict[str, Any]]]:
    """alarm -> (origin, n) -> row."""
    found: dict[str, dict[tuple[str, int], dict[str, Any]]] = {}
    for start in range(0, len(ids), _MOST_AT_ONCE):
        wanted = select(transitions).where(transitions.c.alarm.in_(ids[start : start + _MOST_AT_ONCE]))
        for row in (await conn.execute(wanted)).mappings():
            found.setdefault(row["alarm"], {})[row["origin"], row["n"]] = dict(row)
    return found


def _row(step: Transition, now_ns: int) -> dict[str, Any]:
    return {
        "alarm": step.alarm,
        "origin": step.origin.value,
        "n": step.n,
        "device": step.device,
        "rule": step.rule,
        "profile": step.profile,
        "profile_version": step.profile_version,
        "cause": step.cause.value,
        "priority": step.priority.value,
        "from_state": "",
        "to_state": "",
        "event_time_ns": step.event_time_ns,
        "recorded_ns": step.recorded_ns,
        "stored_ns": now_ns,
        "actor": step.actor,
        "evidence": {name: _jsonable(value) for name, value in step.evidence.items()},
        "note": step.note,
    }


def _jsonable(value: Value) -> Value:
    """JSON has no word for what is not a finite number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _ordered(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order in which `telemetry.alarm_states.fold` goes through them."""
    return sorted(rows, key=lambda row: (row["event_time_ns"], row["origin"], row["n"]))


async def _settle(conn: AsyncConnection, steps: list[dict[str, Any]], fresh: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Give each step the states it leads between, also those already logged that a late one came before; the alarm's row."""
    new = {id(row) for row in fresh}
    state = AlarmState.NORMAL
    for row in steps:
        before, state = state, next_state(state, Cause(row["cause"]))
        led = {"from_state": before.value, "to_state": state.value}
        if id(row) not in new and (row["from_state"], row["to_state"]) != (before.value, state.value):
            same = (transitions.c.alarm == row["alarm"], transitions.c.origin == row["origin"], transitions.c.n == row["n"])
            await conn.execute(update(transitions).where(*same).values(led))
        row.update(led)
    return _projection(steps, state)


def _projection(steps: Sequence[Mapping[str, Any]], state: AlarmState) -> dict[str, Any]:
    """The row of `alarms` that all steps of an occurrence, in order, amount to."""
    raises = [row for row in steps if row["cause"] == Cause.RAISE.value]
    shown = raises[-1] if raises else steps[0]
    returned = _last(steps, Cause.RETURN, Cause.RETURN_LATCHED, Cause.RAISE)
    acknowledged = _last(steps, Cause.ACKNOWLEDGE)
    doubt = _last(steps, Cause.BECAME_UNCERTAIN, Cause.BECAME_CERTAIN)
    return {
        "id": shown["alarm"],
        "device": shown["device"],
        "rule": shown["rule"],
        "profile": shown["profile"],
        "profile_version": shown["profile_version"],
        "priority": steps[-1]["priority"],
        "state": state.value,
        "uncertain": doubt is not None and doubt["cause"] == Cause.BECAME_UNCERTAIN.value,
        "raised_ns": (raises[0] if raises else steps[0])["event_time_ns"],
        "returned_ns": returned["event_time_ns"] if returned and returned["cause"] != Cause.RAISE.value else None,
        "acknowledged_ns": acknowledged["event_time_ns"] if acknowledged else None,
        "acknowledged_by": acknowledged["actor"] if acknowledged else "",
        "evidence": shown["evidence"],
    }


def _last(steps: Sequence[Mapping[str, Any]], *causes: Cause) -> Mapping[str, Any] | None:
    words = {cause.value for cause in causes}
    return next((row for row in reversed(steps) if row["cause"] in words), None)


async def _project(conn: AsyncConnection, rows: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Insert or update the rows of `alarms`; as they are afterwards, with the cases they belong to."""
    ids = sorted(rows)
    held: dict[str, int | None] = {}
    for start in range(0, len(ids), _MOST_AT_ONCE):
        some = select(alarms.c.id, alarms.c.case_id).where(alarms.c.id.in_(ids[start : start + _MOST_AT_ONCE]))
        held |= {row.id: row.case_id for row in await conn.execute(some)}
    for alarm in ids:
        if alarm in held:
            await conn.execute(update(alarms).where(alarms.c.id == alarm).values(rows[alarm]))
    new = [rows[alarm] for alarm in ids if alarm not in held]
    if new:
        await conn.execute(alarms.insert(), new)
    return {alarm: {**rows[alarm], "case_id": held.get(alarm)} for alarm in ids}
