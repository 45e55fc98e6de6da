"""Devices and gateways that fall silent: who is told, when, and how often."""

from collections.abc import Mapping
from typing import Any

import pytest
from cloud_watch_city import CATALOG, T0, City, S, device_row, gateway_row, raised
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, devices, transitions
from cloud.watch.gateways import children
from cloud.watch.limits import offline_after_s, silence_rules, silent_after_s
from cloud.watch.names import GATEWAY, RESERVED, SILENT, TITLES, matter_of
from device_profiles.read_matters import load_matters
from telemetry.records import Cause

HOUR = 3600
DAY = 24 * HOUR
LAMP = "lamp_single_lwm2m"
LAMP_S = silent_after_s(CATALOG[LAMP])
COVER_S = silent_after_s(CATALOG["cover_nbiot"])


async def listening(engine: AsyncEngine, *device_rows: Mapping[str, Any], **more: Any) -> City:
    """A city with one gateway, whose watch has been listening for long."""
    city = City(engine, **more)
    await city.build([gateway_row("gw-1")], device_rows)
    city.watch._since_ns = T0
    return city


async def step_to(city: City, at_s: float, *names: str) -> None:
    """The watch has ticked all the time until just now, and the gateways have reported."""
    await city.report(at_s, *(names or ("gw-1",)))
    city.watch._ticked_ns = T0 + round((at_s - 10) * S)
    await city.tick(at_s)


async def test_a_sleeping_cover_is_silent_after_its_own_time_and_not_after_a_minute(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("cover-1", last_reading_ns=T0 + HOUR * S))
    for at_s in (HOUR + 60, DAY, 2 * DAY, HOUR + COVER_S - 1):
        await step_to(city, at_s)
        assert await city.active(SILENT) == [], at_s
    await step_to(city, HOUR + COVER_S)
    assert await city.active(SILENT) == ["cover-1"]
    assert city.told == ["cover-1/cloud.silent"]
    await step_to(city, HOUR + COVER_S + 10)
    await city.hear(HOUR + COVER_S + 15, "cover-1")
    await step_to(city, HOUR + COVER_S + 20)
    assert await city.active(SILENT) == []
    assert city.told == ["cover-1/cloud.silent"], "once"


async def test_a_device_that_was_never_heard_counts_from_its_registration(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("lamp-1", profile=LAMP, first_seen_ns=T0 + 100 * S))
    await step_to(city, LAMP_S + 99)
    assert await city.active(SILENT) == []
    await step_to(city, LAMP_S + 100)
    assert await city.active(SILENT) == ["lamp-1"]


async def test_the_alarm_tells_since_when_and_is_an_occurrence_like_any_other(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("lamp-1", profile=LAMP))
    await step_to(city, LAMP_S + 5)
    async with reading(cloud_engine) as conn:
        row = (await conn.execute(select(alarms))).mappings().one()
        step = (await conn.execute(select(transitions))).mappings().one()
    now_ns = T0 + round((LAMP_S + 5) * S)
    assert row["id"] == f"lamp-1/cloud.silent/{now_ns}"
    assert (row["profile"], row["priority"]) == (LAMP, silence_rules(CATALOG[LAMP])[0].priority.value)
    assert row["evidence"] == {"heard_ns": T0, "silent_s": int(LAMP_S + 5), "limit_s": LAMP_S}
    assert (step["origin"], step["n"], step["actor"], step["event_time_ns"]) == ("cloud", 1, "system", now_ns)


async def test_the_gateway_speaks_first_and_then_the_cloud_says_nothing(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("lamp-1", profile=LAMP))
    await city.come(7300, raised("lamp-1", "controller_silent", 7200))
    await step_to(city, LAMP_S + 60)
    assert await city.active(SILENT) == []
    assert city.told == ["lamp-1/controller_silent"]


