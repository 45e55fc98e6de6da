"""The API of alarm health, and of rules that are tried on history."""

import asyncio
from typing import Any

import pytest
from cloud_api_world import MINUTE_NS, NOW_NS, World
from sqlalchemy import update

from cloud.api import alarm_health_shapes
from cloud.api.alarm_health import MOST_DEVICES
from cloud.relational.engine import writing
from cloud.relational.tables import devices, gateways
from cloud.series.duckdb_store import DuckStore

RULE = """\
alarms:
  cover_tilted:
    title: {zh: "井盖倾斜", en: "Manhole cover tilted"}
    when: {above: tilt_deg, limit: 5, deadband: 1}
    priority: high
    cause: {zh: "无", en: "none"}
    consequence: {zh: "无", en: "none"}
    response: {zh: "无", en: "none"}
"""
HEALTH, TRY = "/api/alarms/health", "/api/alarms/try"
COVER: dict[str, Any] = {"profile": "cover_nbiot", "days": 1}


async def known_for_a_day(city: World) -> None:
    async with writing(city.services.engine) as conn:
        await conn.execute(update(gateways).values(first_seen_ns=NOW_NS - 1440 * MINUTE_NS))


async def test_the_figures_come_with_definition_target_and_verdict(city: World) -> None:
    await known_for_a_day(city)
    found = await city.get(f"{HEALTH}?days=30")
    alarm_health_shapes.AlarmHealth.model_validate(found)
    assert (found["desk"], found["days"], found["stale_now"]) == ({"kind": "all", "name": ""}, 30, 0)
    assert found["observed_days"] == pytest.approx(1)
    figures = {figure["name"]: figure for figure in found["figures"]}
    daily = figures["alarms_per_day"]
    assert (daily["definition"], daily["value"], daily["verdict"]) == ("alarms_per_day/1", 1, "met")
    assert daily["target"] == {"good": 150, "words": "~150, at most ~300", "limit": 300, "at_least": False}
    assert (figures["acknowledge_median_s"]["value"], figures["acknowledge_median_s"]["verdict"]) == (None, "no_data")
    assert [each["alarm"] for each in found["top"]] == ["cover-1/cover_opened"]


@pytest.mark.asyncio(loop_scope="module")
async def test_before_anything_is_known_every_figure_is_no_data(quiet_city: World) -> None:
    found = await quiet_city.get(HEALTH)
    assert {(figure["value"], figure["verdict"]) for figure in found["figures"]} == {(None, "no_data")}
    assert (found["start"], found["stale_now"]) == (None, None)


@pytest.mark.parametrize("name", alarm_health_shapes.__all__)
def test_the_examples_are_of_their_own_shape(name: str) -> None:
    shape = getattr(alarm_health_shapes, name)
    shape.model_validate(shape.model_config["json_schema_extra"]["example"])


async def test_a_desk_has_its_own_figures(city: World) -> None:
    await known_for_a_day(city)
    found = await city.get(f"{HEALTH}?desk=municipal")
    assert found["desk"] == {"kind": "department", "name": "municipal"}
    assert next(figure["value"] for figure in found["figures"] if figure["name"] == "annunciated") == 1
    problem = await city.get(f"{HEALTH}?desk=nobody", status=404)
    assert "municipal" in problem["detail"]


