"""Alarms that something else explains: a feeder, a planned work, another alarm, a storm; and when they are given back."""

from typing import Any

import pytest
from cloud_watch_city import CATALOG, T0, City, S, device_row, gateway_row, raised
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms.log import NOTHING, record
from cloud.alarms.suppressing import suppress
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms
from cloud.watch.config import Feeder, Group, Parent, Planned, Rule, SilenceWatch, Storm, WatchRules
from cloud.watch.explain import explained_by
from cloud.watch.feeder import most_within
from cloud.watch.limits import silent_after_s
from cloud.watch.names import FEEDER, GATEWAY, SILENT, STORM
from cloud.watch.own import alarm_of
from telemetry.records import Cause, Priority, Transition

LAMP = "lamp_single_lwm2m"
DARK = "lamp_failed"
LAMPS = [f"lamp-{i}" for i in range(10)]


def feeder(**more: Any) -> Feeder:
    held: dict[str, Any] = {"share": 0.6, "at_least": 3, "within_s": 120, "hold": True, "until_share": 0.3, "settle_s": 300}
    held |= {"name": "feeder-1", "group": Group(kinds=("lamp_single",)), "rules": (DARK, SILENT)}
    return Feeder(**held | {"priority": Priority.HIGH, "matter": "lamp_loop_out"} | more)


def planned(**more: Any) -> Planned:
    held: dict[str, Any] = {"name": "works-7", "group": Group(gateways=("gw-1",)), "from_ns": T0 + 100 * S}
    return Planned(**held | {"until_ns": T0 + 1000 * S, "reason": "new lamp posts"} | more)


def parent(**more: Any) -> Parent:
    held: dict[str, Any] = {"name": "cabinet", "group": Group(devices=tuple(LAMPS)), "rules": (DARK,), "settle_s": 60}
    return Parent(**held | {"by_device": "power-1", "by_rule": "load_lost"} | more)


def storm(**more: Any) -> Storm:
    held: dict[str, Any] = {"name": "desk-1", "group": Group(), "more_than": 10, "below": 5}
    return Storm(**held | {"priorities": (Priority.LOW,)} | more)


async def lamps(engine: AsyncEngine, *rules: Rule, count: int = 10) -> City:
    city = City(engine, WatchRules(suppress=rules, silence=SilenceWatch(grace_s=0)))
    place = {"longitude": 121.5, "latitude": 31.2}
    rows = [device_row(f"lamp-{i}", profile=LAMP, kind="lamp_single", **place) for i in range(count)]
    await city.build([gateway_row("gw-1")], rows)
    return city


def dark(at_s: float, *which: int, **more: Any) -> list[Transition]:
    return [raised(f"lamp-{i}", DARK, at_s, **more) for i in which]


def lit(at_s: float, since_s: float, *which: int) -> list[Transition]:
    return dark(at_s, *which, cause=Cause.RETURN, onset_s=since_s, n=2)


