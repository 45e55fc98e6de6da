"""Everything of the overview as of one moment, made at most once in five seconds."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Select, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.api.alarm_filter import alarm_select
from cloud.api.services import Services
from cloud.overview import read
from cloud.overview.energy import Energy, read_energy
from cloud.overview.mapped import mapped_counts
from cloud.overview.rate import BAND_DAYS, HOURS, Hour, with_band
from cloud.overview.read import HOUR_NS, Group
from cloud.relational.engine import reading
from cloud.relational.tables import alarms, suppressions
from telemetry.alarm_states import AlarmState
from telemetry.clock import SECOND_NS

__all__ = ["Board", "View"]

_FRESH_NS: Final = 5 * SECOND_NS
_SLOW_NS: Final = 60 * SECOND_NS
_MOST_CRITICAL: Final = 50
_MOST_NEWEST: Final = 20


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The city as of `at_ns`; rows of alarms are those of `alarm_select`."""

    at_ns: int
    heard_ns: int | None
    devices: Sequence[tuple[str, str, int]]
    open_alarms: Mapping[str, int]
    hours: Sequence[Hour]
    groups: Sequence[Group]
    criticals: Sequence[Mapping[str, Any]]
    newest: Sequence[Mapping[str, Any]]
    energy: Energy


class Board:
    """One for each application: however many walls hang in the city, the stores are asked once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = asyncio.Lock()
        self._view: View | None = None
        self._past: tuple[int, dict[int, int]] = (-1, {})
        self._energy: tuple[int, Energy] | None = None

    async def look(self) -> View:
        """At most five seconds old. StoreUnavailable or DBAPIError where a store does not answer."""
        async with self._turn:
            now_ns = self._services.clock.wall_ns()
            if self._view is None or not 0 <= now_ns - self._view.at_ns < _FRESH_NS:
                self._view = await self._made(now_ns)
        return self._view

    async def _made(self, now_ns: int) -> View:
        energy = await self._power(now_ns)
        async with reading(self._services.engine) as conn:
            return View(
                at_ns=now_ns,
                heard_ns=await read.heard_ns(conn),
                devices=await self._devices(conn, now_ns),
                open_alarms=await read.open_alarms(conn),
                hours=await self._hours(conn, now_ns),
                groups=await read.sla(conn, now_ns),
                criticals=await _rows(conn, _told(critical=True).order_by(alarms.c.raised_ns, alarms.c.id).limit(_MOST_CRITICAL)),
                newest=await _rows(conn, _told().order_by(alarms.c.raised_ns.desc(), alarms.c.id).limit(_MOST_NEWEST)),
                energy=energy,
            )

    async def _devices(self, conn: AsyncConnection, now_ns: int) -> Sequence[tuple[str, str, int]]:
        atlas = self._services.atlas
        if atlas.ready.is_set():
            return mapped_counts(atlas.index)
        return await read.device_counts(conn, self._services.catalog, now_ns)

    async def _hours(self, conn: AsyncConnection, now_ns: int) -> Sequence[Hour]:
        """Hours that are over are counted anew once an hour: a late alarm changes them little, and they are many."""
        now = now_ns // HOUR_NS
        held, counts = self._past
        if held != now:
            counts = await read.raises(conn, (now - HOURS - BAND_DAYS * 24) * HOUR_NS, (now - 1) * HOUR_NS)
            self._past = (now, counts)
        latest = await read.raises(conn, (now - 1) * HOUR_NS, (now + 1) * HOUR_NS)
        first_ns = await read.first_raise_ns(conn)
        return with_band({**counts, **latest}, now, None if first_ns is None else first_ns // HOUR_NS)

    async def _power(self, now_ns: int) -> Energy:
        if self._energy is None or not 0 <= now_ns - self._energy[0] < _SLOW_NS:
            given = self._services
            self._energy = (now_ns, await read_energy(given.engine, given.series, given.catalog, now_ns))
        return self._energy[1]


def _told(*, critical: bool = False) -> Select[Any]:
    """Open alarms that people are told of."""
    kept = or_(suppressions.c.shown.is_(None), suppressions.c.shown == "")
    wanted = alarm_select().where(alarms.c.state != AlarmState.NORMAL.value, kept)
    return wanted.where(alarms.c.priority == "critical") if critical else wanted


async def _rows(conn: AsyncConnection, wanted: Select[Any]) -> Sequence[Mapping[str, Any]]:
    return [dict(row) for row in (await conn.execute(wanted)).mappings()]
