"""A person's step, or the system's, on a case that is there."""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import SYSTEM
from cloud.cases.desk import Desk
from cloud.cases.draft import CaseDraft, CaseError
from cloud.cases.facts import device_says, load, load_many
from cloud.cases.saving import Change, save
from cloud.relational.chunks import chunks
from cloud.relational.tables import case_steps, cases, evidence
from cloud.workflow.case import Deed, DeviceSays
from cloud.workflow.states import Role, State, Step
from telemetry.reason import Reason

__all__ = ["hear_devices", "system_deed", "take"]


async def take(
    conn: AsyncConnection,
    desk: Desk,
    case_id: int,
    deed: Deed,
    *,
    now_ns: int,
    version: int | None = None,
    key: str = "",
    done_ns: int | None = None,
) -> dict[str, Any]:
    """Do what the deed says, and what the system does because of it; the case's row afterwards.

    `version` is the one that the actor saw, None for what does not depend on it. What was sent with the same `key` before is
    done already. `done_ns` is when it was done by the actor's own clock. CaseError where it cannot be done; CONFLICT where the
    case has moved on.
    """
    if key and await _is_done(conn, case_id, key):
        return await _row(conn, case_id)
    draft = await load(conn, desk, case_id)
    if version is not None and draft.row["version"] != version:
        raise CaseError(
            Reason.CONFLICT,
            f"case {case_id}: is at version {draft.row['version']}, the step was for {version}",
            f"案件 {case_id} 已更新到版本 {draft.row['version']}，此操作基于版本 {version}",
        )
    await _know_photos(conn, deed.photos)
    says = await device_says(conn, desk, draft.row)
    draft.do(msgspec.structs.replace(deed, at_ns=now_ns, device_says=says))
    _follow(desk, draft, says, now_ns)
    last = draft.taken[-1].deed.step
    occasion = f"case/{case_id}/{draft.row['version'] + 1}"
    change = Change(draft=draft, occasion=occasion, says=last.value, key=key or None, done_ns=done_ns)
    await save(conn, desk, [change], now_ns)
    return draft.row


async def hear_devices(conn: AsyncConnection, desk: Desk, numbers: Collection[int], now_ns: int) -> list[dict[str, Any]]:
    """Close those of these cases whose work is confirmed already and which waited for their device's word; their rows."""
    rows: list[dict[str, Any]] = []
    for some in chunks(sorted(numbers)):
        waiting = select(cases).where(cases.c.id.in_(some), cases.c.state == State.FEEDBACK.value).order_by(cases.c.id)
        rows += [dict(row) for row in (await conn.execute(waiting)).mappings()]
    closed = []
    for draft in await load_many(conn, desk, rows):
        _follow(desk, draft, await device_says(conn, desk, draft.row), now_ns)
        if draft.taken:
            occasion = f"case/{draft.row['id']}/{draft.row['version'] + 1}"
            closed.append(Change(draft=draft, occasion=occasion, says=draft.taken[-1].deed.step.value))
    if closed:
        await save(conn, desk, closed, now_ns)
    return [change.draft.row for change in closed]


def _follow(desk: Desk, draft: CaseDraft, says: DeviceSays, now_ns: int) -> None:
    """What the system does by itself once a person has done a step, or the device has said something."""
    state = State(draft.row["state"])
    if state is State.FEEDBACK and says is DeviceSays.CLEAR and desk.policy.close_by_device:
        standard = draft.matter.device.says.zh if draft.matter.device else ""
        draft.do(system_deed(Step.PASS, now_ns, standard=standard, device_says=says))


def system_deed(step: Step, now_ns: int, **more: Any) -> Deed:
    """A step that the cloud takes by itself."""
    return Deed(step=step, actor=SYSTEM, role=Role.SYSTEM, at_ns=now_ns, **more)


async def _is_done(conn: AsyncConnection, case_id: int, key: str) -> bool:
    held = await conn.scalar(select(case_steps.c.case_id).where(case_steps.c.key == key))
    if held is not None and held != case_id:
        raise CaseError(Reason.CONFLICT, f"case {case_id}: the key {key} was used for case {held}")
    return held is not None


async def _row(conn: AsyncConnection, case_id: int) -> dict[str, Any]:
    return dict((await conn.execute(select(cases).where(cases.c.id == case_id))).mappings().one())


async def _know_photos(conn: AsyncConnection, photos: Collection[str]) -> None:
    """A step may only show photos that are here."""
    if not photos:
        return
    held = set((await conn.scalars(select(evidence.c.id).where(evidence.c.id.in_(photos)))).all())
    missing = sorted(set(photos) - held)
    if missing:
        raise CaseError(Reason.INVALID, f"photos {', '.join(missing)[:200]}: were not sent yet", "照片尚未上传")
