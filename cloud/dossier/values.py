"""The measured values round the moment at which an alarm was raised, and those of its neighbours."""

import math
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.dispatch.nearest import distance_m
from cloud.dossier.judged import metrics_of, rule_text, thresholds
from cloud.relational.tables import alarms, case_alarms, devices
from cloud.series.store import Point, SeriesStore
from cloud.watch.names import TITLES
from device_profiles.model import Profile
from telemetry.clock import SECOND_NS

__all__ = ["Basis", "alarms_of", "basis_of", "measured", "neighbours"]

MOST_POINTS: Final = 5000
"""Values of one metric in an answer: an hour of five values every four seconds."""
_NEAR_DEG: Final = 0.02
_NEIGHBOURS: Final = 5

Basis = dict[str, Any]


async def alarms_of(conn: AsyncConnection, case: int) -> list[dict[str, Any]]:
    """The rows of the alarms in a case, the one that was raised first before the others."""
    joined = select(alarms).join(case_alarms, case_alarms.c.alarm == alarms.c.id).where(case_alarms.c.case_id == case)
    rows = (await conn.execute(joined.order_by(alarms.c.raised_ns, alarms.c.id))).mappings()
    return [dict(row) for row in rows]


def basis_of(alarm: Mapping[str, Any], catalog: Mapping[str, Profile]) -> Basis:
    """What an alarm was judged by: rule, words, limits, metrics. `known_version` is the version of the profile that the words
    are taken from, None where nobody here knows the profile; the limits are the gateway's own where it wrote them down."""
    profile = catalog.get(alarm["profile"])
    rule = profile.alarms.get(alarm["rule"]) if profile else None
    title = rule.title if rule else TITLES.get(alarm["rule"])
    return {
        "alarm": alarm["id"],
        "device": alarm["device"],
        "rule": alarm["rule"],
        "title": None if title is None else {"zh": title.zh, "en": title.en},
        "profile": alarm["profile"],
        "profile_version": alarm["profile_version"],
        "known_version": profile.version if profile else None,
        "rule_text": rule_text(rule) if rule else None,
        "evidence": dict(alarm["evidence"]),
        "threshold": thresholds(profile, rule, alarm["evidence"]) if profile and rule else [],
        "metrics": [profile.metrics[name] for name in metrics_of(profile, rule)] if profile else [],
    }


async def measured(
    series: SeriesStore, device: str, metrics: list[str], start_ns: int, end_ns: int
) -> dict[str, tuple[list[Point], bool]]:
    """metric -> its values in the interval, and whether there were more of them than are told."""
    if not metrics:
        return {}
    found = await series.range(device, metrics, start_ns, end_ns, MOST_POINTS + 1)
    return {name: (points[:MOST_POINTS], len(points) > MOST_POINTS) for name, points in found.items()}


async def neighbours(conn: AsyncConnection, device: str) -> list[dict[str, Any]]:
    """The nearest five devices of the same kind within some 2 km: id, name, metres away; the nearest first."""
    here = (await conn.execute(select(devices).where(devices.c.id == device))).mappings().first()
    if here is None or here["longitude"] is None or here["latitude"] is None:
        return []
    wide = _NEAR_DEG / max(0.01, math.cos(math.radians(here["latitude"])))
    near = select(devices.c.id, devices.c.name, devices.c.longitude, devices.c.latitude).where(
        devices.c.kind == here["kind"],
        devices.c.id != device,
        devices.c.longitude.between(here["longitude"] - wide, here["longitude"] + wide),
        devices.c.latitude.between(here["latitude"] - _NEAR_DEG, here["latitude"] + _NEAR_DEG),
    )
    rows = (await conn.execute(near.limit(2000))).all()
    placed = [(distance_m(here["longitude"], here["latitude"], row.longitude, row.latitude), row) for row in rows]
    placed.sort(key=lambda pair: (pair[0], pair[1].id))
    return [{"device": row.id, "name": row.name, "distance_m": round(away, 1)} for away, row in placed[:_NEIGHBOURS]]


def at_the_time(points: list[Point], at_ns: int) -> Point | None:
    """The last of `points`, which are in order, that is not later than `at_ns` by more than a second."""
    before = [point for point in points if point.time_ns <= at_ns + SECOND_NS]
    return before[-1] if before else None
