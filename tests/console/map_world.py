"""Puts a city of any size into the stores behind the real API, and changes it as the ingest would."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from cloud_api_world import NOW_NS, World

from cloud.relational.engine import writing
from cloud.relational.tables import alarms, case_alarms, case_steps, cases, devices, notifications, transitions

__all__ = ["MIDDLE", "add_devices", "clear", "close_case", "open_case", "raise_alarm", "row", "scattered"]

MIDDLE: Final = (113.3264, 23.1291)
"""Where the cities of the tests have their middle, degrees."""
_PORTION: Final = 5_000
_KINDS: Final = (("manhole_cover", "cover_nbiot"), ("lamp_loop", "lamp_loop"), ("toilet_sensor", "toilet_node_serial"))


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


async def add_devices(world: World, rows: Iterable[dict[str, Any]]) -> None:
    """Registered, and known to the map."""
    found = list(rows)
    for start in range(0, len(found), _PORTION):
        async with writing(world.services.engine) as conn:
            await conn.execute(devices.insert(), found[start : start + _PORTION])
    await world.services.atlas.load()
    world.services.atlas.tick()


def scattered(count: int, seed: int = 1, spread: float = 0.12) -> list[dict[str, Any]]:
    """Devices round the middle, thicker towards it."""
    at = np.random.default_rng(seed).normal(MIDDLE, (spread, spread * 0.7), (count, 2))
    return [row(number, float(x), float(y)) for number, (x, y) in enumerate(at.tolist())]


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
