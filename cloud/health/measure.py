"""The figures of a desk, read from the alarm log page by page: the log may be as long as it likes, the memory stays small."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, case, func, literal, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.health.count_log import Carried, Kind, LogCount, Step
from cloud.health.desks import AlarmDesk, DeskKind, FindMatter, departments, find_desk
from cloud.health.rates import INTERVAL_NS
from cloud.health.report import HealthReport, report_of
from cloud.relational.chunks import chunks
from cloud.relational.engine import reading
from cloud.relational.tables import alarms, cases, gateways, suppressions, transitions
from device_profiles.model import Profile
from telemetry.alarm_states import ACTIVE, SUPPRESSING, AlarmState, Suppression
from telemetry.clock import SECOND_NS
from telemetry.records import Cause

__all__ = ["alarm_health"]

_PAGE: Final = 2_000
_DAY_NS: Final = 86_400 * SECOND_NS
_HIDES: Final = tuple(why.value for why in Suppression)
_ENDS: Final = tuple(cause.value for cause in (Cause.RETURN, Cause.RETURN_LATCHED, Cause.CONFIG))
_ANEW: Final = tuple(cause.value for cause in (Cause.RE_ALARM, Cause.PRIORITY_RAISED, Cause.RETURN_TO_SERVICE))
_SUPPRESSING: Final = tuple(sorted(cause.value for cause in SUPPRESSING))
_UNSEEN: Final = AlarmState.UNACKNOWLEDGED.value


async def alarm_health(
    engine: AsyncEngine,
    catalog: Mapping[str, Profile],
    *,
    now_ns: int,
    days: int = 30,
    desk: str = "",
    find: FindMatter = lambda code: None,
    progress: Callable[[int], None] = lambda steps: None,
) -> HealthReport:
    """The `days` up to `now_ns`, in whole intervals of 10 minutes, as far back as the cloud knows of anything.

    `find` knows the city's matters; `progress` is told how many steps of the log were read so far. UnknownDeskError where
    nobody has that desk.
    """
    end_ns = now_ns // INTERVAL_NS * INTERVAL_NS
    async with reading(engine) as conn:
        by_rule = departments(catalog, find)
        whose = await find_desk(conn, by_rule, desk)
        start_ns = await _observed_from(conn, end_ns - days * _DAY_NS)
        if start_ns is None or start_ns >= end_ns:
            return report_of(whose, None, days=days, end_ns=end_ns)
        belongs = _belonging(whose, by_rule)
        carried = await _carried(conn, whose, belongs, start_ns)
        count = LogCount(start_ns, end_ns, await _suppressed(conn, start_ns), carried, belongs)
        steps = 0
        async for page in _pages(conn, whose, start_ns, end_ns):
            for step in page:
                count.feed(step)
            steps += len(page)
            progress(steps)
    count.finish()
    return report_of(whose, count, days=days, end_ns=end_ns)


async def _observed_from(conn: AsyncConnection, start_ns: int) -> int | None:
    """`start_ns`, or when the first gateway said hello where that is later. None where there never was anything."""
    first_ns: int | None = await conn.scalar(select(func.min(gateways.c.first_seen_ns)))
    if first_ns is None:
        first_ns = await conn.scalar(select(func.min(transitions.c.event_time_ns)))
    return None if first_ns is None else max(start_ns, first_ns // INTERVAL_NS * INTERVAL_NS)


def _belonging(desk: AlarmDesk, by_rule: Mapping[str, str]) -> Callable[[str], bool]:
    """Whether what `_said` says of an alarm is that it is this desk's."""
    match desk.kind:
        case DeskKind.ALL:
            return lambda said: True
        case DeskKind.DISTRICT:
            return lambda said: said == desk.name
        case DeskKind.DEPARTMENT:
            own = {rule for rule, name in by_rule.items() if name == desk.name}
            return lambda said: said == desk.name or said in own


