"""Alarm health from a real log: raised, suppressed, given back, acknowledged, by everybody's desk and by one."""

from collections.abc import Mapping
from typing import Any

import pytest
from cloud_alarm_steps import T0, S, put, step, subject
from msgspec.structs import replace
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms import acts, suppressing
from cloud.health.desks import DeskKind, UnknownDeskError
from cloud.health.measure import alarm_health
from cloud.health.rates import INTERVAL_NS
from cloud.health.report import HealthReport
from cloud.health.shown import shown_report
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, cases, gateways
from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from telemetry.records import Cause, Origin, Priority, Transition

CATALOG = load_catalog()
DAY_S = 86_400
OWNER = CATALOG["cover_nbiot"].matters["cover_displaced"].department
SENSING = CATALOG["cover_nbiot"].matters["sensing_fault"].department
NOW = (T0 // INTERVAL_NS + 6 * 24) * INTERVAL_NS
"""A day after the tests' beginning of time."""


def raised(at_s: int, device: str = "cover-1", rule: str = "cover_opened", priority: Priority = Priority.HIGH) -> Transition:
    alarm = f"{device}/{rule}/{T0 + at_s * S}"
    return step(1, Cause.RAISE, at_s, alarm=alarm, device=device, rule=rule, priority=priority)


def over(raise_: Transition, at_s: int) -> Transition:
    return step(2, Cause.RETURN, at_s, alarm=raise_.alarm, device=raise_.device, rule=raise_.rule)


async def known_since(engine: AsyncEngine, at_ns: int) -> None:
    async with writing(engine) as conn:
        await conn.execute(gateways.insert().values(id="gw-1", first_seen_ns=at_ns, last_seen_ns=at_ns))


async def measured(
    engine: AsyncEngine, desk: str = "", days: int = 30, catalog: Mapping[str, Profile] = CATALOG, now_ns: int = NOW
) -> HealthReport:
    return await alarm_health(engine, catalog, now_ns=now_ns, days=days, desk=desk)


def values(report: HealthReport) -> dict[str, float | None]:
    return {figure.name: figure.value for figure in report.figures}


async def test_before_anything_is_known_there_is_no_data(cloud_engine: AsyncEngine) -> None:
    report = await measured(cloud_engine)
    assert (report.observed_days, report.stale_now, set(values(report).values())) == (None, None, {None})
    assert {figure.verdict.value for figure in report.figures} == {"no_data"}


async def test_where_nothing_was_raised_counts_are_zero_and_shares_are_no_data(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, T0)
    found = values(await measured(cloud_engine))
    assert (found["alarms_per_day"], found["intervals_above_10_pct"], found["stale_worst_day"]) == (0, 0, 0)
    shares = ("top_ten_pct", "low_pct", "high_pct", "acknowledged_in_10min_pct", "acknowledge_median_s", "acknowledge_p90_s")
    assert [found[name] for name in shares] == [None] * 6


async def test_only_the_time_of_which_anything_is_known_is_counted(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, NOW - 12 * 3600 * S)
    await put(cloud_engine, [raised(15 * 3600), raised(16 * 3600, "cover-2")])
    report = await measured(cloud_engine)
    assert (report.observed_days, values(report)["alarms_per_day"]) == (0.5, 4)
    assert (await measured(cloud_engine, days=1)).observed_days == 0.5


async def test_a_day_of_alarms_is_counted(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, T0 - S)
    chatter = [raised(7200 + 10 * number) for number in range(6)]
    burst = [raised(20_000 + number, f"cover-{number}", "cover_tilted", Priority.LOW) for number in range(10, 24)]
    await put(cloud_engine, [*chatter, *(over(each, 7205 + 10 * n) for n, each in enumerate(chatter)), *burst])
    async with writing(cloud_engine) as conn:
        await acts.acknowledge(conn, burst[0].alarm, "li.wei", "", T0 + 20_300 * S)
        await acts.acknowledge(conn, burst[1].alarm, "li.wei", "", T0 + 22_000 * S)
    report = await measured(cloud_engine)
    found = values(report)
    assert (found["annunciated"], found["peak_per_10min"], found["floods"], found["fleeting"]) == (20, 14, 1, 6)
    assert (found["chattering"], [each.alarm for each in report.chattering]) == (1, ["cover-1/cover_opened"])
    assert found["low_pct"] == pytest.approx(70)
    assert found["high_pct"] == pytest.approx(30)
    assert (report.top[0].alarm, report.top[0].times, report.top[0].share_pct) == ("cover-1/cover_opened", 6, 30)
    assert found["acknowledged_in_10min_pct"] == pytest.approx(5)
    assert found["acknowledge_median_s"] == pytest.approx(290, rel=0.01)
    assert found["acknowledge_p90_s"] == pytest.approx(1989, rel=0.01)
    shown = shown_report(report)
    assert shown["figures"][0]["definition"] == "alarms_per_day/1"
    assert shown["floods"][0]["alarms"] == 14


async def test_suppressed_raises_are_counted_apart(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, T0 - S)
    own = subject()
    said: dict[str, Any] = {"actor": "li.wei", "reason": "work order 7"}
    async with writing(cloud_engine) as conn:
        await suppressing.shelve(conn, own, until_ns=T0 + 4000 * S, now_ns=T0 + 3000 * S, **said)
    gone, stays = raised(3100), raised(3300)
    await put(cloud_engine, [gone, over(gone, 3200), stays])
    async with writing(cloud_engine) as conn:
        await suppressing.unshelve(conn, own, actor="li.wei", note="", now_ns=T0 + 3500 * S)
    found = values(await measured(cloud_engine))
    assert [found[name] for name in ("annunciated", "suppressed", "given_back", "said_again")] == [1, 2, 1, 0]


async def test_what_was_out_of_service_before_the_report_is_so_in_it(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, T0 - 9 * DAY_S * S)
    before_ns = T0 - 5 * DAY_S * S
    async with writing(cloud_engine) as conn:
        review = {"review_ns": T0 + DAY_S * S, "actor": "li.wei", "reason": "works"}
        await suppressing.out_of_service(conn, subject(), now_ns=before_ns, **review)
        await suppressing.out_of_service(conn, subject("cover-2"), now_ns=before_ns, **review)
        await suppressing.return_to_service(conn, subject("cover-2"), actor="li.wei", note="", now_ns=before_ns + S)
    await put(cloud_engine, [raised(100), raised(200, "cover-2")])
    found = values(await measured(cloud_engine, days=1))
    assert (found["annunciated"], found["suppressed"]) == (1, 1)


async def test_what_is_active_for_days_is_stale(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, T0 - 9 * DAY_S * S)
    old, gone = raised(-3 * DAY_S), raised(-4 * DAY_S, "cover-2")
    await put(cloud_engine, [old, gone, over(gone, -2 * DAY_S)])
    report = await measured(cloud_engine, days=1)
    assert (values(report)["stale_worst_day"], values(report)["annunciated"], report.stale_now) == (1, 0, 1)
    assert [each.alarm for each in report.stale] == ["cover-1/cover_opened"]


async def test_a_department_has_the_alarms_of_its_cases_and_of_its_matters(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, T0 - S)
    opened, battery, moved = raised(10), raised(20, "cover-2", "battery_low"), raised(30, "cover-3")
    await put(cloud_engine, [opened, battery, moved])
    async with writing(cloud_engine) as conn:
        await conn.execute(cases.insert().values(case_row(7, "Bridge Department", "east")))
        await conn.execute(update(alarms).where(alarms.c.id == moved.alarm).values(case_id=7))
    counts = {desk: values(await measured(cloud_engine, desk))["annunciated"] for desk in ("all", OWNER, SENSING)}
    assert counts == {"all": 3, OWNER: 1, SENSING: 1}
    bridge, east = await measured(cloud_engine, "Bridge Department"), await measured(cloud_engine, "east")
    assert (bridge.desk.kind, values(bridge)["annunciated"]) == (DeskKind.DEPARTMENT, 1)
    assert (east.desk.kind, values(east)["annunciated"], east.top[0].alarm) == (DeskKind.DISTRICT, 1, "cover-3/cover_opened")


async def test_the_citys_own_table_says_whose_an_alarm_is(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, T0 - S)
    await put(cloud_engine, [raised(10), raised(20, "cover-2", "battery_low")])
    own = replace(CATALOG["cover_nbiot"].matters["cover_displaced"], department="Covers of the City")
    matters = {"cover_displaced": own}
    report = await alarm_health(cloud_engine, CATALOG, now_ns=NOW, desk="Covers of the City", find=matters.get)
    assert (values(report)["annunciated"], report.top[0].alarm) == (1, "cover-1/cover_opened")


async def test_a_desk_that_nobody_has_is_refused_with_those_there_are(cloud_engine: AsyncEngine) -> None:
    with pytest.raises(UnknownDeskError, match=f"nobody.*all.*{OWNER}"):
        await measured(cloud_engine, "nobody")


async def test_a_re_alarm_is_said_again_and_is_no_raise(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, T0 - S)
    first = raised(10)
    await put(cloud_engine, [first])
    async with writing(cloud_engine) as conn:
        await acts.acknowledge(conn, first.alarm, "li.wei", "", T0 + 20 * S)
        await acts.re_alarm(conn, first.alarm, "system", "", T0 + 5000 * S)
    found = values(await measured(cloud_engine))
    assert (found["annunciated"], found["said_again"]) == (1, 1)


async def test_the_order_in_which_steps_came_does_not_matter(cloud_engine: AsyncEngine) -> None:
    await known_since(cloud_engine, T0 - S)
    steps = [raised(10 * number, f"cover-{number % 3}") for number in range(40)]
    steps += [step(1, Cause.ACKNOWLEDGE, 600, Origin.CLOUD, each.alarm, device=each.device) for each in steps[:20]]
    for some in (steps[30:], steps[:10], steps[10:30]):
        await put(cloud_engine, some)
    found = values(await measured(cloud_engine))
    assert (found["annunciated"], found["floods"], found["acknowledged_in_10min_pct"]) == (40, 1, 50)


def case_row(number: int, department: str, district: str) -> dict[str, Any]:
    return {
        "id": number, "device": "cover-3", "matter": "cover_displaced", "gbt_code": "0103", "department": department,
        "district": district, "title_zh": "井盖", "title_en": "cover", "priority": "high", "state": "reported", "opened_ns": T0,
    }  # fmt: skip