async def test_a_gateway_that_speaks_later_takes_over(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("lamp-1", profile=LAMP))
    await step_to(city, LAMP_S)
    await city.come(LAMP_S + 5, raised("lamp-1", "controller_silent", LAMP_S + 4))
    await step_to(city, LAMP_S + 10)
    assert await city.active(SILENT) == []
    again = raised("lamp-1", "controller_silent", LAMP_S + 20, cause=Cause.RETURN, onset_s=LAMP_S + 4, n=2)
    await city.come(LAMP_S + 21, again)
    await city.hear(LAMP_S + 20, "lamp-1")
    await step_to(city, LAMP_S + 30)
    assert await city.active(SILENT) == []


async def test_nobody_is_called_silent_within_the_grace_of_a_start(cloud_engine: AsyncEngine) -> None:
    city = City(cloud_engine)
    await city.build([gateway_row("gw-1", 90_000)], [device_row("lamp-1", profile=LAMP)])
    for at_s in (90_000, 90_100, 90_200, 90_299):
        await city.report(at_s, "gw-1")
        await city.tick(at_s)
        assert await city.active(SILENT) == []
    await city.report(90_300, "gw-1")
    await city.tick(90_300)
    assert await city.active(SILENT) == ["lamp-1"]


@pytest.mark.parametrize("why", ["the broker was away", "the machine stood still"])
async def test_nobody_is_called_silent_after_the_cloud_heard_nobody(cloud_engine: AsyncEngine, why: str) -> None:
    city = await listening(cloud_engine, device_row("lamp-1", profile=LAMP))
    await city.hear(100, "lamp-1")
    await city.tick(100)
    if why == "the broker was away":
        city.watch.link(up=False, now_ns=T0 + 200 * S)
        for at_s in range(200, 200 + round(LAMP_S) + 7200, 150):
            await city.tick(at_s)
        back_s = 200 + round(LAMP_S) + 7200
        city.watch.link(up=True, now_ns=T0 + back_s * S)
    else:
        back_s = 200 + round(LAMP_S) + 7200
    await city.tick(back_s)
    assert city.told == [], "neither the device nor its gateway"
    await city.report(back_s + 10, "gw-1")
    await city.ticks(back_s + 20, back_s + 150)
    await city.hear(back_s + 200, "lamp-1")
    await city.report(back_s + 300, "gw-1")
    await city.ticks(back_s + 290, back_s + 310)
    assert city.told == []


async def test_a_cloud_whose_broker_was_never_there_calls_nobody_silent(cloud_engine: AsyncEngine) -> None:
    city = City(cloud_engine)
    await city.build([gateway_row("gw-1")], [device_row("lamp-1", profile=LAMP)])
    city.watch.link(up=False, now_ns=T0 + 90_000 * S)
    await city.ticks(*range(90_000, 92_000, 100))
    assert city.told == []
    city.watch.link(up=True, now_ns=T0 + 92_000 * S)
    await city.ticks(*range(92_000, 92_600, 100))
    assert city.told == []
    await city.tick(92_600)
    assert city.told == ["gw-1/cloud.gateway_offline"]


async def test_a_connection_that_is_lost_for_a_moment_again_and_again_hides_nobody(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine)
    for at_s in range(0, 600, 100):
        await city.tick(at_s)
        for up in (False, True):
            city.watch.link(up=up, now_ns=T0 + (at_s + 5) * S)
    await city.tick(600)
    assert city.told == ["gw-1/cloud.gateway_offline"]


async def test_what_a_gateway_still_keeps_proves_no_silence(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("lamp-1", profile=LAMP))
    at_s = LAMP_S + 600
    status = {"online": True, "at_ns": T0 + round(at_s * S), "oldest_unacked_ns": T0 + 3600 * S}
    await city.report(at_s, "gw-1", status=status)
    await city.tick(at_s)
    assert await city.active(SILENT) == []
    await step_to(city, at_s + 60)
    assert await city.active(SILENT) == ["lamp-1"], "all of it has arrived, and nothing of the lamp was in it"


