"""What the API answers when it is asked how well cases are handled."""

from typing import Any

import pytest
from cloud_api_world import MINUTE_NS, NOW, NOW_NS, World

from cloud.api.indicators import Indicators
from cloud.indicators.table import INDICATORS
from cloud.relational.engine import writing
from cloud.relational.tables import case_clocks, case_steps, cases

HOUR_NS = 60 * MINUTE_NS


async def _told(city: World, number: int, work_ns: int) -> None:
    """A case of November 2025 that was dispatched to the roads department, and confirmed so much later."""
    at = NOW_NS - 9 * HOUR_NS
    row = {
        "id": number,
        "device": None,
        "matter": "m",
        "gbt_code": "0101",
        "department": "roads",
        "title_zh": "z",
        "title_en": "e",
    }
    more = {"district": "east", "priority": "high", "state": "feedback", "opened_ns": at, "source": "citizen"}
    steps = [
        ("report", "reported", "reported", at),
        ("file", "reported", "filed", at),
        ("dispatch", "filed", "dispatched", at),
        ("assign", "dispatched", "handling", at),
        ("submit", "handling", "department_review", at + work_ns),
        ("confirm", "department_review", "feedback", at + work_ns),
    ]
    async with writing(city.services.engine) as conn:
        await conn.execute(cases.insert().values({**row, **more}))
        for step, before, after, at_ns in steps:
            own = {
                "step": step,
                "from_state": before,
                "to_state": after,
                "at_ns": at_ns,
                "department": "roads",
                "assignee": "wang",
            }
            await conn.execute(case_steps.insert().values(case_id=number, actor="li", **own))
        clock = {"clock": "handle", "state": "stopped", "kind": "urgent_hours", "calendar": "c", "start_ns": at, "holds": []}
        ends = {"limit_ns": 4 * HOUR_NS, "deadline_ns": at + 4 * HOUR_NS, "stopped_ns": at + work_ns, "extensions": []}
        await conn.execute(case_clocks.insert().values(case_id=number, **clock, **ends))


def _of(answer: Any, code: str, group: str | None = None) -> Any:
    [item] = [item for item in answer["items"] if (item["code"], item["group"]) == (code, group)]
    return item


async def test_every_number_comes_with_what_it_is_made_of(city: World) -> None:
    await _told(city, 8, HOUR_NS)
    await _told(city, 9, 5 * HOUR_NS)
    answer = await city.get("/api/indicators?from=2025-11-01&until=2025-12-01")
    Indicators.model_validate(answer)
    assert (answer["from"], answer["until"]) == ("2025-10-31T16:00:00.000Z", "2025-11-30T16:00:00.000Z")
    assert (answer["zone"], answer["made"], answer["by"]) == ("Asia/Shanghai", NOW, "city")
    assert [about["code"] for about in answer["indicators"]] == [row.code for row in INDICATORS]
    assert len(answer["items"]) == len(INDICATORS)
    on_time = _of(answer, "on_time_handling_rate")
    assert (on_time["numerator"], on_time["denominator"], on_time["value"], on_time["shown"]["zh"]) == (1, 2, 0.5, "50.00 %")
    mean = _of(answer, "mean_handling_time")
    assert (mean["value"], mean["shown"]["en"]) == (3 * 3600, "3 h 00 min")
    none = _of(answer, "satisfaction_rate")
    assert (none["value"], none["denominator"], none["shown"]["zh"]) == (None, 0, "无数据")


async def test_groups_stand_beside_the_city(city: World) -> None:
    await _told(city, 8, HOUR_NS)
    for by, group in (("district", "east"), ("department", "roads"), ("person", "wang")):
        answer = await city.get(f"/api/indicators?from=2025-11-01&until=2025-12-01&by={by}")
        Indicators.model_validate(answer)
        assert _of(answer, "handling_rate", group)["value"] == 1
        assert _of(answer, "handling_rate")["value"] == 1
        assert _of(answer, "handling_rate", group)["group_title"]["zh"] == group
    people = await city.get("/api/indicators?from=2025-11-01&until=2025-12-01&by=person")
    assert not [item for item in people["items"] if item["group"] is not None and item["code"] == "closing_rate"]


async def test_without_a_period_it_is_this_month_so_far(city: World) -> None:
    city.clock.advance(1)
    answer = await city.get("/api/indicators")
    assert (answer["from"], answer["until"]) == ("2025-10-31T16:00:00.000Z", "2025-11-20T14:00:01.123Z")
    assert _of(answer, "unclosed_rate")["denominator"] == 1


async def test_an_instant_may_say_its_own_zone(city: World) -> None:
    city.clock.advance(1)
    answer = await city.get("/api/indicators?from=2025-11-20T14:00:00Z&until=2025-11-20T22:00:01%2B08:00")
    assert (answer["from"], answer["until"]) == ("2025-11-20T14:00:00.000Z", "2025-11-20T14:00:01.000Z")
    assert _of(answer, "unclosed_rate")["denominator"] == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_period_that_has_not_begun_has_no_data(quiet_city: World) -> None:
    answer = await quiet_city.get("/api/indicators?from=2026-01-01&until=2026-02-01")
    assert {item["value"] for item in answer["items"] if item["denominator"] is not None} == {None}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        pytest.param("from=2025-11-31", "want a date", id="a day that is none"),
        pytest.param("from=yesterday", "want a date", id="a time in words"),
        pytest.param("from=1900-01-01&until=1900-02-01", "want a date", id="a year before the first"),
        pytest.param("from=2025-11-01T00:00:00", "want a zone", id="a time without a zone"),
        pytest.param("from=2025-11-20T00:00:00%2B08:00&until=2200-01-01T00:00:00Z", "between 1970 and 2100", id="too late"),
        pytest.param("from=2025-11-02&until=2025-11-02", "is not after", id="no day at all"),
        pytest.param("from=2025-12-01", "is not after", id="from a day to come until now"),
        pytest.param("from=2023-01-01&until=2025-01-01", "366 days", id="two years"),
        pytest.param("by=colour", "by", id="a group that is none"),
        pytest.param("start=2025-11-01", "start", id="a parameter that is none"),
    ],
)
async def test_what_is_no_period_is_refused(quiet_city: World, query: str, wanted: str) -> None:
    told = await quiet_city.get(f"/api/indicators?{query}", status=422)
    assert told["reason"] == "invalid"
    assert wanted in told["detail"]


def test_the_example_is_of_its_own_shape() -> None:
    Indicators.model_validate(Indicators.model_config["json_schema_extra"]["example"])  # type: ignore[index]