@pytest.mark.parametrize("query", ["days=0", "days=367", "colour=red"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_bad_question_is_refused(quiet_city: World, query: str) -> None:
    await quiet_city.get(f"{HEALTH}?{query}", status=422)


async def test_an_edited_rule_is_tried_beside_todays(city: World) -> None:
    found = await city.post(TRY, {**COVER, "yaml": RULE, "devices": ["cover-1", "cover-2"]})
    alarm_health_shapes.Trial.model_validate(found)
    assert (found["raised"], found["today_raised"], found["also_today"], found["logged"]) == (1, 0, 0, 0)
    assert (found["devices"], found["devices_heard"], found["complete"], found["readings"]) == (2, 1, True, 11)
    [one] = found["occurrences"]
    # Its tilts are the minutes that passed: the sixth reading is the first above 5.
    assert (one["raised"], one["returned"], one["uncertain"]) == ("2025-11-20T13:55:00.123Z", None, False)
    assert [(gap["device"], gap["kind"]) for gap in found["gaps"]] == [("cover-2", "unheard"), ("cover-1", "unheard")]


async def test_a_rule_of_the_profile_is_tried_on_all_its_devices(city: World) -> None:
    found = await city.post(TRY, {**COVER, "rule": "cover_tilted"})
    assert (found["raised"], found["today_raised"], found["devices"]) == (0, 0, 3)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        pytest.param({"rule": "cover_tilt"}, 404, "cover_tilted (did you mean that?)", id="a rule misspelt"),
        pytest.param({}, 422, "either rule or yaml", id="no rule"),
        pytest.param({"rule": "cover_tilted", "yaml": RULE}, 422, "either rule or yaml", id="two rules"),
        pytest.param({"yaml": "alarms: {x: {}}"}, 422, "alarms.x.when", id="a rule with mistakes"),
        pytest.param({"rule": "cover_tilted", "devices": ["lamp-1"]}, 404, "lamp-1", id="another model's device"),
        pytest.param({"rule": "cover_tilted", "profile": "cover_nbio"}, 422, "cover_nbiot", id="a profile misspelt"),
        pytest.param({"rule": "cover_tilted", "days": 32}, 422, "days", id="more than a month"),
        pytest.param({"rule": "cover_tilted", "devices": ["x"] * 101}, 422, "devices", id="more devices than a request may name"),
        pytest.param(
            {"profile": "vehicle_muck_truck", "yaml": RULE.replace("above: tilt_deg, limit: 5, deadband: 1", "inside: works")},
            422,
            "--zones",
            id="a place that only the site knows",
        ),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_be_tried_is_said(quiet_city: World, body: Any, status: int, said: str) -> None:
    problem = await quiet_city.post(TRY, {**COVER, **body}, status=status)
    assert said in problem["detail"]


async def test_more_devices_than_one_answer_may_take_are_to_be_named(city: World) -> None:
    said = {"gateway": "gw-1", "profile": "cover_nbiot", "profile_version": 1, "kind": "cover", "first_seen_ns": 1}
    async with writing(city.services.engine) as conn:
        await conn.execute(devices.insert(), [{"id": f"more-{number}", **said} for number in range(MOST_DEVICES)])
    problem = await city.post(TRY, {**COVER, "rule": "cover_tilted"}, status=422)
    assert f"at most {MOST_DEVICES}" in problem["detail"]


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """A store that says when it is asked, and answers when it is told to."""
    asked, go_on = asyncio.Event(), asyncio.Event()
    ranged = DuckStore.range

    async def slow(self: DuckStore, *question: Any) -> Any:
        asked.set()
        await go_on.wait()
        return await ranged(self, *question)

    monkeypatch.setattr(DuckStore, "range", slow)
    return asked, go_on


async def test_there_is_one_trial_at_a_time(city: World, slowly: tuple[asyncio.Event, asyncio.Event]) -> None:
    asked, go_on = slowly
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(city.post(TRY, {**COVER, "rule": "cover_tilted", "devices": ["cover-1"]}))
        await asked.wait()
        problem = await city.post(TRY, {**COVER, "rule": "cover_tilted"}, status=409)
        go_on.set()
    assert problem["reason"] == "conflict"
    assert first.result()["complete"] is True


async def test_a_cloud_that_ends_ends_its_trial(city: World, slowly: tuple[asyncio.Event, asyncio.Event]) -> None:
    asked, go_on = slowly
    async with asyncio.TaskGroup() as tasks:
        trial = tasks.create_task(city.post(TRY, {**COVER, "rule": "cover_tilted"}))
        await asked.wait()
        city.services.stop.set()
        go_on.set()
    assert (trial.result()["complete"], trial.result()["devices_judged"]) == (False, 1)
