"""Cases (案件): opened by an alarm's matter, worked on by people, closed with a note.

The workflow is the table `WORKFLOW`; every step is checked against the version the actor saw, leaves a row in
`case_steps` and puts its notifications into the outbox of the same transaction.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.notify import outbox
from cloud.notify.config import ChannelConfig
from cloud.relational.tables import alarms, case_alarms, case_steps, cases, devices
from device_profiles.model import Matter
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Priority

__all__ = [
    "SYSTEM",
    "WORKFLOW",
    "CaseError",
    "CaseState",
    "Joined",
    "Step",
    "acknowledge",
    "case_news",
    "close",
    "dispatch",
    "open_or_join",
]

SYSTEM: Final = "system"
"""The actor of what the cloud does by itself."""


class CaseState(StrEnum):
    """Where a case stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    DISPATCHED = "dispatched"
    CLOSED = "closed"


class Step(StrEnum):
    """What happens to a case; the word of `case_steps.step` and of its notifications."""

    OPENED = "opened"
    JOINED = "joined"
    ACKNOWLEDGED = "acknowledged"
    DISPATCHED = "dispatched"
    CLOSED = "closed"


_S = CaseState
WORKFLOW: Final[Mapping[tuple[CaseState, Step], CaseState]] = {
    (_S.OPEN, Step.JOINED): _S.OPEN,
    (_S.OPEN, Step.ACKNOWLEDGED): _S.ACKNOWLEDGED,
    (_S.OPEN, Step.DISPATCHED): _S.DISPATCHED,
    (_S.OPEN, Step.CLOSED): _S.CLOSED,
    (_S.ACKNOWLEDGED, Step.JOINED): _S.ACKNOWLEDGED,
    (_S.ACKNOWLEDGED, Step.DISPATCHED): _S.DISPATCHED,
    (_S.ACKNOWLEDGED, Step.CLOSED): _S.CLOSED,
    (_S.DISPATCHED, Step.JOINED): _S.DISPATCHED,
    (_S.DISPATCHED, Step.DISPATCHED): _S.DISPATCHED,  # to another crew
    (_S.DISPATCHED, Step.CLOSED): _S.CLOSED,
}

_RANK = {Priority.LOW: 0, Priority.MEDIUM: 1, Priority.HIGH: 2, Priority.CRITICAL: 3}


class CaseError(ValueError):
    """A step that cannot be taken. `reason` is NOT_FOUND, CONFLICT (another version, or not from this state) or INVALID."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _Deed(msgspec.Struct, frozen=True):
    step: Step
    actor: str
    note: str
    now_ns: int


class Joined(msgspec.Struct, frozen=True):
    """What an alarm did: the case's row as it is now, and whether it was opened for it."""

    case: dict[str, Any]
    opened: bool


async def open_or_join(
    conn: AsyncConnection,
    *,
    alarm: Mapping[str, Any],
    matter: Matter,
    channels: Sequence[ChannelConfig],
    now_ns: int,
) -> Joined | None:
    """Put an alarm into the open case of its device and matter, opening one where there is none.

    `alarm` is a row mapping of `alarms`. None where the alarm is in a case already, whatever became of that case: a
    repeat never opens a second one.
    """
    if await conn.scalar(select(case_alarms.c.case_id).where(case_alarms.c.alarm == alarm["id"])) is not None:
        return None
    held = await _open_case(conn, alarm["device"], matter.code)
    if held is None:
        held = await _insert_case(conn, alarm, matter, now_ns)
        await outbox.enqueue(conn, case=held, step=Step.OPENED.value, occasion=alarm["id"], channels=channels, now_ns=now_ns)
        opened = True
    else:
        held = await _join(conn, held, alarm, now_ns)
        opened = False
    await conn.execute(case_alarms.insert().values(case_id=held["id"], alarm=alarm["id"]))
    await conn.execute(update(alarms).where(alarms.c.id == alarm["id"]).values(case_id=held["id"]))
    return Joined(held, opened)


async def acknowledge(
    conn: AsyncConnection,
    case_id: int,
    *,
    actor: str,
    note: str,
    version: int,
    now_ns: int,
    channels: Sequence[ChannelConfig] = (),
) -> dict[str, Any]:
    """Somebody has seen the case. The row as it is now; CaseError where it cannot be."""
    return await _step(
        conn, case_id, _Deed(Step.ACKNOWLEDGED, actor, note, now_ns), version=version, channels=channels, changes={}
    )


async def dispatch(
    conn: AsyncConnection,
    case_id: int,
    *,
    actor: str,
    note: str,
    version: int,
    now_ns: int,
    assignee: str = "",
    channels: Sequence[ChannelConfig] = (),
) -> dict[str, Any]:
    """Send it to a crew (again). The row as it is now; CaseError where it cannot be."""
    changes = {"assignee": assignee} if assignee else {}
    return await _step(
        conn, case_id, _Deed(Step.DISPATCHED, actor, note, now_ns), version=version, channels=channels, changes=changes
    )


