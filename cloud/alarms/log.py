"""The alarm log: append-only transitions, and the current rows that they amount to.

Whatever the order in which transitions come, and however often, the log and the rows are the same in the end: each
time, all steps of a log are put in the order of (event time, origin, n) and gone through again.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Table, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.closing import closed_again, returned_devices
from cloud.alarms.projection import alarm_row, ordered, settled, suppression_row
from cloud.relational.chunks import chunks
from cloud.relational.tables import alarms, suppressions, transitions
from telemetry.alarm_states import Shelf, alarm_id
from telemetry.records import Cause, Origin, Priority, Transition, Value

__all__ = [
    "NOTHING",
    "SYSTEM",
    "Recorded",
    "Subject",
    "alarm_news",
    "logs",
    "record",
    "settle",
    "subject_of",
    "transition_news",
    "write",
]

SYSTEM = "system"
"""The actor of what the cloud does by itself."""


class Recorded(msgspec.Struct, frozen=True):
    """What is new: the rows of `transitions` that were not there before, and the rows of `alarms` and of `suppressions`
    that they touch, by id."""

    steps: list[dict[str, Any]]
    alarms: dict[str, dict[str, Any]]
    suppressions: dict[str, dict[str, Any]] = {}

    @property
    def of_gateways(self) -> int:
        """How many of the steps are not the cloud's own."""
        return sum(row["origin"] == Origin.EDGE.value for row in self.steps)

    def and_then(self, later: "Recorded") -> "Recorded":
        """Both, where `later` was recorded after this."""
        both = self.alarms | later.alarms, self.suppressions | later.suppressions
        return Recorded(self.steps + later.steps, *both)


NOTHING = Recorded([], {})


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a step of the cloud's is about; `alarm` is the id of an occurrence, or of an alarm itself."""

    alarm: str
    device: str
    rule: str
    profile: str
    profile_version: int
    priority: Priority


async def record(conn: AsyncConnection, news: Sequence[Transition], now_ns: int) -> Recorded:
    """Put transitions into the log, each once, and bring the current rows up to date.

    An alarm that returned ends its one-shot shelf, and a device that is closed again its maintenance window, by steps of the
    cloud's own.
    """
    recorded = await _append(conn, news, now_ns)
    over = await _one_shots_over(conn, recorded)
    if over:
        note = "returned to normal: the shelf was for once"
        ended = await write(conn, over, Cause.UNSHELVE, actor=SYSTEM, note=note, now_ns=now_ns)
        recorded = recorded.and_then(ended)
    closed = [subject_of(row) for some in chunks(returned_devices(recorded.steps)) for row in await closed_again(conn, some)]
    if closed:
        note = "opened and closed again: armed"
        ended = await write(conn, closed, Cause.UNSHELVE, actor=SYSTEM, note=note, now_ns=now_ns)
        recorded = recorded.and_then(ended)
    return recorded


async def write(
    conn: AsyncConnection,
    subjects: Sequence[Subject],
    cause: Cause,
    *,
    actor: str,
    note: str,
    now_ns: int,
    evidence: Mapping[str, Value] = {},
) -> Recorded:
    """One step of the cloud's own for each subject."""
    ends = await _ends(conn, [subject.alarm for subject in subjects])
    steps = []
    for subject in subjects:
        n, last_ns = ends.get(subject.alarm, (0, 0))
        steps.append(
            Transition(
                alarm=subject.alarm,
                origin=Origin.CLOUD,
                n=n + 1,
                device=subject.device,
                rule=subject.rule,
                profile=subject.profile,
                profile_version=subject.profile_version,
                cause=cause,
                priority=subject.priority,
                # It answers what was seen, so it comes after it, even where a gateway's clock is ahead of ours.
                event_time_ns=max(now_ns, last_ns + 1),
                recorded_ns=now_ns,
                actor=actor,
                evidence=dict(evidence),
                note=note,
            )
        )
    return await record(conn, steps, now_ns)


async def logs(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, dict[tuple[str, int], dict[str, Any]]]:
    """alarm -> (origin, n) -> row of `transitions`."""
    found: dict[str, dict[tuple[str, int], dict[str, Any]]] = {}
    for some in chunks(ids):
        for row in (await conn.execute(select(transitions).where(transitions.c.alarm.in_(some)))).mappings():
            found.setdefault(row["alarm"], {})[row["origin"], row["n"]] = dict(row)
    return found


