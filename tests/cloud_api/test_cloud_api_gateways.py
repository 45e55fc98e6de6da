"""The fleet of gateways over the API: who is there, since when, what waits, and all of them counted."""

import time
from typing import Any

from cloud_api_world import NOW_NS, World
from sqlalchemy import insert, update

from cloud.presence import BEAT_NS, SLOTS
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, gateway_states, gateways
from telemetry.clock import SECOND_NS

MINUTE_NS = 60 * SECOND_NS


def gateway(number: int, **more: Any) -> dict[str, Any]:
    status = {"backlog": {"readings": 7} if number % 50 == 0 else {}, "devices_expected": 10, "devices_heard": 9}
    clock = "synced" if number % 10 else "unsynced"
    return {
        "id": f"gw-{number:05}", "epoch": "e1", "boot_id": "b", "agent_version": f"1.{number % 3}.0", "online": number % 100 != 0,
        "first_seen_ns": 1, "last_seen_ns": NOW_NS - SECOND_NS, "status": status, "clock": clock,
        "clock_ahead_ns": 0, **more,
    }  # fmt: skip


async def fill(city: World, count: int) -> None:
    async with writing(city.services.engine) as conn:
        await conn.execute(insert(gateways), [gateway(number) for number in range(10, 10 + count)])


async def states(city: World, name: str, *changes: tuple[int, str]) -> None:
    async with writing(city.services.engine) as conn:
        rows = [{"gateway": name, "at_ns": NOW_NS - ago_ns, "state": state} for ago_ns, state in changes]
        await conn.execute(insert(gateway_states), rows)


async def ids(city: World, query: str) -> list[str]:
    return [item["id"] for item in (await city.get(f"/api/gateways?{query}"))["items"]]


async def one(city: World, name: str) -> dict[str, Any]:
    [found] = (await city.get(f"/api/gateways?q={name}"))["items"]
    return dict(found)


async def test_a_day_of_a_gateway_is_ninety_letters(city: World) -> None:
    assert SLOTS * BEAT_NS == 86_400 * SECOND_NS
    nothing = await one(city, "gw-1")
    assert (nothing["beats"], nothing["beat_s"], nothing["standing"]) == ("?" * 90, 960, "online")
    await states(city, "gw-1", (10 * BEAT_NS, "online"), (4 * BEAT_NS, "offline"), (2 * BEAT_NS + MINUTE_NS, "online"))
    assert (await one(city, "gw-1"))["beats"] == "?" * 80 + "u" * 6 + "d" + "p" + "u" * 2
    await states(city, "gw-2", (30 * 86_400 * SECOND_NS, "offline"))
    assert (await one(city, "gw-2"))["beats"] == "d" * 90


async def test_a_gateway_that_missed_two_beats_is_silent_though_it_never_said_goodbye(city: World) -> None:
    await states(city, "gw-1", (20 * BEAT_NS, "online"))
    assert (await one(city, "gw-1"))["standing"] == "online"
    city.clock.advance(160)
    told = await one(city, "gw-1")
    assert (told["standing"], told["online"], told["beats"][-1]) == ("silent", True, "p")
    assert await ids(city, "standing=silent") == ["gw-1"]
    assert await ids(city, "standing=online") == []
    assert await ids(city, "standing=silent&standing=offline") == ["gw-1", "gw-2"]


async def test_a_gateway_that_is_gone_leads_to_its_case(city: World) -> None:
    at_ns = NOW_NS - MINUTE_NS
    async with writing(city.services.engine) as conn:
        gone = {"id": f"gw-2/cloud.gateway_offline/{at_ns}", "device": "gw-2", "rule": "cloud.gateway_offline", "case_id": 7}
        rest = {"profile": "", "profile_version": 0, "priority": "high", "state": "unacknowledged", "uncertain": False}
        await conn.execute(insert(alarms).values(**gone, **rest, raised_ns=at_ns, acknowledged_by="", evidence={}))
    told = await one(city, "gw-2")
    assert (told["case_id"], told["alarm"]) == (7, gone["id"])
    assert (await one(city, "gw-1"))["case_id"] is None
    async with writing(city.services.engine) as conn:
        await conn.execute(update(alarms).where(alarms.c.device == "gw-2").values(state="normal", returned_ns=NOW_NS))
    assert (await one(city, "gw-2"))["case_id"] is None


async def test_filters_leave_what_fits_page_by_page(city: World) -> None:
    await fill(city, 400)
    assert await ids(city, "version=1.2.0&clock=unsynced&q=gw-0001&limit=1000") == []
    assert await ids(city, "clock=unsynced&q=gw-0003") == ["gw-00030"]
    assert await ids(city, "clock=unsynced&clock=cloud&limit=3") == ["gw-00010", "gw-00020", "gw-00030"]
    waiting: list[str] = []
    cursor = ""
    while True:
        page = await city.get(f"/api/gateways?backlog=true&limit=3{cursor}")
        waiting += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert waiting == [f"gw-{number:05}" for number in range(50, 410, 50)] + ["gw-1", "gw-2"]
    assert await ids(city, "backlog=false&limit=2") == ["gw-00010", "gw-00011"]
    assert await ids(city, "q=%25") == []
    await city.get("/api/gateways?standing=gone", status=422)
    await city.get("/api/gateways?q=%00", status=422)


async def test_all_are_counted(city: World) -> None:
    await fill(city, 400)
    told = await city.get("/api/gateways/totals")
    assert (told["gateways"], told["online"], told["offline"], told["silent"]) == (402, 397, 5, 0)
    assert (told["backlog"], told["records"]) == (10, 8 * 7 + 2 * 4)
    assert (told["devices"], told["heard"]) == (4000, 3600)
    assert told["clocks"] == {"synced": 360, "unsynced": 40, "cloud": 1}
    assert sum(told["versions"].values()) == 402


async def test_a_page_of_five_thousand_is_told_quickly(city: World) -> None:
    await fill(city, 4998)
    took = {}
    for path in ("/api/gateways?limit=100", "/api/gateways?limit=100&backlog=true", "/api/gateways/totals"):
        await city.get(path)
        begun = time.perf_counter()
        await city.get(path)
        took[path] = time.perf_counter() - begun
    print({path: f"{seconds * 1000:.0f} ms" for path, seconds in took.items()})  # noqa: T201
    assert max(took.values()) < 0.5
