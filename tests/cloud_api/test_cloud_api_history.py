"""The history of a device as a screen asks for it: pixels, gaps, since, tier and method, and a tag for what is over."""

from urllib.parse import quote

import pytest
from cloud_api_world import MINUTE_NS, NOW, NOW_NS, World

from cloud.api.history_schemas import History
from telemetry.records import Reading
from telemetry.wire import group_readings

HISTORY = "/api/devices/cover-1/history"
TILT = f"{HISTORY}?metric=tilt_deg"
HOUR = "start=2025-11-20T13:00:00Z&end=2025-11-20T14:00:00Z"


async def roll(city: World) -> None:
    while (await city.services.series.roll(NOW_NS + 2 * MINUTE_NS)).more:
        pass


async def test_as_many_points_as_fit_the_pixels_with_the_gaps_between(city: World) -> None:
    answer = await city.get(f"{TILT}&{HOUR}&pixels=4000")
    History.model_validate(answer)
    assert (answer["tier"], answer["method"], answer["truncated"], answer["column_s"]) == ("raw", "pixels", False, 0.9)
    points = answer["metrics"]["tilt_deg"]
    assert [point["value"] for point in points] == [float(n) for n in range(11)]  # the twelfth is bad
    assert points[0] == {"time": "2025-11-20T13:49:00.123Z", "value": 0.0}
    assert answer["gaps"] == {"tilt_deg": []}  # this model may be silent for hours while all is well
    month = await city.get(f"{TILT}&since=30d&pixels=4000")
    assert month["gaps"] == {"tilt_deg": [{"start": month["start"], "end": points[0]["time"]}]}


async def test_the_tier_that_answered_is_told(city: World) -> None:
    await roll(city)
    assert (await city.get(f"{TILT}&{HOUR}&pixels=30"))["tier"] == "1m"
    assert (await city.get(f"{TILT}&{HOUR}&bucket=60"))["tier"] == "1m"
    assert (await city.get(f"{TILT}&start=2025-11-19T14:00:00Z&end=2025-11-20T14:00:00Z&bucket=3600"))["tier"] == "1h"
    assert (await city.get(f"{TILT}&{HOUR}"))["tier"] == "raw"


async def test_a_chart_keeps_the_extremes_whatever_it_is_made_of(city: World) -> None:
    raw = await city.get(f"{TILT}&{HOUR}&pixels=10")
    await roll(city)
    rolled = await city.get(f"{TILT}&{HOUR}&pixels=10")
    assert (raw["tier"], rolled["tier"]) == ("raw", "1m")
    values = {point["value"] for point in rolled["metrics"]["tilt_deg"]}
    assert {0.0, 10.0} <= values
    assert set(map(str, rolled["metrics"]["tilt_deg"])) == set(map(str, raw["metrics"]["tilt_deg"]))


@pytest.mark.parametrize(
    ("since", "start"),
    [
        pytest.param("6h", "2025-11-20T08:00:00.123Z", id="hours"),
        pytest.param("90s", "2025-11-20T13:58:30.123Z", id="seconds"),
        pytest.param("2w", "2025-11-06T14:00:00.123Z", id="weeks"),
        pytest.param("2025-11-20T01:00:00+08:00", "2025-11-19T17:00:00.000Z", id="an instant"),
        pytest.param("99999999w", "1970-01-01T00:00:00.000Z", id="before all times"),
    ],
)
async def test_since_is_an_instant_or_how_long_ago(city: World, since: str, start: str) -> None:
    answer = await city.get(f"{TILT}&since={quote(since)}&pixels=100")
    assert (answer["start"], answer["end"]) == (start, NOW)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        pytest.param("since=6h&start=2025-11-20T13:00:00Z", "want one of them", id="since beside start"),
        pytest.param("since=yesterday", "ISO 8601", id="no duration"),
        pytest.param("since=0h", "ISO 8601", id="no time at all"),
        pytest.param("since=%D9%A3h", "ISO 8601", id="digits of another script"),
        pytest.param("pixels=100&bucket=60", "want one of them", id="pixels beside a bucket"),
        pytest.param("pixels=9", "pixels", id="too few pixels"),
        pytest.param("pixels=4001", "pixels", id="too many pixels"),
        pytest.param("pixels=1e9999999", "pixels", id="no whole number"),
    ],
)
async def test_a_question_that_cannot_be_meant_is_refused_in_words(city: World, more: str, told: str) -> None:
    problem = await city.get(f"{TILT}&{more}", status=422)
    assert told in str(problem)


async def test_what_is_over_has_a_tag_until_late_values_change_it(city: World) -> None:
    await roll(city)
    url = f"{TILT}&{HOUR}&pixels=100"
    async with city.session.get(url) as first:
        tag = first.headers["ETag"]
    async with city.session.get(url, headers={"If-None-Match": tag}) as again:
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    late = Reading(
        device="cover-1", profile="cover_nbiot", profile_version=1, time_ns=NOW_NS - 30 * MINUTE_NS, received_ns=NOW_NS,
        values={"tilt_deg": 77.0},
    )  # fmt: skip
    await city.services.series.write([group_readings("gw-1", "e1", 100, [late])])
    async with city.session.get(url, headers={"If-None-Match": tag}) as changed:
        assert (changed.status, changed.headers["ETag"] == tag) == (200, False)


async def test_what_still_goes_on_has_no_tag(city: World) -> None:
    async with city.session.get(f"{TILT}&since=1h&pixels=100") as answer:
        assert "ETag" not in answer.headers
