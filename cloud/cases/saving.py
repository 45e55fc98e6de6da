"""Drafts into the store: cases, steps, clocks, deadlines and messages of any number of cases in a few statements."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import delete, insert, or_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.cases.desk import Desk
from cloud.cases.draft import CaseDraft, CaseError, Taken
from cloud.cases.telling import Telling, tell
from cloud.relational.ids import new_ids
from cloud.relational.tables import case_clocks, case_steps, cases, deadlines
from telemetry.reason import Reason

__all__ = ["Change", "save"]

_TURNING: Final = ("state", "holds", "extensions", "deadline_ns", "stopped_ns", "late", "charged")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A draft to be saved: what makes it happen once, the word of its message, and what the page that sent it gave along."""

    draft: CaseDraft
    occasion: str
    says: str
    key: str | None = None
    done_ns: int | None = None


async def save(conn: AsyncConnection, desk: Desk, changes: Sequence[Change], now_ns: int) -> None:
    """Write all of it, in the caller's transaction. Afterwards every row has its id and version.

    CaseError where a case was changed by somebody else, or would be a second open one of its device and matter.
    """
    drafts = [change.draft for change in changes]
    await _insert_new(conn, [draft for draft in drafts if draft.is_new])
    for draft in drafts:
        if draft.is_changed:
            await _update(conn, draft)
    await conn.execute(insert(case_steps), [row for change in changes for row in _steps(change)])
    await _save_clocks(conn, drafts)
    await _save_deadlines(conn, drafts, now_ns)
    await tell(conn, desk, [Telling(change.draft, change.occasion, change.says) for change in changes], now_ns)
    for draft in drafts:
        draft.saved()


async def _insert_new(conn: AsyncConnection, drafts: Sequence[CaseDraft]) -> None:
    if not drafts:
        return
    for draft, number in zip(drafts, await new_ids(conn, cases, len(drafts)), strict=True):
        draft.row |= {"id": number, "version": 1}
    try:
        await conn.execute(insert(cases), [draft.row for draft in drafts])
    except IntegrityError as error:
        raise CaseError(Reason.CONFLICT, "there is an open case of the same device and matter") from error


async def _update(conn: AsyncConnection, draft: CaseDraft) -> None:
    number, version = draft.row["id"], draft.row["version"]
    values = {name: value for name, value in draft.row.items() if name != "id"} | {"version": version + 1}
    changed = update(cases).where(cases.c.id == number, cases.c.version == version).values(values)
    try:
        done = await conn.execute(changed)
    except IntegrityError as error:
        raise CaseError(Reason.CONFLICT, f"case {number}: there is an open one of the same device and matter") from error
    if done.rowcount != 1:
        raise CaseError(Reason.CONFLICT, f"case {number}: somebody else changed it at the same moment")
    draft.row["version"] = version + 1


def _steps(change: Change) -> list[dict[str, Any]]:
    """The rows of the steps just taken. What a page gave along belongs to the first: the others follow from it."""
    rows = [_step(change.draft.row["id"], taken) for taken in change.draft.taken]
    rows[0] |= {"key": change.key, "done_ns": change.done_ns}
    return rows


def _step(case: int, taken: Taken) -> dict[str, Any]:
    deed, before = taken.deed, taken.row.before or taken.row.after
    longitude, latitude = deed.position or (None, None)
    return {
        "case_id": case,
        "step": deed.step.value,
        "from_state": before.value,
        "to_state": taken.row.after.value,
        "actor": deed.actor,
        "role": deed.role.value,
        "at_ns": deed.at_ns,
        "done_ns": None,
        "note": deed.note,
        "reason": deed.reason,
        "standard": deed.standard,
        "until_ns": deed.until_ns,
        "department": deed.department,
        "assignee": deed.assignee,
        "device_says": deed.device_says.value,
        "photos": list(deed.photos),
        "longitude": longitude,
        "latitude": latitude,
        "key": None,
    }


async def _save_clocks(conn: AsyncConnection, drafts: Sequence[CaseDraft]) -> None:
    new: list[dict[str, Any]] = []
    for draft in drafts:
        for row in draft.turned_rows():
            if "id" in row:
                turned = {name: row[name] for name in _TURNING}
                await conn.execute(update(case_clocks).where(case_clocks.c.id == row["id"]).values(turned))
            else:
                row["case_id"] = draft.row["id"]
                new.append(row)
    if new:
        for row, number in zip(new, await new_ids(conn, case_clocks, len(new)), strict=True):
            row["id"] = number
        await conn.execute(insert(case_clocks), new)


async def _save_deadlines(conn: AsyncConnection, drafts: Sequence[CaseDraft], now_ns: int) -> None:
    waits = deadlines.c.done_ns.is_(None)
    for draft in drafts:
        if draft.is_new:
            continue
        turned = [row["id"] for row in draft.turned_rows()]
        over = or_(deadlines.c.clock_id.in_(turned), deadlines.c.what.in_([due.value for due in draft.settled]))
        await conn.execute(delete(deadlines).where(deadlines.c.case_id == draft.row["id"], waits, over))
    rows = [
        {
            "case_id": draft.row["id"],
            "clock_id": due.clock["id"] if due.clock else None,
            "what": due.what.value,
            "due_ns": due.due_ns,
        }
        for draft in drafts
        for due in draft.deadlines(now_ns)
    ]
    if rows:
        await conn.execute(insert(deadlines), rows)