async def test_when_most_lamps_of_a_feeder_go_dark_one_alarm_tells_it(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    for i in range(5):
        await city.come(10 + i, *dark(10 + i, i))
        assert city.told == [], "it may be the feeder"
    await city.come(20, *dark(20, 5))
    await city.come(30, *dark(30, 6, 7))
    assert city.told == ["feeder-1/cloud.feeder"]
    async with reading(cloud_engine) as conn:
        row = (await conn.execute(select(alarms).where(alarms.c.rule == FEEDER))).mappings().one()
    place = {"longitude_deg": 121.5, "latitude_deg": 31.2}
    assert row["evidence"] == {"children": 6, "members": 10, "matter": "lamp_loop_out"} | place
    assert set(map(tuple, (await city.suppressed()).values())) == {(row["id"],)}
    async with reading(cloud_engine) as conn:
        explained = await explained_by(conn, row["id"])
        assert await explained_by(conn, "feeder-1/cloud.feeder/1") == []
    assert len(explained) == 8
    assert explained[7] == {"id": "lamp-7/lamp_failed", "device": "lamp-7", "rule": "lamp_failed"}


async def test_fewer_are_told_one_by_one_when_the_time_is_over(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    await city.come(10, *dark(10, 0))
    await city.come(50, *dark(50, 1))
    await city.tick(129)
    assert city.told == []
    await city.tick(130)
    assert city.told == ["lamp-0/lamp_failed"]
    await city.tick(170)
    assert city.told == ["lamp-0/lamp_failed", "lamp-1/lamp_failed"]
    assert await city.suppressed() == {}
    assert await city.active(FEEDER) == []


async def test_what_is_lit_again_while_it_is_held_is_never_told(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    await city.come(10, *dark(10, 0))
    await city.come(40, *lit(40, 10, 0))
    await city.ticks(50, 150)
    assert (city.told, await city.suppressed()) == ([], {})


async def test_when_the_power_is_back_the_lamps_that_stay_dark_are_told(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    await city.come(10, *dark(10, *range(10)))
    city.restart()
    await city.come(500, *lit(500, 10, *range(7)))
    await city.tick(510)
    assert await city.active(FEEDER) == ["feeder-1"], "three of ten are left, and that is not fewer than 0.3"
    await city.come(520, *lit(520, 10, 7))
    await city.tick(530)
    assert await city.active(FEEDER) == []
    city.restart()
    await city.tick(829)
    assert sorted(await city.suppressed()) == ["lamp-8", "lamp-9"]
    assert city.told == ["feeder-1/cloud.feeder"]
    await city.tick(830)
    assert city.told == ["feeder-1/cloud.feeder", "lamp-8/lamp_failed", "lamp-9/lamp_failed"]


async def test_a_feeder_that_fails_again_is_told_again(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    await city.come(10, *dark(10, *range(10)))
    await city.come(50, *lit(50, 10, *range(10)))
    await city.tick(60)
    await city.come(70, *dark(70, 0))
    await city.tick(75)
    assert city.told == ["feeder-1/cloud.feeder"], "those that were dark a minute ago do not count"
    await city.come(80, *dark(80, *range(1, 8)))
    assert city.told == ["feeder-1/cloud.feeder"] * 2


async def test_a_backlog_that_tells_of_a_cut_that_is_over_is_one_alarm(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    await city.come(9000, *dark(10, *range(10)), *lit(500, 10, *range(10)))
    await city.tick(9010)
    assert city.told == ["feeder-1/cloud.feeder"]
    assert await city.active(FEEDER) == []


async def test_lamps_that_went_dark_over_an_hour_are_no_feeder(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    await city.come(3700, *[step for i in range(10) for step in dark(100 + 360 * i, i)])
    await city.tick(3900)
    assert await city.active(FEEDER) == []
    assert len(city.told) == 10


async def test_without_holding_the_first_ones_are_told_and_then_explained(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder(hold=False))
    await city.come(10, *dark(10, 0))
    await city.come(20, *dark(20, 1, 2, 3, 4, 5))
    assert city.told == ["lamp-0/lamp_failed", "feeder-1/cloud.feeder"]
    assert len(await city.suppressed()) == 6


async def test_a_critical_alarm_is_not_held_and_does_not_count(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    await city.come(10, *dark(10, *range(10), priority=Priority.CRITICAL))
    assert len(city.told) == 10
    assert await city.suppressed() == {}


async def test_what_becomes_critical_while_it_is_held_is_told_at_once(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    await city.come(10, *dark(10, 0))
    await city.come(20, *dark(20, 0, cause=Cause.PRIORITY_RAISED, onset_s=10, n=2, priority=Priority.CRITICAL))
    assert city.told == ["lamp-0/lamp_failed"]


async def test_a_cut_of_lamps_that_fall_silent_is_one_alarm_too(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    after_s = silent_after_s(CATALOG[LAMP])
    city.watch._since_ns = T0
    await city.report(after_s, "gw-1")
    city.watch._ticked_ns = T0 + round(after_s - 10) * S
    await city.tick(after_s)
    assert len(await city.active(SILENT)) == 10
    assert city.told == ["feeder-1/cloud.feeder"]
    await city.hear(after_s + 60, *LAMPS)
    await city.report(after_s + 70, "gw-1")
    await city.ticks(after_s + 70, after_s + 80)
    assert (await city.active(SILENT), await city.active(FEEDER), await city.suppressed()) == ([], [], {})
    assert city.told == ["feeder-1/cloud.feeder"]


async def test_children_of_a_dead_gateway_say_nothing_of_a_feeder(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder())
    after_s = silent_after_s(CATALOG[LAMP])
    city.watch._since_ns = T0
    city.watch._ticked_ns = T0 + round(after_s - 10) * S
    await city.tick(after_s)
    assert len(await city.active(SILENT)) == 10
    assert city.told == ["gw-1/cloud.gateway_offline"]


async def test_lamps_behind_a_dead_gateway_and_lamps_that_are_worked_on_do_not_count(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder(), planned(name="works", group=Group(devices=("lamp-9",)), from_ns=T0))
    after_s = silent_after_s(CATALOG[LAMP])
    city.watch._since_ns = T0
    city.watch._ticked_ns = T0 + round(after_s - 10) * S
    await city.hear(after_s - 300, "lamp-6", "lamp-7", "lamp-8", "lamp-9")
    await city.tick(after_s)
    assert len(await city.active(SILENT)) == 6
    await city.come(900, *dark(900, 9))
    await city.come(after_s + 10, *dark(after_s + 10, 7, 8))
    assert await city.active(FEEDER) == []
    await city.come(after_s + 20, *dark(after_s + 20, 0, 1, 2, 3))
    assert await city.active(FEEDER) == ["feeder-1"], "their gateway spoke of them before it went"


async def test_what_was_raised_during_a_planned_work_is_told_after_it_where_it_still_holds(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, planned())
    await city.come(50, *dark(50, 0))
    await city.come(150, *dark(150, 1, 2))
    city.restart()
    await city.come(400, *lit(400, 150, 2))
    await city.tick(999)
    assert city.told == ["lamp-0/lamp_failed"]
    assert sorted(await city.suppressed()) == ["lamp-1", "lamp-2"]
    await city.tick(1000)
    assert city.told == ["lamp-0/lamp_failed", "lamp-1/lamp_failed"]
    await city.come(1001, *dark(1001, 3))
    assert city.told[-1] == "lamp-3/lamp_failed"


async def test_what_is_heard_of_after_a_planned_work_is_told_only_if_it_still_holds(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, planned(rules=(DARK,)))
    await city.come(1500, *dark(200, 0, 1), *lit(300, 200, 1))
    assert city.told == ["lamp-0/lamp_failed"]
    await city.tick(1510)
    assert city.told == ["lamp-0/lamp_failed"]


async def test_a_work_that_was_taken_out_of_the_file_explains_nothing(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, planned())
    await city.come(150, *dark(150, 1))
    city.rules = WatchRules()
    city.restart()
    await city.tick(200)
    assert city.told == ["lamp-1/lamp_failed"]


async def test_while_its_reason_is_active_an_alarm_is_its_consequence(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, parent())
    await city.come(5, *dark(5, 0))
    await city.come(10, raised("power-1", "load_lost", 10))
    assert city.told == ["lamp-0/lamp_failed", "power-1/load_lost"]
    await city.come(20, *dark(20, 1, 2))
    reason = f"power-1/load_lost/{T0 + 10 * S}"
    assert await city.suppressed() == {"lamp-0": [reason], "lamp-1": [reason], "lamp-2": [reason]}
    city.restart()
    await city.come(100, raised("power-1", "load_lost", 100, cause=Cause.RETURN, onset_s=10, n=2), *lit(100, 20, 1))
    await city.tick(159)
    assert len(city.told) == 2
    await city.tick(160)
    assert city.told[2:] == ["lamp-0/lamp_failed", "lamp-2/lamp_failed"], "the first one is told to be still there"
    await city.come(200, *dark(200, 3))
    assert city.told[-1] == "lamp-3/lamp_failed"


async def test_a_gateway_can_be_a_reason_and_a_consequence(cloud_engine: AsyncEngine) -> None:
    rule = parent(group=Group(devices=("gw-2", "gw-3")), rules=(GATEWAY,), by_device="gw-1", by_rule=GATEWAY)
    city = City(cloud_engine, WatchRules(suppress=(rule,)))
    await city.build([gateway_row(name) for name in ("gw-1", "gw-2", "gw-3")], [])
    city.watch._since_ns, city.watch._ticked_ns = T0, T0 + 600 * S
    await city.tick(610)
    assert city.told == ["gw-1/cloud.gateway_offline"]
    assert sorted(await city.suppressed()) == ["gw-2", "gw-3"]


async def test_in_a_storm_what_matters_least_is_not_told(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, storm(), count=60)
    for i in range(10):
        await city.come(10 + i, *dark(10 + i, i))
    assert len(city.told) == 10
    await city.come(21, *dark(21, 10))
    assert await city.active(STORM) == ["desk-1"]
    await city.come(30, *dark(30, 11, 12), *dark(30, 13, priority=Priority.HIGH))
    await city.come(31, *dark(31, 14, priority=Priority.CRITICAL))
    assert city.told[10:] == ["desk-1/cloud.storm", "lamp-13/lamp_failed", "lamp-14/lamp_failed"]
    assert sorted(await city.suppressed()) == ["lamp-10", "lamp-11", "lamp-12"]


async def test_a_storm_is_over_when_it_was_quiet_for_ten_minutes_and_what_still_holds_is_told(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, storm(), count=60)
    await city.come(10, *dark(10, *range(20)))
    city.restart()
    await city.come(300, *dark(300, *range(20, 25)))
    assert len(await city.suppressed()) == 25
    await city.come(400, *lit(400, 10, *range(20)))
    for at_s in (900, 1200, 1499):
        await city.tick(at_s)
        assert await city.active(STORM) == ["desk-1"], at_s
    await city.tick(1501)
    assert await city.active(STORM) == []
    assert city.told[1:] == [f"lamp-{i}/lamp_failed" for i in range(20, 25)]


async def test_what_is_worse_than_a_storm_keeps_back_is_told(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, storm())
    await city.come(10, *dark(10, *range(10)), *dark(10, 10))
    assert city.told == ["desk-1/cloud.storm"]
    await city.come(20, *dark(20, 3, cause=Cause.PRIORITY_RAISED, onset_s=10, n=2, priority=Priority.MEDIUM))
    assert city.told == ["desk-1/cloud.storm", "lamp-3/lamp_failed"]


async def test_a_cut_that_its_feeder_explains_is_no_storm(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, storm(), feeder(), count=40)
    await city.come(10, *dark(10, *range(40)))
    await city.tick(20)
    await city.come(30, *lit(30, 10, *range(40)))
    await city.ticks(40, 50)
    assert (await city.suppressed(), await city.active(STORM)) == ({}, [])
    assert city.told == ["feeder-1/cloud.feeder"]


async def test_what_was_held_counts_for_a_storm_when_it_is_told(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, storm(), feeder(), count=40)
    await city.come(10, *dark(10, *range(20)))
    await city.tick(20)
    assert await city.active(STORM) == []
    await city.ticks(130, 131)
    assert await city.active(STORM) == ["desk-1"]
    assert len(city.told) == 21


async def test_a_storm_that_no_alarm_told_of_is_seen_by_the_next_tick(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, storm(), count=60)
    for i in range(10):
        await city.come(10 + i, *dark(10 + i, i))
    city.restart()
    await city.come(30, *dark(30, 10))
    await city.tick(31)
    assert await city.active(STORM) == ["desk-1"]


async def test_a_rule_that_is_gone_leaves_no_alarm_and_no_suppression(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder(), storm(group=Group(devices=("lamp-99",)), more_than=1, below=1))
    await city.come(10, *dark(10, *range(10)))
    await city.come(20, *dark(20, 99), *[raised("lamp-99", rule, 20) for rule in ("gear_hot", "gear_failed")])
    assert await city.active(STORM) == ["desk-1"]
    city.rules = WatchRules()
    city.restart()
    await city.tick(30)
    assert (await city.active(FEEDER), await city.active(STORM)) == ([], [])
    assert await city.suppressed() == {}


async def test_what_a_person_says_explains_an_alarm_is_not_the_watchs_to_end(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine)
    await city.come(10, *dark(10, 0))
    async with writing(cloud_engine) as conn:
        row = (await conn.execute(select(alarms))).mappings().one()
        for by in ("order 17", "cabinet-4/door/1"):
            await suppress(conn, [alarm_of(dict(row))], by, actor="li.wei", note="", now_ns=T0 + 20 * S)
    await city.tick(9000)
    assert await city.suppressed() == {"lamp-0": ["cabinet-4/door/1", "order 17"]}


async def test_the_same_twice_changes_nothing(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine, feeder(), planned(), storm())
    await city.come(10, *dark(10, *range(10)))
    assert (await city.come(11, *dark(10, *range(10)))) == NOTHING
    assert not (await city.tick(12)).steps
    assert not (await city.tick(13)).steps


async def test_where_no_rule_is_what_came_in_is_given_back_as_it_is(cloud_engine: AsyncEngine) -> None:
    city = await lamps(cloud_engine)
    async with writing(cloud_engine) as conn:
        recorded = await record(conn, dark(10, 1), T0)
        assert await city.watch.seen(conn, recorded, T0) is recorded


@pytest.mark.parametrize(
    ("times", "width", "most"), [([], 5, 0), ([1], 0, 1), ([1, 1, 2], 0, 2), ([9, 1, 5, 4], 4, 3), ([0, 10, 20], 9, 1)]
)
def test_the_most_within_a_span_counts_both_its_ends(times: list[int], width: int, most: int) -> None:
    assert most_within(times, width) == most
