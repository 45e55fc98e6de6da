"""What the relational store says for the overview, each in one statement."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import alarms, cases, devices, gateways, lanes, suppressions
from cloud.watch.limits import offline_after
from cloud.workflow.states import State
from device_profiles.model import Profile
from telemetry.alarm_states import AlarmState
from telemetry.clock import SECOND_NS

__all__ = ["HOUR_NS", "SLA_DAYS", "Group", "device_counts", "first_raise_ns", "heard_ns", "open_alarms", "raises", "sla"]

HOUR_NS: Final = 3600 * SECOND_NS
SLA_DAYS: Final = 30
_DAY_NS: Final = 24 * HOUR_NS


class Group(msgspec.Struct, frozen=True):
    """The cases of one department in one district: those of the last 30 days, and those still open.

    `late` are past their limit, or were when they ended, and not exempt by appeal; `critical` are open ones.
    """

    district: str
    department: str
    cases: int
    late: int
    open: int
    open_late: int
    critical: int


async def device_counts(conn: AsyncConnection, catalog: Mapping[str, Profile], now_ns: int) -> list[tuple[str, str, int]]:
    """(kind, state, how many devices), by the same states as the list of devices."""
    is_critical = case((alarms.c.priority == "critical", 1), else_=0)
    of = select(alarms.c.device, func.max(is_critical).label("critical")).where(alarms.c.state != AlarmState.NORMAL.value)
    worst = of.group_by(alarms.c.device).subquery()
    heard = devices.c.last_reading_ns
    state = case(
        (worst.c.critical == 1, "critical"),
        (worst.c.device.is_not(None), "alarm"),
        (heard.is_(None), "unknown"),
        (heard < literal(now_ns) - offline_after(devices.c.profile, catalog), "offline"),
        else_="normal",
    ).label("state")
    wanted = select(devices.c.kind, state, func.count()).outerjoin(worst, worst.c.device == devices.c.id)
    rows = await conn.execute(wanted.group_by(devices.c.kind, state))
    return [(kind, name, count) for kind, name, count in rows]


async def open_alarms(conn: AsyncConnection) -> dict[str, int]:
    """How many open alarms people are told of, by priority."""
    own = and_(suppressions.c.device == alarms.c.device, suppressions.c.rule == alarms.c.rule)
    told = or_(suppressions.c.shown.is_(None), suppressions.c.shown == "")
    wanted = select(alarms.c.priority, func.count()).outerjoin(suppressions, own)
    rows = await conn.execute(wanted.where(alarms.c.state != AlarmState.NORMAL.value, told).group_by(alarms.c.priority))
    return {row[0]: row[1] for row in rows}


async def raises(conn: AsyncConnection, from_ns: int, until_ns: int) -> dict[int, int]:
    """How many alarms were raised in each hour of [from, until): by hours since the Unix epoch; hours without are left out."""
    hour = (alarms.c.raised_ns // literal(HOUR_NS)).label("hour")
    wanted = select(hour, func.count()).where(alarms.c.raised_ns >= from_ns, alarms.c.raised_ns < until_ns).group_by(hour)
    return {int(number): count for number, count in await conn.execute(wanted)}


async def first_raise_ns(conn: AsyncConnection) -> int | None:
    """When the first alarm was raised that the store knows of."""
    found: int | None = await conn.scalar(select(func.min(alarms.c.raised_ns)))
    return found


async def sla(conn: AsyncConnection, now_ns: int) -> Sequence[Group]:
    """Every department of every district that has cases; void ones do not count."""
    is_open = cases.c.closed_ns.is_(None)
    past = or_(cases.c.overdue, and_(is_open, cases.c.due_ns < now_ns))
    late = and_(past, ~cases.c.exempt)
    wanted = select(
        cases.c.district,
        cases.c.department,
        func.count(),
        _sum(late),
        _sum(is_open),
        _sum(and_(is_open, late)),
        _sum(and_(is_open, cases.c.priority == "critical")),
    )
    counted = or_(is_open, cases.c.opened_ns >= now_ns - SLA_DAYS * _DAY_NS)
    wanted = wanted.where(counted, cases.c.state != State.VOID.value).group_by(cases.c.district, cases.c.department)
    return [Group(*row) for row in await conn.execute(wanted)]


async def heard_ns(conn: AsyncConnection) -> int | None:
    """When anything was heard last: records of a lane, or a gateway's word about itself."""
    times = [await conn.scalar(select(func.max(column))) for column in (lanes.c.updated_ns, gateways.c.last_seen_ns)]
    return max((time for time in times if time is not None), default=None)


def _sum(condition: ColumnElement[bool]) -> Any:
    return func.sum(case((condition, 1), else_=0))
