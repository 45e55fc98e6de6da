"""What the atlas asks the relational store, always in portions."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.atlas.cases import CaseRow
from cloud.atlas.index import DeviceRow
from cloud.relational.chunks import chunks
from cloud.relational.engine import reading
from cloud.relational.tables import alarms, cases, devices
from telemetry.alarm_states import OPEN

__all__ = ["all_devices", "case_counts", "devices_of", "open_alarms", "open_cases"]

_PORTION: Final = 2_500
"""Rows taken up at once: others have their turn every 20 ms."""

_c = devices.c
_ROW: Final = (
    _c.id, _c.name, _c.component_code, _c.kind, _c.gateway, _c.profile, _c.longitude, _c.latitude, _c.last_reading_ns,
)  # fmt: skip
_CASE: Final = tuple(cases.c[name] for name in CaseRow._fields)
_CRITICAL: Final = func.sum(case((alarms.c.priority == "critical", 1), else_=0))


async def all_devices(engine: AsyncEngine) -> AsyncIterator[list[DeviceRow]]:
    """Every device, a portion at a time, each portion as it is when it is read."""
    after = ""
    while True:
        wanted = select(*_ROW).where(_c.id > after).order_by(_c.id).limit(_PORTION)
        async with reading(engine) as conn:
            # All at once: row by row, the library takes ten times as long.
            rows = list(map(DeviceRow._make, (await conn.execute(wanted)).all()))
        if rows:
            yield rows
        if len(rows) < _PORTION:
            return
        after = rows[-1].id


async def devices_of(conn: AsyncConnection, ids: Iterable[str]) -> list[DeviceRow]:
    """Those of the devices that are registered."""
    found: list[DeviceRow] = []
    for some in chunks(sorted(ids)):
        found += map(DeviceRow._make, (await conn.execute(select(*_ROW).where(_c.id.in_(some)))).all())
    return found


async def open_alarms(conn: AsyncConnection, ids: Iterable[str] | None = None) -> dict[str, tuple[int, int]]:
    """Device -> how many of its alarms are open, and how many of those are critical; those without any are left out."""
    wanted = select(alarms.c.device, func.count(), _CRITICAL).where(alarms.c.state.in_(sorted(OPEN)))
    found: dict[str, tuple[int, int]] = {}
    for some in await _each(conn, wanted, alarms.c.device, ids):
        found[some[0]] = (some[1], int(some[2]))
    return found


async def case_counts(conn: AsyncConnection, ids: Iterable[str] | None = None) -> dict[str, int]:
    """Device -> how many cases it has open; those without any are left out."""
    wanted = select(cases.c.device, func.count()).where(cases.c.closed_ns.is_(None), cases.c.device.is_not(None))
    return {row[0]: row[1] for row in await _each(conn, wanted, cases.c.device, ids)}


async def open_cases(conn: AsyncConnection, ids: Iterable[int] | None = None) -> Mapping[int, CaseRow]:
    """The open ones among these cases, or all that are open."""
    wanted = select(*_CASE).where(cases.c.closed_ns.is_(None))
    if ids is None:
        return {row[0]: CaseRow._make(row) for row in (await conn.execute(wanted)).all()}
    found: dict[int, CaseRow] = {}
    for some in chunks(sorted(ids)):
        found |= {row[0]: CaseRow._make(row) for row in (await conn.execute(wanted.where(cases.c.id.in_(some)))).all()}
    return found


async def _each(conn: AsyncConnection, wanted: Select[Any], device: Any, ids: Iterable[str] | None) -> list[Any]:
    """The rows of a question for each device, of all or of these."""
    if ids is None:
        return list((await conn.execute(wanted.group_by(device))).all())
    rows: list[Any] = []
    for some in chunks(sorted(ids)):
        rows += (await conn.execute(wanted.where(device.in_(some)).group_by(device))).all()
    return rows
