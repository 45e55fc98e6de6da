"""Puts a city of any size into the stores behind the real API, and changes it as the ingest would."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from cloud_api_world import NOW_NS, World
from sqlalchemy import text

from cloud.relational.engine import writing
from cloud.relational.tables import alarms, case_alarms, case_steps, cases, devices, notifications, transitions

__all__ = ["MIDDLE", "add_devices", "add_many", "clear", "close_case", "open_case", "raise_alarm", "row", "scattered"]

MIDDLE: Final = (113.3264, 23.1291)
"""Where the cities of the tests have their middle, degrees."""
_PORTION: Final = 5_000
_KINDS: Final = (("manhole_cover", "cover_nbiot"), ("lamp_loop", "lamp_loop"), ("toilet_sensor", "toilet_node_serial"))
# Made by the store itself, which is ten times as fast. Two steps through a prime's remainders scatter each degree.
_MANY: Final = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO devices (id, gateway, profile, profile_version, kind, name, component_code, longitude, latitude, first_seen_ns,
                     last_reading_ns)
SELECT printf('dev-%07d', n), 'gw-1', 'cover_nbiot', 1, 'manhole_cover', '中山路' || n || '号', '',
       :lon + ((n * 7919 % 100003) + (n * 104729 % 100019) - 100011) / 500000.0,
       :lat + ((n * 15485863 % 100043) + (n * 32452843 % 100049) - 100046) / 700000.0, 1, :now
FROM numbers
"""


def row(number: int, longitude: float | None, latitude: float | None, **more: Any) -> dict[str, Any]:
    """A device's row: `dev-0000017`, heard of now."""
    kind, profile = _KINDS[number % len(_KINDS)]
    return {
        "id": f"dev-{number:07d}", "gateway": "gw-1", "profile": profile, "profile_version": 1, "kind": kind,
        "name": f"中山路{number}号", "component_code": "", "longitude": longitude, "latitude": latitude, "first_seen_ns": 1,
        "last_reading_ns": NOW_NS, **more,
    }  # fmt: skip


async def clear(world: World) -> None:
    """Nothing in the city."""
    async with writing(world.services.engine) as conn:
        for table in (notifications, case_steps, case_alarms, cases, transitions, alarms, devices):
            await conn.execute(table.delete())
    await world.services.atlas.load()
    world.services.atlas.tick()


async def add_many(world: World, count: int) -> None:
    """So many devices in the store, thicker towards the middle; the map learns of them when it reads the store again."""
    places = {"count": count - 1, "lon": MIDDLE[0], "lat": MIDDLE[1], "now": NOW_NS}
    async with writing(world.services.engine) as conn:
        await conn.execute(text(_MANY), places)


async def add_devices(world: World, rows: Iterable[dict[str, Any]]) -> None:
    """Registered, and known to the map."""
    found = list(rows)
    for start in range(0, len(found), _PORTION):
        async with writing(world.services.engine) as conn:
            await conn.execute(devices.insert(), found[start : start + _PORTION])
    await world.services.atlas.load()
    world.services.atlas.tick()


def scattered(count: int, first: int = 0, spread: float = 0.12) -> list[dict[str, Any]]:
    """Devices round the middle, thicker towards it; the same for the same numbers."""
    at = np.random.default_rng(first).normal(MIDDLE, (spread, spread * 0.7), (count, 2))
    return [row(number, x, y) for number, (x, y) in enumerate(at.tolist(), first)]


async def raise_alarm(world: World, device: str, priority: str = "critical") -> str:
    """An open alarm, told of as the ingest tells it; its id."""
    alarm = f"{device}/cover_opened/{NOW_NS}"
    values = {
        "id": alarm, "device": device, "rule": "cover_opened", "profile": "cover_nbiot", "profile_version": 1,
        "priority": priority, "state": "unacknowledged", "uncertain": False, "raised_ns": NOW_NS, "returned_ns": None,
        "acknowledged_ns": None, "acknowledged_by": "", "evidence": {"tilt_deg": 41.5}, "case_id": None,
    }  # fmt: skip
    async with writing(world.services.engine) as conn:
        await conn.execute(alarms.insert().values(values))
    world.services.feed.publish("alarm", {"id": alarm, "device": device, "state": "unacknowledged"})
    return alarm


async def open_case(world: World, number: int, at: tuple[float, float], *, hours: int = 0, **more: Any) -> None:
    """An open case at a place, `hours` old."""
    values = {
        "id": number, "device": None, "matter": "cover_displaced", "gbt_code": "0101", "department": "municipal",
        "title_zh": "井盖缺失", "title_en": "Cover missing", "priority": "critical", "state": "dispatched", "longitude": at[0],
        "latitude": at[1], "opened_ns": NOW_NS - hours * 3_600_000_000_000, "due_ns": None, "closed_ns": None, "assignee": "",
        "version": 1, **more,
    }  # fmt: skip
    async with writing(world.services.engine) as conn:
        await conn.execute(cases.insert().values(values))
    world.services.feed.publish("case", {"id": number, "device": values["device"], "state": "dispatched", "version": 1})


async def close_case(world: World, number: int) -> None:
    """It is closed."""
    async with writing(world.services.engine) as conn:
        await conn.execute(cases.update().where(cases.c.id == number).values(closed_ns=NOW_NS, state="closed"))
    world.services.feed.publish("case", {"id": number, "device": None, "state": "closed", "version": 2})
