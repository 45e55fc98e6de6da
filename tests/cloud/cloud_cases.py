"""Cases of tests: alarms as rows, a desk, and people who do the steps."""

from typing import Any

from cloud_records import T0, S
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.cases.desk import Desk
from cloud.cases.opening import Joined, Report, open_or_join
from cloud.cases.steps import take
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, evidence
from cloud.workflow.case import Deed
from cloud.workflow.states import Role, Step
from device_profiles.matter import Matter

__all__ = ["CREW", "DESK", "PHOTO", "all_rows", "do", "matter", "opened", "set_alarm", "show_photo", "walk"]

CREW = ChannelConfig(name="crew", kind=ChannelKind.WEBHOOK, url="http://127.0.0.1:1/")
DESK = Desk(channels=[CREW])
PHOTO = "ab" * 32


def matter(code: str = "cover_displaced", desk: Desk = DESK) -> Matter:
    found = desk.matters.find(code, T0)
    assert found is not None
    return found


async def opened(
    engine: AsyncEngine,
    name: str = "a1",
    *,
    device: str = "cover-1",
    priority: str = "high",
    desk: Desk = DESK,
    at_ns: int = T0,
    code: str = "cover_displaced",
    place: tuple[float, float] | None = None,
) -> Joined | None:
    """What becomes of an alarm that a device raises at `at_ns`."""
    async with writing(engine) as conn:
        row = {"id": name, "device": device, "rule": "cover_open", "profile": "cover_nbiot", "profile_version": 1}
        raised = {"priority": priority, "state": "unacknowledged", "raised_ns": at_ns}
        await conn.execute(alarms.insert().values(row | raised))
        told = Report(
            matter=matter(code, desk),
            priority=priority,
            source="alarm",
            occasion=name,
            note=name,
            actor="system",
            role=Role.SYSTEM,
            device=device,
            longitude=place[0] if place else None,
            latitude=place[1] if place else None,
            alarm=name,
            since_ns=at_ns,
        )
        joined = await open_or_join(conn, desk, [told], at_ns)
    return joined[0] if joined else None


async def set_alarm(engine: AsyncEngine, name: str, state: str) -> None:
    """Let the device say something else."""
    async with writing(engine) as conn:
        await conn.execute(update(alarms).where(alarms.c.id == name).values(state=state))


async def show_photo(conn: AsyncConnection) -> None:
    """There is a photo to show."""
    if await conn.scalar(select(evidence.c.id)) is None:
        row = {"id": PHOTO, "media_type": "image/jpeg", "size": 1, "uploaded_by": "li.wei", "at_ns": T0}
        await conn.execute(evidence.insert().values(row))


_DONE: dict[Step, dict[str, Any]] = {
    Step.FILE: {"role": Role.OPERATOR, "standard": "met"},
    Step.DISPATCH: {"role": Role.DISPATCHER, "department": "市政"},
    Step.ASSIGN: {"role": Role.DEPARTMENT, "assignee": "li.wei"},
    Step.TAKE: {"role": Role.CREW},
    Step.ARRIVE: {"role": Role.CREW, "position": (120.6, 31.3)},
    Step.SUBMIT: {"role": Role.CREW, "note": "cover replaced", "photos": (PHOTO,)},
    Step.CONFIRM: {"role": Role.DEPARTMENT, "note": "good"},
    Step.CHECK: {"role": Role.OPERATOR, "assignee": "wang"},
    Step.CHECKED: {"role": Role.COLLECTOR, "actor": "wang", "note": "seen", "photos": (PHOTO,)},
    Step.PASS: {"role": Role.OPERATOR, "standard": "closing condition met"},
    Step.FAIL: {"role": Role.OPERATOR, "reason": "still loose"},
    Step.OVERRIDE: {"role": Role.SUPERVISOR, "reason": "sensor is broken", "standard": "seen"},
    Step.REOPEN: {"role": Role.SUPERVISOR, "reason": "loose again"},
    Step.ASK_HOLD: {"role": Role.DEPARTMENT, "reason": "waits for a part"},
    Step.GRANT_HOLD: {"role": Role.SHIFT_LEAD, "actor": "zhao", "note": "yes"},
    Step.ASK_EXTENSION: {"role": Role.DEPARTMENT, "reason": "snow"},
    Step.GRANT_EXTENSION: {"role": Role.SHIFT_LEAD, "actor": "zhao", "note": "yes"},
    Step.VOID: {"role": Role.OPERATOR, "reason": "no such cover"},
    Step.SUPERVISE: {"role": Role.SUPERVISOR, "note": "quickly"},
}


async def do(
    engine: AsyncEngine, case: int, step: Step, at_ns: int, *, desk: Desk = DESK, version: int | None = None, **more: Any
) -> dict[str, Any]:
    """One step, done by whoever does it usually."""
    async with writing(engine) as conn:
        await show_photo(conn)
        deed = Deed(**{"step": step, "actor": "li.wei", "at_ns": at_ns, **_DONE[step], **more})
        return await take(conn, desk, case, deed, now_ns=at_ns, version=version)


async def walk(engine: AsyncEngine, case: int, steps: list[Step], at_ns: int = T0 + S, **more: Any) -> dict[str, Any]:
    """Steps one after the other, a second apart."""
    row: dict[str, Any] = {}
    for n, step in enumerate(steps):
        row = await do(engine, case, step, at_ns + n * S, **more)
    return row


async def all_rows(engine: AsyncEngine, table: Any) -> list[dict[str, Any]]:
    async with reading(engine) as conn:
        return [dict(row) for row in (await conn.execute(select(table))).mappings()]
