"""What the street lights draw: the sum of the power that lamp controllers said last."""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.chunks import chunks
from cloud.relational.engine import reading
from cloud.relational.tables import devices
from cloud.series.store import Point, SeriesStore
from cloud.watch.limits import offline_after_s
from device_profiles.model import Profile
from telemetry.clock import SECOND_NS
from telemetry.records import Quality

__all__ = ["Energy", "read_energy"]

_KW: Final = {"power_kw": 1.0, "power_w": 0.001}


class Energy(msgspec.Struct, frozen=True):
    """`devices` could say their power, `heard` of them did so lately; `power_kw` is None where none did."""

    devices: int
    heard: int
    power_kw: float | None


async def read_energy(engine: AsyncEngine, series: SeriesStore, catalog: Mapping[str, Profile], now_ns: int) -> Energy:
    """Of every device of a kind of lamp whose profile has a power. StoreUnavailable where the series store does not answer."""
    metered = {name: profile for name, profile in catalog.items() if profile.kind.startswith("lamp") and _metric(profile)}
    async with reading(engine) as conn:
        wanted = select(devices.c.id, devices.c.profile).where(devices.c.profile.in_(sorted(metered)))
        known = {row.id: metered[row.profile] for row in await conn.execute(wanted)}
    powers: list[float] = []
    for some in chunks(list(known)):
        points = await series.latest(some)
        found = (_power(known[name], points.get(name, {}), now_ns) for name in some)
        powers += [power for power in found if power is not None]
        await asyncio.sleep(0)  # the newest values are in memory, and others wait
    return Energy(len(known), len(powers), sum(powers) if powers else None)


def _metric(profile: Profile) -> str:
    return next((name for name in _KW if name in profile.metrics), "")


def _power(profile: Profile, points: Mapping[str, Point], now_ns: int) -> float | None:
    metric = _metric(profile)
    point = points.get(metric)
    if point is None or point.quality is Quality.BAD or isinstance(point.value, bool | str) or point.value is None:
        return None
    return point.value * _KW[metric] if now_ns - point.time_ns < offline_after_s(profile) * SECOND_NS else None