async def test_devices_of_a_gateway_whose_clock_nobody_vouches_for_are_not_judged(cloud_engine: AsyncEngine) -> None:
    city = City(cloud_engine)
    await city.build([gateway_row("gw-1", clock="unsynced")], [device_row("lamp-1", profile=LAMP)])
    city.watch._since_ns = T0
    await city.report(LAMP_S + 60, "gw-1", clock="unsynced")
    await city.tick(LAMP_S + 60)
    assert await city.active(SILENT) == []


async def test_a_thousand_children_of_a_dead_gateway_are_one_alarm(cloud_engine: AsyncEngine) -> None:
    lamps = [device_row(f"lamp-{i:04}", profile=LAMP, longitude=121.0 + i / 1000, latitude=31.0) for i in range(1001)]
    city = await listening(cloud_engine, *lamps)
    await step_to(city, 60)
    city.watch._ticked_ns = T0 + 655 * S
    await city.ticks(660, 670)
    assert city.told == ["gw-1/cloud.gateway_offline"]
    city.watch._ticked_ns = T0 + round((LAMP_S + 110) * S)
    await city.tick(LAMP_S + 120)
    assert len(await city.active(SILENT)) == 1001
    assert city.told == ["gw-1/cloud.gateway_offline"]
    async with reading(cloud_engine) as conn:
        row = (await conn.execute(select(alarms).where(alarms.c.rule == GATEWAY))).mappings().one()
        assert [child["id"] for child in await children(conn, "gw-1")][:2] == ["lamp-0000", "lamp-0001"]
    assert row["evidence"] == {
        "why": "silent",
        "heard_ns": T0 + 60 * S,
        "children": 1001,
        "longitude_deg": 121.5,
        "latitude_deg": 31.0,
    }
    assert set(map(tuple, (await city.suppressed()).values())) == {(row["id"],)}

    back_s = LAMP_S + 1000
    await step_to(city, back_s)
    assert await city.active(GATEWAY) == []
    assert len(await city.active(SILENT)) == 1001, "nothing was heard of them yet"
    await city.hear(back_s + 60, *[f"lamp-{i:04}" for i in range(1000)])
    await step_to(city, back_s + 70)
    assert await city.active(SILENT) == ["lamp-1000"]
    assert list(await city.suppressed()) == ["lamp-1000"]
    await step_to(city, back_s + LAMP_S - 1)
    assert city.told == ["gw-1/cloud.gateway_offline"]
    await step_to(city, back_s + LAMP_S)
    assert city.told == ["gw-1/cloud.gateway_offline", "lamp-1000/cloud.silent"]
    assert await city.suppressed() == {}


async def test_a_gateway_that_comes_and_goes_tells_nobody_of_its_devices(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("loop-1", profile="lamp_loop"), device_row("loop-2", profile="lamp_loop"))
    after_s = silent_after_s(CATALOG["lamp_loop"])
    city.watch._ticked_ns = T0 + 590 * S
    await city.tick(600)
    first = (await city.suppressed())["loop-1"]
    await step_to(city, 700)
    await city.hear(710, "loop-2")
    await city.report(720, "gw-1", online=False)
    await city.ticks(725, 845)
    assert await city.active(GATEWAY) == ["gw-1"]
    assert (await city.suppressed())["loop-1"][:1] == first
    await city.ticks(960, 700 + after_s + 10, 1200, 1300)
    assert city.told == ["gw-1/cloud.gateway_offline"] * 2
    await step_to(city, 1310)
    await city.report(1310 + after_s, "gw-1")
    await city.ticks(1480, 1600, 1310 + after_s)
    assert city.told[2:] == ["loop-1/cloud.silent", "loop-2/cloud.silent"]


async def test_between_the_last_word_of_a_gateway_and_its_alarm_its_devices_wait(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("loop-1", profile="lamp_loop"))
    after_s = silent_after_s(CATALOG["lamp_loop"])
    assert after_s < 600
    city.watch._ticked_ns = T0 + 590 * S
    await city.tick(599)
    assert city.told == []
    await city.tick(600)
    assert city.told == ["gw-1/cloud.gateway_offline"]
    assert list(await city.suppressed()) == ["loop-1"]


