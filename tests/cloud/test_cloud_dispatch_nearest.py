"""The nearest open case: within metres and seconds, of the same matter, and never one that two devices would share."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from cloud_records import T0, S
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.dispatch.nearest import distance_m, nearest
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, case_alarms, cases

HERE = (111.0, 35.03)
METRE = 1 / 111_195
"""Degrees of latitude."""


def row(number: int, **changes: object) -> dict[str, Any]:
    return {
        "id": number,
        "device": None,
        "matter": "cover_displaced",
        "gbt_code": "0103",
        "department": "covers",
        "title_zh": "井盖缺失或移位",
        "title_en": "Manhole cover missing",
        "priority": "critical",
        "state": "handling",
        "longitude": HERE[0],
        "latitude": HERE[1],
        "opened_ns": T0,
        "closed_ns": None,
        **changes,
    }


def alarm(device: str) -> dict[str, Any]:
    fixed = {"rule": "cover_open", "profile": "cover_nbiot", "profile_version": 1, "priority": "critical", "raised_ns": T0}
    return {"id": f"{device}/cover_open/1", "device": device, "state": "unacknowledged", **fixed}


async def put(conn: AsyncConnection, *rows: Mapping[str, Any], joined: Mapping[int, str] | None = None) -> None:
    """These cases and no others; `joined` are the devices whose alarms are in them."""
    for table in (case_alarms, alarms, cases):
        await conn.execute(table.delete())
    for each in rows:
        await conn.execute(cases.insert().values(each))
    for number, device in (joined or {}).items():
        await conn.execute(alarms.insert().values(alarm(device)))
        await conn.execute(case_alarms.insert().values(case_id=number, alarm=alarm(device)["id"]))


async def ask(conn: AsyncConnection, place: tuple[float, float] = HERE, **changes: Any) -> int | None:
    asked = {"matter": "cover_displaced", "now_ns": T0 + 60 * S, "within_m": 30.0, "within_s": 86_400.0, "device": None} | changes
    found = await nearest(conn, longitude=place[0], latitude=place[1], **asked)
    return None if found is None else found["id"]


def north(metres: float) -> dict[str, float]:
    return {"longitude": HERE[0], "latitude": HERE[1] + metres * METRE}


async def test_the_nearest_case_within_the_distance_is_found(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await put(conn, row(1, **north(29)), row(2, **north(-10)), row(3, **north(31)))
        assert await ask(conn) == 2
        assert await ask(conn, within_m=9.9) is None
        assert await ask(conn, (HERE[0], HERE[1] + 50 * METRE)) == 3


async def test_of_cases_at_one_place_the_first_is_found(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await put(conn, row(9, **north(5)), row(4, **north(5)), row(7, **north(5)))
        assert await ask(conn) == 4


async def test_a_case_of_another_matter_that_ended_or_that_is_older_is_another(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await put(conn, row(1, matter="cover_loose"), row(2, closed_ns=T0 + S), row(3, opened_ns=T0 - 86_400 * S))
        assert await ask(conn) is None
        assert await ask(conn, within_s=86_460.0) == 3
        assert await ask(conn, within_s=86_459.999) is None


async def test_a_case_whose_clock_ran_ahead_or_that_waits_on_hold_is_open_as_well(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await put(conn, row(1, opened_ns=T0 + 70 * S, state="hold"))
        assert await ask(conn) == 1


async def test_a_case_without_a_position_is_near_nothing(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await put(conn, row(1, longitude=None, latitude=None), row(2, longitude=None, latitude=90.0))
        assert await ask(conn) is None
        assert await ask(conn, (0.0, 90.0)) is None


async def test_two_covers_at_one_pole_are_two_cases(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await put(conn, row(1, device="cover-1", **north(5)), joined={1: "cover-1"})
        assert await ask(conn, device="cover-2") is None
        assert await ask(conn, device="cover-1") == 1


async def test_a_citizens_report_and_an_alarm_at_one_place_are_one_case(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await put(conn, row(1, device="cover-1", **north(5)), joined={1: "cover-1"})
        assert await ask(conn, device=None) == 1
        await put(conn, row(2, source="citizen", **north(5)))
        assert await ask(conn, device="cover-2") == 2


async def test_a_citizens_case_that_one_covers_alarm_has_joined_is_that_covers(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        await put(conn, row(1, source="citizen", **north(5)), joined={1: "cover-1"})
        assert await ask(conn, device="cover-2") is None
        assert await ask(conn, device="cover-1") == 1
        assert await ask(conn, device=None) == 1


@pytest.mark.parametrize(
    ("place", "case"),
    [
        pytest.param((179.9999, -16.8), (-179.9999, -16.8), id="east of the 180th meridian"),
        pytest.param((-179.9999, -16.8), (179.9999, -16.8), id="west of it"),
        pytest.param((180.0, 66.0), (-180.0, 66.0), id="on it, by its other name"),
        pytest.param((0.0, 89.9999), (180.0, 89.9999), id="beyond the pole"),
    ],
)
async def test_a_case_across_the_seam_of_the_map_is_near(
    cloud_engine: AsyncEngine, place: tuple[float, float], case: tuple[float, float]
) -> None:
    async with writing(cloud_engine) as conn:
        await put(conn, row(1, longitude=case[0], latitude=case[1]))
        assert await ask(conn, place) == 1
        assert await ask(conn, (place[0] - 0.1, place[1] - 0.1)) is None


def test_a_distance_is_that_of_a_sphere() -> None:
    assert distance_m(0, 0, 0, 1) == pytest.approx(111_195.08, abs=0.01)
    assert distance_m(0, 0, 180, 0) == pytest.approx(math.pi * 6_371_008.8)
    assert distance_m(111.0, 60.0, 111.001, 60.0) == pytest.approx(55.5975, abs=0.001)
    assert distance_m(*HERE, *HERE) == 0


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    latitude=st.sampled_from([-66.0, 0.0, 35.03, 78.2]),
    bearing=st.sampled_from([0.0, 90.0, 180.0, 270.0]) | st.floats(0, 360),
    within_m=st.sampled_from([0.5, 30.0, 5e4, 2e6]),
)
async def test_a_case_just_within_the_circle_is_found_and_one_just_beyond_is_not(
    cloud_engine: AsyncEngine, latitude: float, bearing: float, within_m: float
) -> None:
    place = (179.9999, latitude)
    async with writing(cloud_engine) as conn:
        for part, expected in ((0.99999, 1), (1.00001, None)):
            await put(conn, row(1, **beyond(place, bearing, within_m * part)))
            assert await ask(conn, place, within_m=within_m) == expected


def beyond(place: tuple[float, float], bearing: float, metres: float) -> dict[str, float]:
    """Where one comes to in a straight line over the sphere."""
    way, turn = metres / 6_371_008.8, math.radians(bearing)
    start = math.radians(place[1])
    end = math.asin(math.sin(start) * math.cos(way) + math.cos(start) * math.sin(way) * math.cos(turn))
    across = math.atan2(math.sin(turn) * math.sin(way) * math.cos(start), math.cos(way) - math.sin(start) * math.sin(end))
    return {"longitude": (place[0] + math.degrees(across) + 180) % 360 - 180, "latitude": math.degrees(end)}


# ---- against a slow search over everything

_PLACES = st.sampled_from([HERE, (179.99995, -16.8), (-180.0, 35.0), (10.0, 78.2), (0.0, 0.0)])
_DEVICES = st.sampled_from([None, "cover-1", "cover-2"])
_TENTHS = st.integers(-13, 13)


@st.composite
def stores(draw: st.DrawFn, within_m: float) -> tuple[tuple[float, float], list[dict[str, Any]], dict[int, str]]:
    """A place, cases around it in tenths of a distance, and the devices whose alarms are in some of them."""
    longitude, latitude = draw(_PLACES)
    north, east = within_m * METRE / 10, within_m * METRE / 10 / math.cos(math.radians(latitude))
    rows = [
        row(
            number,
            # Two cases of one device and matter cannot both be open.
            device=draw(st.sampled_from([None, None, f"cover-{number}"])),
            matter=draw(st.sampled_from([*["cover_displaced"] * 4, "cover_loose"])),
            longitude=(longitude + draw(_TENTHS) * east + 180) % 360 - 180,
            latitude=latitude + draw(_TENTHS) * north,
            opened_ns=T0 - draw(st.integers(-60, 1200)) * S,
            closed_ns=draw(st.sampled_from([*[None] * 4, T0])),
        )
        for number in range(1, draw(st.integers(1, 8)) + 1)
    ]
    joined = {each["id"]: draw(st.sampled_from(["cover-1", "cover-2"])) for each in rows[:1] if draw(st.booleans())}
    return (longitude, latitude), rows, joined


def chord_m(place: tuple[float, float], case: Mapping[str, Any]) -> float:
    """The distance by the straight line through the earth: another way to the same number."""
    ends = []
    for longitude, latitude in (place, (case["longitude"], case["latitude"])):
        east, up = math.radians(longitude), math.radians(latitude)
        ends.append((math.cos(up) * math.cos(east), math.cos(up) * math.sin(east), math.sin(up)))
    return 2 * 6_371_008.8 * math.asin(math.dist(*ends) / 2)


def may_join(case: Mapping[str, Any], device: str | None, joined: Mapping[int, str], oldest_ns: int) -> bool:
    if case["matter"] != "cover_displaced" or case["closed_ns"] is not None or case["opened_ns"] < oldest_ns:
        return False
    theirs = {case["device"], joined.get(case["id"])} - {None}
    return device is None or theirs <= {device}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), device=_DEVICES, within_m=st.sampled_from([0.5, 30.1, 2000.0]), within_s=st.sampled_from([900, 5000]))
async def test_it_is_the_one_that_a_search_over_everything_finds(
    cloud_engine: AsyncEngine, data: st.DataObject, device: str | None, within_m: float, within_s: int
) -> None:
    place, rows, joined = data.draw(stores(within_m))
    far = {each["id"]: chord_m(place, each) for each in rows}
    assume(all(abs(each - within_m) > 1e-6 for each in far.values()))
    open_ones = [each for each in rows if may_join(each, device, joined, T0 + 60 * S - within_s * S)]
    near = [each for each in open_ones if far[each["id"]] <= within_m]
    async with writing(cloud_engine) as conn:
        await put(conn, *rows, joined=joined)
        found = await ask(conn, place, device=device, within_m=within_m, within_s=within_s)
    if not near:
        assert found is None
        return
    assert found in {each["id"] for each in near}
    assert far[found] <= min(far[each["id"]] for each in near) + 1e-6
    same = [each["id"] for each in near if (each["longitude"], each["latitude"]) == _place_of(rows, found)]
    assert found == min(same)


def _place_of(rows: list[dict[str, Any]], number: int | None) -> tuple[float, float]:
    [case] = [each for each in rows if each["id"] == number]
    return case["longitude"], case["latitude"]