def _said(desk: AlarmDesk, table: Table) -> ColumnElement[Any]:
    """What a row of `transitions` or `alarms` says of its desk: its case's, or its rule where it has no case."""
    match desk.kind:
        case DeskKind.ALL:
            return literal("")
        case DeskKind.DISTRICT:
            return func.coalesce(cases.c.district, "")
        case DeskKind.DEPARTMENT:
            return func.coalesce(cases.c.department, table.c.profile + "/" + table.c.rule)


def _kind() -> ColumnElement[int]:
    """The `Kind` of a step, told by the database: numbers come out of it several times faster than words."""
    step = transitions.c
    own = step.alarm == step.device + "/" + step.rule
    unseen = step.to_state == _UNSEEN
    return case(
        (and_(step.cause == Cause.RAISE.value, unseen, step.from_state != _UNSEEN), int(Kind.RAISED)),
        (step.cause == Cause.ACKNOWLEDGE.value, int(Kind.ACKNOWLEDGED)),
        (step.cause.in_(_ENDS), int(Kind.ENDED)),
        (and_(step.cause.in_(_ANEW), not_(own), unseen), int(Kind.AGAIN)),
        (and_(step.cause.in_(_SUPPRESSING), own, step.to_state.in_(_HIDES)), int(Kind.HIDDEN)),
        (and_(step.cause.in_(_SUPPRESSING), own), int(Kind.SHOWN)),
    )


async def _pages(conn: AsyncConnection, desk: AlarmDesk, start_ns: int, end_ns: int) -> AsyncIterator[Sequence[Step]]:
    """The steps of the log from start to end, by event time."""
    step, kind = transitions.c, _kind()
    wanted = select(step.alarm, kind, step.priority, step.event_time_ns, _said(desk, transitions)).select_from(transitions)
    if desk.kind is not DeskKind.ALL:
        wanted = wanted.outerjoin(alarms, alarms.c.id == step.alarm).outerjoin(cases, cases.c.id == alarms.c.case_id)
    wanted = wanted.where(step.event_time_ns >= start_ns, step.event_time_ns < end_ns, kind.is_not(None))
    found = await conn.stream(wanted.order_by(step.event_time_ns, step.origin, step.n))
    async for page in found.partitions(_PAGE):
        yield page


async def _suppressed(conn: AsyncConnection, at_ns: int) -> dict[str, int]:
    """The alarms that are suppressed at an instant, and since when it has been for the reason that is shown."""
    ids = (await conn.scalars(select(suppressions.c.id))).all()
    last: dict[str, tuple[int, str]] = {}
    step = transitions.c
    for some in chunks(ids):
        wanted = select(step.alarm, step.event_time_ns, step.to_state).where(step.alarm.in_(some), step.event_time_ns < at_ns)
        for alarm, time_ns, shown in await conn.execute(wanted.order_by(step.event_time_ns, step.origin, step.n)):
            since_ns = last[alarm][0] if alarm in last and last[alarm][1] in _HIDES else time_ns
            last[alarm] = (since_ns, shown)
    return {alarm: since_ns for alarm, (since_ns, shown) in last.items() if shown in _HIDES}


async def _carried(conn: AsyncConnection, desk: AlarmDesk, belongs: Callable[[str], bool], at_ns: int) -> list[Carried]:
    """The occurrences that are active at an instant; one that a change of the rules ended later is left out."""
    still = or_(alarms.c.returned_ns >= at_ns, alarms.c.state.in_([state.value for state in ACTIVE]))
    named = (alarms.c.id, alarms.c.priority, alarms.c.raised_ns, alarms.c.acknowledged_ns)
    wanted = select(*named, _said(desk, alarms)).select_from(alarms)
    if desk.kind is not DeskKind.ALL:
        wanted = wanted.outerjoin(cases, cases.c.id == alarms.c.case_id)
    return [
        Carried(alarm, priority, raised_ns, acknowledged_ns is not None and acknowledged_ns < at_ns)
        for alarm, priority, raised_ns, acknowledged_ns, said in await conn.execute(
            wanted.where(alarms.c.raised_ns < at_ns, still)
        )
        if belongs(said)
    ]