async def close(
    conn: AsyncConnection,
    case_id: int,
    *,
    actor: str,
    note: str,
    version: int,
    now_ns: int,
    channels: Sequence[ChannelConfig] = (),
) -> dict[str, Any]:
    """Done, and how: a note is required. The row as it is now; CaseError where it cannot be."""
    if not note.strip():
        raise CaseError(Reason.INVALID, f"case {case_id}: a case is closed with a note that says what was done")
    deed = _Deed(Step.CLOSED, actor, note, now_ns)
    return await _step(conn, case_id, deed, version=version, channels=channels, changes={"closed_ns": now_ns})


def case_news(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the feed tells of a row of `cases`."""
    return {name: row[name] for name in ("id", "device", "matter", "priority", "state", "assignee", "version")}


async def _step(
    conn: AsyncConnection,
    case_id: int,
    deed: _Deed,
    *,
    version: int,
    channels: Sequence[ChannelConfig],
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    held = await _case(conn, case_id)
    if held is None:
        raise CaseError(Reason.NOT_FOUND, f"case {case_id}: there is none")
    if held["version"] != version:
        raise CaseError(Reason.CONFLICT, f"case {case_id}: is at version {held['version']}, the step was for {version}")
    before = CaseState(held["state"])
    after = WORKFLOW.get((before, deed.step))
    if after is None:
        raise CaseError(Reason.CONFLICT, f"case {case_id}: is {before}, which cannot be {deed.step}")
    await _record(conn, case_id, deed, before, after)
    case = await _change(conn, held, {**changes, "state": after.value})
    occasion = f"case/{case_id}/{case['version']}"
    await outbox.enqueue(conn, case=case, step=deed.step.value, occasion=occasion, channels=channels, now_ns=deed.now_ns)
    return case


async def _join(conn: AsyncConnection, held: dict[str, Any], alarm: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
    state = CaseState(held["state"])
    await _record(conn, held["id"], _Deed(Step.JOINED, SYSTEM, alarm["id"], now_ns), state, WORKFLOW[state, Step.JOINED])
    higher = max(Priority(held["priority"]), Priority(alarm["priority"]), key=_RANK.__getitem__)
    return held if higher.value == held["priority"] else await _change(conn, held, {"priority": higher.value})


async def _insert_case(conn: AsyncConnection, alarm: Mapping[str, Any], matter: Matter, now_ns: int) -> dict[str, Any]:
    where = (await conn.execute(select(devices.c.longitude, devices.c.latitude).where(devices.c.id == alarm["device"]))).first()
    row: dict[str, Any] = {
        "device": alarm["device"],
        "matter": matter.code,
        "gbt_code": matter.gbt_code,
        "department": matter.department,
        "title_zh": matter.title.zh,
        "title_en": matter.title.en,
        "priority": alarm["priority"],
        "state": CaseState.OPEN.value,
        "longitude": where.longitude if where else None,
        "latitude": where.latitude if where else None,
        "opened_ns": now_ns,
        # A continuous clock: working hours and pauses are a department's own calendar, which is not known yet.
        "due_ns": now_ns + matter.limit_minutes * 60 * SECOND_NS,
        "closed_ns": None,
        "assignee": "",
        "version": 1,
    }
    case_id = await conn.scalar(cases.insert().values(row).returning(cases.c.id))
    await _record(conn, case_id, _Deed(Step.OPENED, SYSTEM, alarm["id"], now_ns), CaseState.OPEN, CaseState.OPEN)
    return {"id": case_id, **row}


async def _change(conn: AsyncConnection, held: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    new = {**changes, "version": held["version"] + 1}
    done = await conn.execute(update(cases).where(cases.c.id == held["id"], cases.c.version == held["version"]).values(**new))
    if done.rowcount != 1:
        raise CaseError(Reason.CONFLICT, f"case {held['id']}: somebody else changed it at the same moment")
    return {**held, **new}


async def _record(conn: AsyncConnection, case_id: int, deed: _Deed, before: CaseState, after: CaseState) -> None:
    await conn.execute(
        case_steps.insert().values(
            case_id=case_id,
            step=deed.step.value,
            from_state=before.value,
            to_state=after.value,
            actor=deed.actor,
            at_ns=deed.now_ns,
            note=deed.note,
        )
    )


async def _case(conn: AsyncConnection, case_id: int) -> dict[str, Any] | None:
    row = (await conn.execute(select(cases).where(cases.c.id == case_id))).mappings().first()
    return None if row is None else dict(row)


async def _open_case(conn: AsyncConnection, device: str, matter: str) -> dict[str, Any] | None:
    wanted = select(cases).where(cases.c.device == device, cases.c.matter == matter, cases.c.closed_ns.is_(None))
    row = (await conn.execute(wanted)).mappings().first()
    return None if row is None else dict(row)
