"""What people do to alarms over the API: each act is a step in the log, and what it changes is shown."""

from typing import Any

import pytest
from cloud_api_world import ALARM, NOW, World
from msgspec.structs import replace

from cloud.alarms.log import Subject
from cloud.alarms.suppressing import LONGEST_SHELF_S, longest_shelf_s
from device_profiles.shelf import load_catalog
from telemetry.records import Priority

OWN = "cover-1/cover_opened"
WHO = {"actor": "li.wei", "note": "sensor is being cleaned"}
UNTIL = "2025-11-20T16:00:00.000Z"
REVIEW = "2025-12-20T08:00:00+08:00"


async def steps(city: World) -> list[str]:
    return [step["cause"] for step in (await city.get(f"/api/alarms/{ALARM}"))["transitions"]]


async def test_a_shelved_alarm_is_off_the_list_and_on_the_register(city: World) -> None:
    shelf = await city.post(f"/api/alarms/{ALARM}/shelve", {**WHO, "until": UNTIL})
    assert (shelf["id"], shelf["shown"], shelf["shelf"], shelf["shelved"], shelf["shelved_until"]) == (
        OWN,
        "shelved",
        "timed",
        NOW,
        UNTIL,
    )
    assert (shelf["shelved_by"], shelf["shelf_reason"]) == ("li.wei", "sensor is being cleaned")
    assert (await city.get("/api/alarms"))["items"] == []
    assert (await city.get("/api/suppressions"))["items"] == [shelf]
    [kept] = (await city.get("/api/alarms?suppression=shelved"))["items"]
    assert (kept["state"], kept["shown"], kept["suppression"], kept["shelved_until"]) == (
        "unacknowledged",
        "shelved",
        ["shelved"],
        UNTIL,
    )
    done = await city.post(f"/api/alarms/{OWN}/unshelve", WHO)
    assert (done["shown"], done["suppression"], done["shelved_by"], done["shelved_until"]) == ("", [], "", None)
    assert [item["id"] for item in (await city.get("/api/alarms"))["items"]] == [ALARM]
    assert (await city.get("/api/suppressions"))["items"] == []


@pytest.mark.parametrize(
    ("act", "body", "word", "end", "last"),
    [
        ("shelve", {**WHO, "until": UNTIL, "once": True}, "shelved", "unshelve", WHO),
        ("suppress", {**WHO, "by": "works-7"}, "suppressed_by_design", "unsuppress", {**WHO, "by": "works-7"}),
        ("out-of-service", {**WHO, "review": REVIEW}, "out_of_service", "return-to-service", WHO),
    ],
)
async def test_the_lists_are_filtered_by_suppression(city: World, act: str, body: Any, word: str, end: str, last: Any) -> None:
    async def listed(path: str) -> dict[str, int]:
        words = ("shelved", "suppressed_by_design", "out_of_service", "any")
        return {name: len((await city.get(f"/api/{path}suppression={name}"))["items"]) for name in words}

    only = dict.fromkeys(("shelved", "suppressed_by_design", "out_of_service"), 0) | {word: 1, "any": 1}
    assert (await city.post(f"/api/alarms/{ALARM}/{act}", body))["suppression"] == [word]
    assert await listed("alarms?") == await listed("suppressions?") == only
    counts = [
        len((await city.get(f"/api/alarms?{query}"))["items"]) for query in ("state=all", "suppression=all", "suppression=none")
    ]
    assert counts == [1, 1, 0]
    assert (await city.get("/api/cases/7"))["alarms"][0]["shown"] == word
    assert (await city.post(f"/api/alarms/{ALARM}/{end}", last))["suppression"] == []
    assert set((await listed("alarms?")).values()) == {0}
    await city.post(f"/api/alarms/{ALARM}/{end}", last, status=409)


async def test_the_strongest_suppression_is_shown(city: World) -> None:
    await city.post(f"/api/alarms/{ALARM}/shelve", {**WHO, "until": UNTIL})
    await city.post(f"/api/alarms/{ALARM}/suppress", {**WHO, "by": "works-7"})
    row = await city.post(f"/api/alarms/{ALARM}/out-of-service", {**WHO, "review": REVIEW})
    assert (row["shown"], row["suppression"]) == ("out_of_service", ["out_of_service", "suppressed_by_design", "shelved"])
    assert (row["suppressed_by"], row["review"]) == (["works-7"], "2025-12-20T00:00:00.000Z")
    assert (await city.get(f"/api/alarms/{ALARM}"))["shown"] == "out_of_service"


def test_a_rule_may_allow_less_than_a_day() -> None:
    profile = load_catalog()["cover_nbiot"]
    short = replace(profile.alarms["cover_opened"], max_shelve_s=600.0)
    catalog = {"cover_nbiot": replace(profile, alarms={**profile.alarms, "cover_opened": short})}
    own = Subject(
        alarm=OWN, device="cover-1", rule="cover_opened", profile="cover_nbiot", profile_version=1, priority=Priority.LOW
    )
    assert longest_shelf_s(catalog, own) == 600.0
    assert longest_shelf_s({}, own) == LONGEST_SHELF_S


