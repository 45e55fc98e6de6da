"""Gives numbers to devices, their metrics and versions of profiles, once and for ever."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Select, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.relational.engine import reading, writing
from cloud.relational.tables import devices, sta_datastreams, sta_properties, sta_sensors, sta_things
from device_profiles.model import Profile
from telemetry.clock import SECOND_NS, Clock

__all__ = ["Numbers"]

_EVERY_NS: Final = 5 * SECOND_NS
_PART: Final = 500
"""Devices in one transaction: others who write wait no longer than some tens of milliseconds."""
_MOST_PARTS: Final = 40
"""For one question; what is left gets its numbers with the next ones."""


class Numbers:
    """`vocabulary` are the names of all metrics that there are."""

    def __init__(self, engine: AsyncEngine, catalog: Mapping[str, Profile], vocabulary: Iterable[str], clock: Clock) -> None:
        self._engine = engine
        self._catalog = catalog
        self._vocabulary = tuple(vocabulary)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._looked_ns: int | None = None
        self._seen: dict[tuple[str, int], tuple[int, int]] = {}

    async def keep(self) -> None:
        """Number what has none yet; looks every five seconds at most, and only where the registry has changed."""
        async with self._turn:
            now_ns = self._clock.monotonic_ns()
            if self._looked_ns is not None and now_ns - self._looked_ns < _EVERY_NS:
                return
            done = await self._look()
            self._looked_ns = now_ns if done else None

    async def _look(self) -> bool:
        pair = devices.c.profile, devices.c.profile_version
        # How many, and when they came: where one leaves a version of a profile as another joins it, the sum tells.
        counted = select(*pair, func.count(), func.sum(devices.c.first_seen_ns // SECOND_NS)).group_by(*pair)
        async with reading(self._engine) as conn:
            now = {(row[0], row[1]): (row[2], int(row[3])) for row in await conn.execute(counted)}
        changed = sorted(pair for pair, sums in now.items() if self._seen.get(pair) != sums)
        if self._looked_ns is not None and not changed:
            return True
        async with writing(self._engine) as conn:
            await self._number_words(conn, now)
        parts = 0
        for each in changed:
            while (size := await self._number_some(each)) > 0:
                parts += 1
                if parts >= _MOST_PARTS:
                    return False
                if size < _PART:
                    break
            self._seen[each] = now[each]
        return True

    async def _number_words(self, conn: AsyncConnection, pairs: Iterable[tuple[str, int]]) -> None:
        known = set(await conn.scalars(select(sta_properties.c.metric)))
        metrics = dict.fromkeys([*self._vocabulary, *(name for each in self._catalog.values() for name in each.metrics)])
        await _insert(conn, sta_properties, [{"metric": name} for name in metrics if name not in known])
        held = {(row.profile, row.version) for row in await conn.execute(select(sta_sensors.c.profile, sta_sensors.c.version))}
        new = sorted(set(pairs) - held)
        await _insert(conn, sta_sensors, [{"profile": profile, "version": version} for profile, version in new])

    async def _number_some(self, pair: tuple[str, int]) -> int:
        """Number up to 500 devices of this version of a profile that lack some number; how many those were."""
        profile = self._catalog.get(pair[0])
        metrics = [] if profile is None else list(profile.metrics)
        async with writing(self._engine) as conn:
            lacking = list(await conn.scalars(_lacking(pair, metrics)))
            if not lacking:
                return 0
            numbered = set(await conn.scalars(select(sta_things.c.device).where(sta_things.c.device.in_(lacking))))
            await _insert(conn, sta_things, [{"device": name} for name in lacking if name not in numbered])
            held = select(sta_datastreams.c.device, sta_datastreams.c.metric).where(sta_datastreams.c.device.in_(lacking))
            known = {(row.device, row.metric) for row in await conn.execute(held)}
            every = [(device, metric) for device in lacking for metric in metrics]
            await _insert(conn, sta_datastreams, [{"device": each[0], "metric": each[1]} for each in every if each not in known])
            return len(lacking)


def _lacking(pair: tuple[str, int], metrics: list[str]) -> Select[tuple[str]]:
    has = (
        select(func.count())
        .where(sta_datastreams.c.device == devices.c.id, sta_datastreams.c.metric.in_(metrics))
        .correlate(devices)
        .scalar_subquery()
    )
    thing = select(sta_things.c.id).where(sta_things.c.device == devices.c.id).correlate(devices).exists()
    return (
        select(devices.c.id)
        .where(devices.c.profile == pair[0], devices.c.profile_version == pair[1])
        .where(~thing | (has < len(metrics)))
        .order_by(devices.c.first_seen_ns, devices.c.id)
        .limit(_PART)
    )


async def _insert(conn: AsyncConnection, table: Table, rows: list[dict[str, object]]) -> None:
    if rows:
        await conn.execute(table.insert(), rows)
