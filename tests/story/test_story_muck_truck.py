"""A muck truck leaves the roads that are open to it and unloads in a field: by the gateway's own map, whatever the driver did."""

import json
from pathlib import Path

import pytest
from story_city import City, Town, clock_time, table

from cloud.workflow.states import Step
from edge_agent.alarms.zones import load_zones
from telemetry.records import Value

Place = tuple[float, float]
QUARRY, ROAD, FIELD, TIP = (111.000, 35.000), (111.015, 35.000), (111.015, 35.020), (111.040, 35.000)
"""Where it is loaded, on its way, two kilometres beside it, and where it should unload."""
ON_ITS_WAY: dict[str, Value] = {
    "load_state": "full",
    "lid_open": False,
    "body_lifted": False,
    "position_fixed": True,
    "speed_kmh": 38.0,
}
UNLOADING: dict[str, Value] = {**ON_ITS_WAY, "body_lifted": True, "speed_kmh": 0.0, "payload_t": 9.0}


def square(east: float, north: float, side: float) -> list[Place]:
    """A ring round a middle; sides in degrees."""
    a, b = side / 2, -side / 2
    return [(east + b, north + b), (east + a, north + b), (east + a, north + a), (east + b, north + a), (east + b, north + b)]


def the_map(folder: Path) -> Path:
    """The gateway's file of zones: two sites, and the road from the one to the other, some 200 m wide."""
    road = [(110.995, 34.999), (111.045, 34.999), (111.045, 35.001), (110.995, 35.001), (110.995, 34.999)]
    shapes = {
        "muck_sites": {"type": "MultiPolygon", "coordinates": [[square(*QUARRY, 0.006)], [square(*TIP, 0.006)]]},
        "muck_roads": {"type": "Polygon", "coordinates": [road]},
    }
    features = [{"type": "Feature", "properties": {"name": name}, "geometry": geometry} for name, geometry in shapes.items()]
    path = folder / "zones.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


async def drives(city: City, start: str, place: Place, times: int, **values: Value) -> None:
    """Where it is and how, every half minute, so many times."""
    await city.until(start)
    for n in range(times):
        if n:
            await city.later(30)
        await city.says("truck-3", longitude_deg=place[0], latitude_deg=place[1], **(ON_ITS_WAY | values))


async def worked_off(city: City, number: int, who: str, desk: str) -> None:
    """Done, confirmed, seen by a collector, closed by the operator: no device can say that a field is clean."""
    await city.does(who, Step.TAKE, number)
    await city.does(who, Step.SUBMIT, number, note="done", photo=f"case {number} done")
    await city.does(desk, Step.CONFIRM, number, note="good")
    assert (await city.case(number))["state"] == "feedback"
    await city.does("ma.chao", Step.CHECK, number, assignee="tian.yu")
    await city.does("tian.yu", Step.CHECKED, number, note="seen", photo=f"case {number} seen")
    await city.does("ma.chao", Step.PASS, number, standard="the spill is cleared and the vehicle known")


async def test_a_truck_that_unloads_in_a_field_is_a_case_at_the_field(town: Town, tmp_path: Path) -> None:
    async with town("2026-10-20 21:00", zones=load_zones(the_map(tmp_path))) as city:
        await city.install("vehicle_muck_truck", "truck-3")  # it has no registered place: it drives
        await drives(city, "2026-10-20 21:40", QUARRY, 5, speed_kmh=0.0, body_lifted=True)
        await drives(city, "2026-10-20 21:50", ROAD, 5)
        assert await city.cases() == []

        # Ten minutes later it is two kilometres beside its road, and lifts its body.
        await drives(city, "2026-10-20 22:00", FIELD, 6)
        await drives(city, "2026-10-20 22:03", FIELD, 2, **UNLOADING)
        await drives(city, "2026-10-20 22:20", QUARRY, 6, load_state="empty")

        astray, dumped = await city.cases()
        assert (astray["matter"], astray["department"], clock_time(astray["opened_ns"])) == (
            "vehicle_misuse",
            "环卫车队调度室",
            "10-20 22:01",
        )
        assert (dumped["matter"], dumped["department"], dumped["priority"], dumped["assignee"]) == (
            "road_spill",
            "环卫作业单位",
            "high",
            "wu.gang",
        )
        # Both lie where the truck was, and so does what the alarm stands on.
        assert {(case["longitude"], case["latitude"], case["district"]) for case in (astray, dumped)} == {(*FIELD, "140802")}
        [alarm] = await city.alarms_of(dumped["id"])
        assert (alarm["rule"], alarm["evidence"]["longitude_deg"], alarm["evidence"]["latitude_deg"]) == (
            "dumped_outside_sites",
            *FIELD,
        )
        assert alarm["evidence"]["body_lifted"] is True
        # From the nearest corner of a site 0.012 degrees to the east and 0.017 to the north: 1,093 m and 1,890 m.
        assert alarm["evidence"]["muck_sites.inside_m"] == pytest.approx(-2183, abs=2)
        # Two working hours of a night begin in the morning.
        assert clock_time(dumped["due_ns"]) == "10-21 10:00"

        await city.until("2026-10-21 08:05")
        await worked_off(city, dumped["id"], "wu.gang", "dong.mei")
        await city.does("gao.feng", Step.ASSIGN, astray["id"], assignee="gao.feng")
        await worked_off(city, astray["id"], "gao.feng", "gao.feng")
        assert [case["state"] for case in await city.cases()] == ["closed", "closed"]

        assert (await city.told(dumped["id"]))[0] == ("10-20 22:03", "wu.gang", "opened")
        assert await city.told(astray["id"]) == table("""
            10-20 22:01 | gao.feng | opened
            10-21 08:05 | gao.feng | assign
            10-21 08:05 | gao.feng | submit
            10-21 08:05 | gao.feng | pass
            10-21 08:05 | ma.chao  | confirm
            10-21 08:05 | ma.chao  | checked
            10-21 08:05 | tian.yu  | check
        """)
        await city.until("2026-11-02 08:00")
        numbers = await city.numbers("2026-10")
        assert numbers["on_time_handling_rate"] == numbers["on_time_checking_rate"] == (2, 2)
        assert numbers["device_closing_rate"] == (0, 2)


async def test_a_truck_that_keeps_to_its_road_and_its_sites_is_nobodys_business(town: Town, tmp_path: Path) -> None:
    async with town("2026-10-20 21:00", zones=load_zones(the_map(tmp_path))) as city:
        await city.install("vehicle_muck_truck", "truck-3")
        await drives(city, "2026-10-20 21:40", ROAD, 4)
        # A fix that jumps over the edge and back is no detour, and unloading at the tip is what it is for.
        await drives(city, "2026-10-20 21:42", (ROAD[0], 35.0013), 2)
        await drives(city, "2026-10-20 21:43", ROAD, 6)
        await drives(city, "2026-10-20 21:50", TIP, 6, **UNLOADING)
        # An empty truck may go home as it likes.
        await drives(city, "2026-10-20 22:00", FIELD, 6, load_state="empty")
        assert await city.cases() == []


async def test_without_a_fix_nobody_is_accused(town: Town, tmp_path: Path) -> None:
    async with town("2026-10-20 21:00", zones=load_zones(the_map(tmp_path))) as city:
        await city.install("vehicle_muck_truck", "truck-3")
        await drives(city, "2026-10-20 22:00", FIELD, 6, position_fixed=False, body_lifted=True, speed_kmh=0.0)
        assert await city.cases() == []