async def test_an_alarm_that_never_was_can_be_kept_back(city: World) -> None:
    row = await city.post("/api/alarms/cover-2/cover_opened/suppress", {**WHO, "by": "works-7"})
    assert (row["id"], row["device"], row["title"]["en"]) == ("cover-2/cover_opened", "cover-2", "Manhole cover opened")
    assert [item["id"] for item in (await city.get("/api/suppressions?device=cover-2"))["items"]] == ["cover-2/cover_opened"]
    assert (await city.get("/api/suppressions?device=cover-1"))["items"] == []


async def test_the_register_is_read_page_by_page(city: World) -> None:
    for device in ("cover-3", "cover-1", "cover-2"):
        await city.post(f"/api/alarms/{device}/cover_opened/suppress", {**WHO, "by": "works-7"})
    first = await city.get("/api/suppressions?limit=2")
    rest = await city.get(f"/api/suppressions?limit=2&cursor={first['next']}")
    assert [item["device"] for item in first["items"] + rest["items"]] == ["cover-1", "cover-2", "cover-3"]
    assert rest["next"] is None


async def test_a_priority_is_raised_and_must_be_seen_again(city: World) -> None:
    await city.post(f"/api/alarms/{ALARM}/priority", {**WHO, "priority": "low"})
    await city.post(f"/api/alarms/{ALARM}/acknowledge", WHO)
    alarm = await city.post(f"/api/alarms/{ALARM}/priority", {**WHO, "priority": "high"})
    assert (alarm["state"], alarm["priority"]) == ("unacknowledged", "high")
    await city.post(f"/api/alarms/{ALARM}/acknowledge", WHO)
    assert (await city.post(f"/api/alarms/{ALARM}/re-alarm", WHO))["state"] == "unacknowledged"
    notes = (await city.get("/api/cases/7"))["notifications"]
    assert [note["step"] for note in notes] == ["opened", "alarmed_again", "alarmed_again"]
    assert city.woken
    lowered, seen, raised = "priority_lowered", "acknowledge", "priority_raised"
    assert await steps(city) == ["raise", lowered, seen, raised, seen, "re_alarm"]


@pytest.mark.parametrize(
    ("act", "body", "status", "detail"),
    [
        pytest.param("reset", WHO, 409, "still holds", id="resetting what is active"),
        pytest.param("re-alarm", WHO, 409, "acknowledged", id="alarming again what nobody has seen"),
        pytest.param("priority", {**WHO, "priority": "critical"}, 409, "already", id="the priority that it has"),
        pytest.param("priority", {**WHO, "priority": "urgent"}, 422, "priority", id="a priority that is none"),
        pytest.param("shelve", WHO, 422, "until", id="a shelf without an end"),
        pytest.param("shelve", {**WHO, "until": "2025-11-20T16:00:00"}, 422, "zone", id="an end without a zone"),
        pytest.param("shelve", {**WHO, "until": "soon"}, 422, "ISO 8601", id="an end in words"),
        pytest.param("shelve", {**WHO, "until": "2025-11-22T16:00:00Z"}, 422, "within 86400 s", id="a shelf of days"),
        pytest.param("shelve", {**WHO, "until": "9999-12-31T23:59:59Z"}, 422, "within", id="a shelf for ever"),
        pytest.param("shelve", {"actor": "a", "until": UNTIL}, 422, "reason", id="a shelf for no reason"),
        pytest.param("out-of-service", {"actor": "a", "review": REVIEW}, 422, "reason", id="out of service for no reason"),
        pytest.param("out-of-service", WHO, 422, "review", id="out of service without a review"),
        pytest.param("suppress", {**WHO, "by": ""}, 422, "by", id="suppressed by nothing"),
        pytest.param("unsuppress", {**WHO, "by": "x"}, 409, "not suppressed by x", id="what is not suppressed"),
        pytest.param("unshelve", WHO, 409, "not shelved", id="what is not shelved"),
        pytest.param("return-to-service", WHO, 409, "in service", id="what is in service"),
    ],
)
async def test_an_act_that_cannot_be_is_a_problem_and_no_step(city: World, act: str, body: Any, status: int, detail: str) -> None:
    problem = await city.post(f"/api/alarms/{ALARM}/{act}", body, status=status)
    assert detail in problem["detail"]
    assert problem["reason"] == {409: "conflict", 422: "invalid"}[status]
    assert await steps(city) == ["raise"]


@pytest.mark.parametrize("act", ["acknowledge", "reset", "re-alarm", "unshelve", "return-to-service"])
async def test_nothing_is_done_to_an_alarm_that_is_not_there(city: World, act: str) -> None:
    for name in ("cover-1/colour", "nobody/cover_opened", "odd-1/cover_opened/1"):
        assert (await city.post(f"/api/alarms/{name}/{act}", WHO, status=404))["reason"] == "not_found"
