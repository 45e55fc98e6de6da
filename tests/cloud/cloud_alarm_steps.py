"""Steps of alarms, and what became of them, for the tests of the cloud's alarms."""

from collections.abc import Sequence
from typing import Any

from cloud_records import T0, S
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms.log import Subject, record
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, transitions
from telemetry.records import Cause, Origin, Priority, Transition, Value

__all__ = ["ALARM", "OWN", "T0", "S", "log_of", "put", "step", "subject"]

OWN = "cover-1/cover_opened"
ALARM = f"{OWN}/{T0}"


def step(
    n: int,
    cause: Cause,
    at_s: int,
    origin: Origin = Origin.EDGE,
    alarm: str = ALARM,
    *,
    device: str = "cover-1",
    rule: str = "cover_opened",
    priority: Priority = Priority.CRITICAL,
    **evidence: Value,
) -> Transition:
    return Transition(
        alarm=alarm,
        origin=origin,
        n=n,
        device=device,
        rule=rule,
        profile="cover_nbiot",
        profile_version=1,
        cause=cause,
        priority=priority,
        event_time_ns=T0 + at_s * S,
        recorded_ns=T0 + at_s * S,
        actor=origin.value,
        evidence=evidence or {"tilt_deg": float(at_s)},
    )


def subject(device: str = "cover-1", rule: str = "cover_opened") -> Subject:
    """The alarm itself."""
    return Subject(
        alarm=f"{device}/{rule}",
        device=device,
        rule=rule,
        profile="cover_nbiot",
        profile_version=1,
        priority=Priority.CRITICAL,
    )


async def put(engine: AsyncEngine, news: Sequence[Transition]) -> None:
    async with writing(engine) as conn:
        await record(conn, news, T0)


async def log_of(engine: AsyncEngine) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The log and the rows of `alarms`."""
    async with reading(engine) as conn:
        order = (transitions.c.alarm, transitions.c.event_time_ns, transitions.c.origin, transitions.c.n)
        steps = (await conn.execute(select(transitions).order_by(*order))).mappings().all()
        rows = (await conn.execute(select(alarms).order_by(alarms.c.id))).mappings().all()
    return [dict(row) for row in steps], [dict(row) for row in rows]
