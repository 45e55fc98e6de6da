"""What a case rests on: the values round its alarm, the limit that was in force then, the neighbours."""

from typing import Any
from urllib.parse import quote

import pytest
from cloud_api_world import ALARM, CHEAP, MINUTE_NS, NOW_NS, World

from cloud.accounts.accounts import Accounts
from cloud.accounts.roles import AccountRole, Grant
from cloud.dossier.judged import metrics_of, rule_text, thresholds
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, case_alarms, cases
from device_profiles.shelf import load_catalog
from telemetry.records import Reading
from telemetry.wire import group_readings

pytestmark = pytest.mark.asyncio
CATALOG = load_catalog()
RAISED = "2025-11-20T13:59:00.123Z"


async def spoken(city: World, device: str, minutes_ago: int, tilt: float) -> None:
    at_ns = NOW_NS - minutes_ago * MINUTE_NS
    reading = Reading(
        device=device, profile="cover_nbiot", profile_version=1, time_ns=at_ns, received_ns=at_ns, values={"tilt_deg": tilt}
    )
    await city.services.series.write([group_readings("gw-1", "e2", 1, [reading])])


async def joined(city: World, **more: Any) -> str:
    """A second alarm of the case, ten minutes before the first."""
    raised = NOW_NS - 11 * MINUTE_NS
    row = {
        "id": f"cover-1/cover_tilted/{raised}", "device": "cover-1", "rule": "cover_tilted", "profile": "cover_nbiot",
        "profile_version": 3, "priority": "high", "state": "normal", "uncertain": False, "raised_ns": raised,
        "evidence": {"tilt_deg": 19.5, "limit": 12.5}, "case_id": 7, **more,
    }  # fmt: skip
    async with writing(city.services.engine) as conn:
        await conn.execute(alarms.insert().values(row))
        await conn.execute(case_alarms.insert().values(case_id=7, alarm=row["id"]))
    return str(row["id"])


async def test_the_values_round_the_alarm_are_told_raw_with_their_quality(city: World) -> None:
    said = await city.get(f"/api/cases/7/evidence?alarm={quote(ALARM, safe='')}")
    assert (said["alarm"], said["triggered"]) == (ALARM, RAISED)
    assert said["window"] == {"start": "2025-11-20T13:29:00.123Z", "end": "2025-11-20T14:29:00.123Z"}
    metric = said["metrics"][0]
    rule = CATALOG["cover_nbiot"].alarms["cover_opened"]
    assert metric["name"] == metrics_of(CATALOG["cover_nbiot"], rule)[0]
    near = await city.get("/api/cases/7/evidence?minutes=1")
    assert near["window"] == {"start": "2025-11-20T13:58:00.123Z", "end": "2025-11-20T14:00:00.123Z"}


async def test_the_limit_is_the_one_that_the_gateway_judged_by_not_the_one_of_today(city: World) -> None:
    older = await joined(city)
    said = await city.get("/api/cases/7/evidence")
    assert said["alarm"] == older
    today = thresholds(CATALOG["cover_nbiot"], CATALOG["cover_nbiot"].alarms["cover_tilted"], {})
    assert [(each.metric, each.in_force) for each in today] == [("tilt_deg", False)]
    assert said["threshold"] == [
        {"metric": "tilt_deg", "value": 12.5, "unit": "deg", "direction": "above", "statistic": "", "in_force": True}
    ]
    assert today[0].value != 12.5
    assert (said["profile_version"], said["known_version"]) == (3, CATALOG["cover_nbiot"].version)
    assert said["rule_text"].startswith("tilt_deg > ")
    points = said["metrics"][0]["points"]
    assert [point["value"] for point in points] == [float(step) for step in range(12)]
    assert [point["quality"] for point in points] == ["good"] * 11 + ["bad"]


async def test_what_the_neighbours_said_at_the_same_time_stands_beside_it(city: World) -> None:
    await joined(city)
    await spoken(city, "cover-2", 20, 1.5)
    await spoken(city, "cover-2", 12, 2.5)
    await spoken(city, "cover-2", 3, 44.0)
    told = {each["device"]: each for each in (await city.get("/api/cases/7/evidence"))["neighbours"]}
    assert set(told) == {"cover-2", "cover-3"}
    assert (told["cover-2"]["value"], told["cover-2"]["time"]) == (2.5, "2025-11-20T13:48:00.123Z")
    assert (told["cover-3"]["value"], told["cover-3"]["time"], told["cover-3"]["distance_m"]) == (None, None, 0.0)


async def test_a_rule_that_nobody_knows_any_longer_says_so(city: World) -> None:
    await joined(city, profile="gone", rule="gone")
    said = await city.get("/api/cases/7/evidence")
    assert (said["rule_text"], said["known_version"], said["metrics"], said["threshold"]) == (None, None, [], [])
    assert said["evidence"] == {"tilt_deg": 19.5, "limit": 12.5}


async def test_a_case_without_an_alarm_rests_on_what_was_reported(city: World) -> None:
    async with writing(city.services.engine) as conn:
        await conn.execute(case_alarms.delete())
    said = await city.get("/api/cases/7/evidence")
    assert (said["alarm"], said["window"], said["metrics"]) == (None, None, [])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/cases/8/evidence", 404),
        ("/api/cases/7/evidence?alarm=cover-2/x/1", 404),
        ("/api/cases/7/evidence?alarm=a%20b", 422),
        ("/api/cases/7/evidence?minutes=0", 422),
        ("/api/cases/7/evidence?minutes=721", 422),
    ],
)
async def test_what_is_not_there_is_a_problem(city: World, path: str, status: int) -> None:
    await city.get(path, status=status)


async def test_a_case_of_another_district_is_not_there(city: World) -> None:
    async with writing(city.services.engine) as conn:
        await conn.execute(cases.update().values(district="tianhe"))
    accounts = Accounts(city.services.engine, city.clock, CHEAP)
    await accounts.add("desk", "lamp cover toilet drain", (Grant(AccountRole.OPERATOR, "yuexiu"),), "Desk")
    answer = await city.post("/api/session", {"name": "desk", "password": "lamp cover toilet drain"})
    for path in ("/api/cases/7/evidence", "/api/cases/7/export", "/cases/7/sheet"):
        await city.get(path, status=404, Authorization=f"Bearer {answer['token']}")
        await city.get(path, status=401)


async def test_every_rule_of_the_catalogue_has_words_and_something_to_draw() -> None:
    for profile in CATALOG.values():
        for rule in profile.alarms.values():
            assert rule_text(rule)
            limits = thresholds(profile, rule, {})
            drawn = metrics_of(profile, rule)
            assert set(drawn) <= set(profile.metrics), rule.name
            assert all(isinstance(limit.value, float) for limit in limits)
