"""What changes reaches the map, the lists and the stream: by the news alone, and only where it belongs."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cloud_api_world import MINUTE_NS, NOW_NS, World
from sqlalchemy import update
from test_cloud_api_map import HERE, tile, tile_of

from cloud.relational.engine import writing
from cloud.relational.tables import alarms, cases, devices
from telemetry.records import Reading
from telemetry.wire import group_readings

NEAR = "113.2,23.1,113.3,23.2"
FAR = "100,10,101,11"


async def change(city: World, kind: str, data: dict[str, Any], *statements: Any) -> None:
    """Write into the store, tell of it as the cloud does, and let the atlas see to it at once."""
    async with writing(city.services.engine) as conn:
        for statement in statements:
            await conn.execute(statement)
    city.services.feed.publish(kind, data)
    await city.services.atlas.ready.wait()
    await city.services.atlas.catch_up()
    city.services.atlas.tick()


async def ids(city: World, query: str) -> list[str]:
    return [item["id"] for item in (await city.get(f"/api/devices?{query}"))["items"]]


async def events(city: World, query: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    async with city.session.get(f"/api/stream?{query}") as response:
        kind = ""
        async for raw in response.content:
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)


async def heard(news: AsyncIterator[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    return await asyncio.wait_for(anext(news), 5)


def returned() -> Any:
    return update(alarms).where(alarms.c.device == "cover-1").values(state="normal")


async def test_an_alarm_that_ends_is_gone_from_map_and_list(city: World) -> None:
    assert await ids(city, "state=critical") == ["cover-1"]
    await change(city, "alarm", {"id": "x", "device": "cover-1"}, returned())
    assert await ids(city, "state=critical") == []
    (cell,) = (await tile(city, tile_of(*HERE, 12)))["cells"]
    assert cell["is"] == {"n": 5, "normal": 3, "offline": 1, "unknown": 1}


async def test_who_falls_silent_is_offline_without_any_news(city: World) -> None:
    await city.get("/api/map")
    city.clock.advance(400 * 86_400)
    city.services.atlas.tick()
    assert (await city.get("/api/map"))["states"] == {"unknown": 1, "normal": 0, "offline": 3, "alarm": 0, "critical": 1}
    assert await ids(city, "state=offline") == ["cover-2", "lamp-1", "odd-1"]


async def test_who_is_heard_again_is_normal_before_the_store_knows_it(city: World) -> None:
    await city.get("/api/map")
    city.services.atlas.heard({"lamp-1": NOW_NS - MINUTE_NS})
    await city.services.atlas.catch_up()
    assert "lamp-1" in await ids(city, "state=normal")
    assert (await city.get("/api/devices/lamp-1"))["state"] == "normal"


async def test_a_new_device_is_found_and_one_that_went_is_not(city: World) -> None:
    row = {
        "id": "cover-9", "gateway": "gw-2", "profile": "cover_nbiot", "profile_version": 1, "kind": "manhole_cover",
        "name": "新井", "component_code": "4401050000000009", "longitude": 113.5, "latitude": 23.5, "first_seen_ns": 1,
    }  # fmt: skip
    await change(city, "device", {"id": "cover-9", "gateway": "gw-2"}, devices.insert().values(row))
    assert await ids(city, "q=新井") == ["cover-9"]
    assert await ids(city, "q=44010500000") == ["cover-9"]
    assert await ids(city, "gateway=gw-2") == ["cover-9"]
    assert await ids(city, "box=113.4,23.4,113.6,23.6") == ["cover-9"]
    await change(city, "device", {"id": "cover-9"}, devices.delete().where(devices.c.id == "cover-9"))
    assert await ids(city, "q=新井") == []
    assert await city.services.atlas.page(city.services.atlas.filter(), None, None, "cover-3", 9) == ["lamp-1", "odd-1"]


async def test_what_nobody_told_of_is_found_when_everything_is_read_again(city: World) -> None:
    await city.get("/api/map")
    async with writing(city.services.engine) as conn:
        await conn.execute(returned())
        await conn.execute(devices.delete().where(devices.c.id == "odd-1"))
    await city.services.atlas.load()
    assert (await city.get("/api/map"))["states"]["critical"] == 0
    assert (await city.get("/api/map"))["devices"] == 4


async def test_a_vehicle_is_where_it_says(city: World) -> None:
    row = {
        "id": "bus-1", "gateway": "gw-1", "profile": "jt808_terminal", "profile_version": 1, "kind": "vehicle", "name": "",
        "component_code": "", "longitude": None, "latitude": None, "first_seen_ns": 1,
    }  # fmt: skip
    profile = next(
        name for name, each in city.services.catalog.items() if {"longitude_deg", "latitude_deg"} <= each.metrics.keys()
    )
    await change(city, "device", {"id": "bus-1", "gateway": "gw-1"}, devices.insert().values({**row, "profile": profile}))
    assert await ids(city, "box=120,30,121,31") == []
    for step, longitude in enumerate((120.5, 110.5)):
        time_ns = NOW_NS - MINUTE_NS + step
        reading = Reading(
            device="bus-1", profile=profile, profile_version=1, time_ns=time_ns, received_ns=time_ns,
            values={"longitude_deg": longitude, "latitude_deg": 30.5},
        )  # fmt: skip
        await city.services.series.write([group_readings("gw-1", "e1", 50 + step, [reading])])
        city.services.atlas.heard({"bus-1": time_ns})
        await city.services.atlas.catch_up()
        assert await ids(city, "box=120,30,121,31") == (["bus-1"] if step == 0 else [])
    (point,) = (await tile(city, tile_of(110.5, 30.5, 15)))["devices"]
    assert point["is"]["id"] == "bus-1"


async def test_a_case_that_closes_takes_its_pin_with_it(city: World) -> None:
    assert "cases" in await tile(city, tile_of(*HERE, 14))
    closed = update(cases).where(cases.c.id == 7).values(closed_ns=NOW_NS, state="closed")
    await change(city, "case", {"id": 7, "device": "cover-1"}, closed)
    assert "cases" not in await tile(city, tile_of(*HERE, 14))
    assert all(point["is"]["cases"] == 0 for point in (await tile(city, tile_of(*HERE, 16)))["devices"])


async def test_the_stream_names_the_tile_that_changed(city: World) -> None:
    await city.get("/api/map")
    news = events(city, f"kind=tiles&zoom=12&box={NEAR}")
    kind, first = await heard(news)
    assert (kind, first["tiles"]) == ("tiles", [])
    await change(city, "alarm", {"id": "x", "device": "cover-1"}, returned())
    kind, second = await heard(news)
    name = tile_of(*HERE, 12).removeprefix("/api/tiles/").removesuffix(".mvt")
    assert (kind, second["tiles"]) == ("tiles", [name])
    assert second["version"] > first["version"]


async def test_a_viewport_elsewhere_hears_nothing_of_it(city: World) -> None:
    await city.get("/api/map")
    news = events(city, f"kind=tiles&kind=gateway&zoom=12&box={FAR}")
    await heard(news)
    await change(city, "alarm", {"id": "x", "device": "cover-1"}, returned())
    city.services.feed.publish("gateway", {"id": "gw-1"})
    assert (await heard(news))[0] == "gateway"


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        (f"box={NEAR}", ["cover-1", "cover-2", "gw-1"]),
        (f"box={FAR}", ["gw-1"]),
        ("device=cover-2", ["cover-2", "gw-1"]),
        (f"device=cover-2&box={FAR}", ["gw-1"]),
    ],
)
async def test_news_are_narrowed_by_box_and_device(city: World, scope: str, wanted: list[str]) -> None:
    await city.get("/api/map")
    feed = city.services.feed
    after = feed.last_id
    feed.publish("alarm", {"id": "a", "device": "cover-1"})
    feed.publish("transition", {"alarm": "a", "device": "cover-2"})
    feed.publish("gateway", {"id": "gw-1"})
    news = events(city, f"{scope}&last_event_id={after}")
    found = [(await heard(news))[1] for _ in wanted]
    assert [data.get("device") or data["id"] for data in found] == wanted


BOXES = ("box=1,2,3", "box=a,b,c,d", "box=1,50,2,40", "box=nan,1,2,3")


@pytest.mark.parametrize("query", ["kind=tiles", f"kind=tiles&box={NEAR}", *BOXES])
async def test_a_stream_of_nowhere_is_refused(city: World, query: str) -> None:
    assert (await city.get(f"/api/stream?{query}", status=422))["reason"] == "invalid"


async def test_the_newest_values_of_a_thousand_devices_are_asked_for_at_once(city: World) -> None:
    asked = ["cover-1", "nobody", *(f"d{n}" for n in range(998))]
    found = await city.post("/api/latest", {"devices": asked})
    assert [item["device"] for item in found["items"]] == ["cover-1"]
    await city.post("/api/latest", {"devices": [*asked, "one-more"]}, status=422)
    assert (await city.get("/api/latest?device=cover-1"))["items"] == found["items"]


async def test_the_search_box_finds_devices_cases_and_addresses(city: World) -> None:
    await change(city, "case", {"id": 7, "device": "cover-1"}, update(cases).where(cases.c.id == 7).values(address="中山路 5 号"))

    async def found(text: str) -> list[tuple[str, str]]:
        items = (await city.get(f"/api/devices/search?q={text}&limit=4"))["items"]
        return [(item["kind"], item["id"]) for item in items]

    assert await found("COVER-2") == [("device", "cover-2")]
    assert await found("井") == [("device", "cover-1"), ("device", "cover-2"), ("device", "cover-3"), ("device", "lamp-1")]
    assert await found("%237") == [("case", "7")]
    assert await found("中山路") == [("case", "7"), ("address", "7")]
    assert await found("nothing") == []
    (case, _) = (await city.get("/api/devices/search?q=中山路"))["items"]
    assert (case["name"], case["detail"], case["longitude"]) == ("井盖缺失", "中山路 5 号", 113.26)
