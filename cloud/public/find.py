"""Which toilet to go to: what was asked, and the answer in the order in which one would walk."""

import math
import re
from collections.abc import Iterable, Mapping

import msgspec

from cloud.dispatch.nearest import distance_m
from cloud.public.now import ToiletNow

__all__ = ["Asked", "Found", "find", "read_asked"]

_NEAR = re.compile(r"\s*([+-]?[0-9]{1,3}(?:\.[0-9]{1,15})?)\s*[,，]\s*([+-]?[0-9]{1,2}(?:\.[0-9]{1,15})?)\s*")
_DETOUR = 1.3
"""Of streets over the straight line: what planners of cities with blocks usually take."""
_M_PER_MINUTE = 75.0
"""4.5 km/h: the pace of somebody who is not young."""


class Asked(msgspec.Struct, frozen=True):
    """What somebody looks for; `is_wrong` where they named a place that is none."""

    near: tuple[float, float] | None = None
    open_only: bool = False
    wheelchair: bool = False
    is_wrong: bool = False


class Found(msgspec.Struct, frozen=True):
    """A toilet, how far it is in a straight line, and how long the way may take on foot."""

    now: ToiletNow
    distance_m: float | None = None
    minutes: int | None = None


def read_asked(query: Mapping[str, str]) -> Asked:
    """`near` (longitude,latitude), `open` and `wheelchair` of an address."""
    said = query.get("near", "").strip()
    found = _NEAR.fullmatch(said)
    near = None if found is None else (float(found[1]), float(found[2]))
    if near is not None and not (abs(near[0]) <= 180 and abs(near[1]) <= 90):
        near = None
    return Asked(near, query.get("open") == "1", query.get("wheelchair") == "1", bool(said) and near is None)


def find(toilets: Iterable[ToiletNow], asked: Asked) -> list[Found]:
    """Open ones before closed ones, near before far; where nobody said where they are, in the city's own order."""
    kept = [
        _found(now, asked)
        for now in toilets
        if (now.opening.is_open or not asked.open_only) and (now.toilet.wheelchair or not asked.wheelchair)
    ]
    return sorted(kept, key=lambda each: (not each.now.opening.is_open, each.distance_m or 0.0))


def _found(now: ToiletNow, asked: Asked) -> Found:
    if asked.near is None:
        return Found(now)
    metres = distance_m(*asked.near, now.toilet.longitude, now.toilet.latitude)
    return Found(now, metres, max(1, math.ceil(metres * _DETOUR / _M_PER_MINUTE)))