async def test_a_goodbye_counts_sooner_and_one_that_the_broker_repeats_is_no_sign_of_life(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine)
    await city.report(50, "gw-1", online=False, status={"online": False, "at_ns": T0})
    await city.tick(169)
    assert city.told == []
    await city.tick(170)
    assert city.told == ["gw-1/cloud.gateway_offline"]
    city.restart()
    await city.report(180, "gw-1", online=False, status={"online": False, "at_ns": T0})
    await city.ticks(190, 330, 470)
    assert await city.active(GATEWAY) == ["gw-1"]
    await city.report(480, "gw-1")
    await city.tick(490)
    assert await city.active(GATEWAY) == []
    assert city.told == ["gw-1/cloud.gateway_offline"]


async def test_a_report_that_the_broker_kept_is_as_old_as_it_is(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine)
    city.watch._ticked_ns = T0 + 600 * S
    await city.tick(610)
    assert await city.active(GATEWAY) == ["gw-1"]
    city.restart()
    kept = {"online": True, "at_ns": T0 + 5 * S}
    await city.report(700, "gw-1", status=kept)
    await city.ticks(710, 800)
    assert await city.active(GATEWAY) == ["gw-1"]


async def test_a_device_that_is_registered_no_longer_is_let_be(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("lamp-1", profile=LAMP))
    await step_to(city, LAMP_S)
    async with writing(cloud_engine) as conn:
        await conn.execute(devices.delete())
    await step_to(city, LAMP_S + 10)
    assert await city.active(SILENT) == []


async def test_a_profile_that_nobody_here_knows_has_a_day(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("odd-1", profile="of_another_city"))
    await step_to(city, DAY - 1)
    assert await city.active(SILENT) == []
    await step_to(city, DAY)
    assert await city.active(SILENT) == ["odd-1"]


async def test_a_silence_that_comes_again_is_another_occurrence(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("lamp-1", profile=LAMP))
    await step_to(city, LAMP_S)
    await city.hear(LAMP_S + 5, "lamp-1")
    await step_to(city, LAMP_S + 10)
    await step_to(city, 2 * LAMP_S + 5)
    async with reading(cloud_engine) as conn:
        assert len((await conn.execute(select(alarms.c.id))).all()) == 2
    assert city.told == ["lamp-1/cloud.silent"] * 2


async def test_somebody_who_acknowledged_it_is_not_told_again(cloud_engine: AsyncEngine) -> None:
    city = await listening(cloud_engine, device_row("lamp-1", profile=LAMP))
    await step_to(city, LAMP_S)
    async with writing(cloud_engine) as conn:
        await conn.execute(update(alarms).values(state="acknowledged"))
    await step_to(city, LAMP_S + 10)
    assert city.told == ["lamp-1/cloud.silent"]


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_the_cloud_waits_until_the_gateway_must_have_spoken(name: str) -> None:
    profile = CATALOG[name]
    assert silence_rules(profile), "every model of the catalog has a rule about silence"
    stale_s = min(getattr(rule.when, "after_s", 0) for rule in silence_rules(profile))
    assert silent_after_s(profile) >= max(offline_after_s(profile), stale_s + 60)


def test_no_profile_can_have_a_rule_of_the_clouds_own_and_each_has_a_matter_and_a_title() -> None:
    assert not RESERVED & {rule for profile in CATALOG.values() for rule in profile.alarms}
    assert all("." in rule for rule in RESERVED)
    assert TITLES.keys() == RESERVED
    codes = {rule: matter_of({"rule": rule, "evidence": {"matter": "lamp_loop_out"}}) for rule in RESERVED}
    assert codes == {SILENT: "sensing_fault", GATEWAY: "gateway_offline", "cloud.feeder": "lamp_loop_out", "cloud.storm": None}
    assert {code for code in codes.values() if code} <= load_matters().keys()
    assert matter_of({"rule": "cloud.feeder", "evidence": {}}) is None
