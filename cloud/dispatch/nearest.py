"""Which open case a report belongs to: the nearest of its matter, so that one problem is one case."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, exists, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import alarms, case_alarms, cases
from telemetry.clock import SECOND_NS

__all__ = ["distance_m", "nearest"]

_EARTH_M: Final = 6_371_008.8  # mean radius of WGS-84, (2a + b) / 3
_SLACK: Final = 1e-9
"""Degrees, a tenth of a millimetre: the box may be too large, never too small."""


def distance_m(longitude: float, latitude: float, to_longitude: float, to_latitude: float) -> float:
    """Metres between two positions on a sphere (haversine); within 0.6 % of the distance on the ellipsoid."""
    south, north = math.radians(latitude), math.radians(to_latitude)
    up, across = math.sin((north - south) / 2), math.sin(math.radians(to_longitude - longitude) / 2)
    return 2 * _EARTH_M * math.asin(min(1.0, math.hypot(up, math.sqrt(math.cos(south) * math.cos(north)) * across)))


async def nearest(
    conn: AsyncConnection,
    *,
    matter: str,
    longitude: float,
    latitude: float,
    now_ns: int,
    within_m: float,
    within_s: float,
    device: str | None,
) -> Mapping[str, Any] | None:
    """The row of `cases` that a report of a problem of `matter` at a position belongs to; None where it needs its own.

    A case is one where all of this holds:

    * it is of the same matter and has not ended (on hold is not ended);
    * it was opened at most `within_s` seconds before `now_ns`; one that seems to be opened later, by a clock that runs ahead,
      counts as well;
    * it has a position, at most `within_m` metres away;
    * no two devices would share it: unless `device` is None, the case is of no device or of this one, and every alarm in it is
      of this one. So a citizen's report, which knows no device, joins the alarm's case beside it, and the first alarm joins a
      citizen's case; of two covers 5 m apart each has its own.

    Of several the nearest one; of those equally far, the one with the lowest id. The case of the device itself, wherever it
    stands and however old it is, is for the caller to look for first: there can be only one.
    """
    since_ns = now_ns - round(within_s * SECOND_NS)
    held = (cases.c.matter == matter, cases.c.closed_ns.is_(None), cases.c.opened_ns >= since_ns)
    asked = select(cases).where(*held, _in_box(longitude, latitude, within_m), _free_for(device))
    found = [(_far(row, longitude, latitude), row["id"], row) for row in (await conn.execute(asked)).mappings()]
    best = min((each for each in found if each[0] <= within_m), default=None, key=lambda each: each[:2])
    return None if best is None else dict(best[2])


def _far(row: Mapping[Any, Any], longitude: float, latitude: float) -> float:
    return distance_m(longitude, latitude, row["longitude"], row["latitude"])


def _free_for(device: str | None) -> ColumnElement[bool]:
    """That no other device has the case already."""
    if device is None:
        return true()
    joined = case_alarms.join(alarms, alarms.c.id == case_alarms.c.alarm)
    others = exists().select_from(joined).where(case_alarms.c.case_id == cases.c.id, alarms.c.device != device)
    return and_(or_(cases.c.device.is_(None), cases.c.device == device), ~others)


def _in_box(longitude: float, latitude: float, within_m: float) -> ColumnElement[bool]:
    """That a case lies in the smallest box of degrees around the circle; a case without a position never does."""
    angle = within_m / _EARTH_M
    reach = math.degrees(angle) + _SLACK
    low, high = latitude - reach, latitude + reach
    rows = cases.c.latitude.between(low, high)
    if low <= -90 or high >= 90:  # a pole is within: all longitudes are
        return and_(rows, cases.c.longitude.is_not(None))
    half = math.degrees(math.asin(min(1.0, math.sin(angle) / math.cos(math.radians(latitude))))) + _SLACK
    return and_(rows, or_(*(cases.c.longitude.between(*span) for span in _spans(longitude - half, longitude + half))))


def _spans(west: float, east: float) -> Iterator[tuple[float, float]]:
    """The longitudes from `west` to `east`, cut where they cross the 180th meridian."""
    yield west, east
    if west < -180:
        yield west + 360, 180
    if east > 180:
        yield -180, east - 360