def alarm_news(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the feed tells of a row of `alarms`."""
    return {name: row[name] for name in ("id", "device", "rule", "priority", "state", "case_id")}


def transition_news(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the feed tells of a row of `transitions`."""
    named = ("alarm", "origin", "n", "device", "rule", "cause", "priority", "from_state", "to_state")
    return {name: row[name] for name in (*named, "event_time_ns", "recorded_ns")}


async def _append(conn: AsyncConnection, news: Sequence[Transition], now_ns: int) -> Recorded:
    held = await logs(conn, sorted({step.alarm for step in news}))
    fresh: list[dict[str, Any]] = []
    for step in news:
        log = held.setdefault(step.alarm, {})
        if (step.origin.value, step.n) not in log:
            log[step.origin.value, step.n] = row = _row(step, now_ns)
            fresh.append(row)
    if not fresh:
        return NOTHING
    new = {id(row) for row in fresh}
    occurrences: dict[str, dict[str, Any]] = {}
    suppressed: dict[str, dict[str, Any]] = {}
    for alarm in sorted({row["alarm"] for row in fresh}):
        steps = ordered(held[alarm].values())
        standing, words = settled(steps)
        await settle(conn, steps, words, new)
        occurrence, own = alarm_row(steps, standing), suppression_row(steps, standing)
        if occurrence is not None:
            occurrences[alarm] = occurrence
        if own is not None:
            suppressed[alarm] = own
    await conn.execute(transitions.insert(), fresh)
    cases = await _put(conn, alarms, occurrences, "case_id")
    await _put(conn, suppressions, suppressed, "id")
    return Recorded(fresh, {alarm: {**row, "case_id": cases.get(alarm)} for alarm, row in occurrences.items()}, suppressed)


async def settle(
    conn: AsyncConnection, steps: list[dict[str, Any]], words: list[tuple[str, str]], new: Collection[int] = ()
) -> None:
    """Give each step the states it leads between, also those already logged that a late one came before; `new` are the
    identities of those that are not logged yet."""
    for row, (before, after) in zip(steps, words, strict=True):
        led = {"from_state": before, "to_state": after}
        if id(row) not in new and (row["from_state"], row["to_state"]) != (before, after):
            same = (transitions.c.alarm == row["alarm"], transitions.c.origin == row["origin"], transitions.c.n == row["n"])
            await conn.execute(update(transitions).where(*same).values(led))
        row.update(led)


async def _put(conn: AsyncConnection, table: Table, rows: Mapping[str, dict[str, Any]], kept: str) -> dict[str, Any]:
    """Insert or update current rows, by id; what those that were there hold in the column `kept`."""
    held: dict[str, Any] = {}
    for some in chunks(list(rows)):
        held |= {row[0]: row[1] for row in await conn.execute(select(table.c.id, table.c[kept]).where(table.c.id.in_(some)))}
    if held:
        same = update(table).where(table.c.id == bindparam("b_id"))
        await conn.execute(same, [{**rows[alarm], "b_id": alarm} for alarm in held])
    new = [row for alarm, row in rows.items() if alarm not in held]
    if new:
        await conn.execute(table.insert(), new)
    return held


async def _one_shots_over(conn: AsyncConnection, recorded: Recorded) -> list[Subject]:
    """Alarms among those just touched that are shelved for once and have returned since."""
    own = {alarm_id(row["device"], row["rule"]) for row in recorded.steps}
    found: list[Subject] = []
    for some in chunks(sorted(own)):
        same = (alarms.c.device == suppressions.c.device, alarms.c.rule == suppressions.c.rule)
        returned = select(alarms.c.id).where(*same, alarms.c.returned_ns > suppressions.c.shelved_ns).exists()
        wanted = select(suppressions).where(suppressions.c.id.in_(some), suppressions.c.shelf == Shelf.ONE_SHOT.value, returned)
        found += [subject_of(dict(row)) for row in (await conn.execute(wanted.order_by(suppressions.c.id))).mappings()]
    return found


def subject_of(row: Mapping[str, Any]) -> Subject:
    """The alarm that a row of `suppressions`, or the occurrence that a row of `alarms`, is about."""
    same = {name: row[name] for name in ("device", "rule", "profile", "profile_version")}
    return Subject(alarm=row["id"], priority=Priority(row["priority"]), **same)


async def _ends(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """alarm -> the cloud's highest number in its log, and the latest event time of all."""
    found: dict[str, tuple[int, int]] = {}
    for some in chunks(ids):
        ends = select(transitions.c.alarm, transitions.c.origin, func.max(transitions.c.n), func.max(transitions.c.event_time_ns))
        grouped = ends.where(transitions.c.alarm.in_(some)).group_by(transitions.c.alarm, transitions.c.origin)
        for alarm, origin, n, last_ns in await conn.execute(grouped):
            before = found.get(alarm, (0, 0))
            found[alarm] = (n if origin == Origin.CLOUD.value else before[0], max(last_ns, before[1]))
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
