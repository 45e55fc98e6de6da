"""The overview: every figure is what a plain count over the stores gives, and the stores are asked seldom."""

import random
from collections import Counter
from typing import Any

import msgspec
import pytest
from cloud_api_world import CHEAP, NOW, NOW_NS, World
from sqlalchemy import event, select

from cloud.accounts.accounts import Accounts
from cloud.accounts.roles import AccountRole, Grant
from cloud.dispatch.districts import District, from_ring
from cloud.dispatch.duty import Duty
from cloud.overview.mapped import mapped_counts
from cloud.overview.rate import with_band
from cloud.overview.read import HOUR_NS, device_counts
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, cases, devices
from device_profiles.quantities import Text
from telemetry.clock import SECOND_NS
from telemetry.records import Reading
from telemetry.wire import group_readings

DAY_NS = 24 * HOUR_NS


async def crowd(city: World, seed: int = 7) -> None:
    """More devices, alarms and cases, thrown by chance."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    async with writing(city.services.engine) as conn:
        await conn.execute(devices.insert(), [_device(chance, n) for n in range(60)])
        await conn.execute(alarms.insert(), [_alarm(chance, n) for n in range(300)])
        await conn.execute(cases.insert(), [_case(chance, n) for n in range(200)])


def _device(chance: random.Random, n: int) -> dict[str, Any]:
    profile, kind = chance.choice([("cover_nbiot", "manhole_cover"), ("lamp_loop", "lamp_loop"), ("odd", "odd")])
    heard = chance.choice([None, NOW_NS, NOW_NS - 10 * SECOND_NS, NOW_NS - 400 * DAY_NS])
    return {
        "id": f"d{n}", "gateway": "gw-1", "profile": profile, "profile_version": 1, "kind": kind, "name": "",
        "component_code": "", "longitude": 113.0, "latitude": 23.0, "first_seen_ns": 1, "last_reading_ns": heard,
    }  # fmt: skip


def _alarm(chance: random.Random, n: int) -> dict[str, Any]:
    raised = NOW_NS - chance.randrange(9 * DAY_NS)
    state = chance.choice(["normal", "normal", "normal", "unacknowledged", "acknowledged"])
    return {
        "id": f"d{n % 70}/r{n}/{raised}", "device": f"d{n % 70}", "rule": f"r{n}", "profile": "lamp_loop", "profile_version": 1,
        "priority": chance.choice(["critical", "high", "low"]), "state": state, "uncertain": False, "raised_ns": raised,
        "returned_ns": None, "acknowledged_ns": None, "acknowledged_by": "", "evidence": {}, "case_id": None,
    }  # fmt: skip


def _case(chance: random.Random, n: int) -> dict[str, Any]:
    opened = NOW_NS - chance.randrange(60 * DAY_NS)
    closed = chance.choice([None, opened + HOUR_NS])
    return {
        "id": 100 + n, "device": None, "matter": "lamp_out", "gbt_code": "0301", "department": chance.choice(["lamps", "water"]),
        "district": chance.choice(["east", "west", ""]), "title_zh": "灯", "title_en": "lamp", "state": _state(closed, n),
        "priority": chance.choice(["critical", "low"]), "longitude": None, "latitude": None, "opened_ns": opened,
        "due_ns": chance.choice([None, NOW_NS - 1, NOW_NS, NOW_NS + HOUR_NS]), "closed_ns": closed, "assignee": "",
        "overdue": chance.random() < 0.3, "exempt": chance.random() < 0.2, "version": 1,
    }  # fmt: skip


def _state(closed_ns: int | None, n: int) -> str:
    if closed_ns is None:
        return "filed"
    return "void" if n % 9 == 0 else "closed"


async def _all(city: World, table: Any) -> list[Any]:
    async with reading(city.services.engine) as conn:
        return list((await conn.execute(select(table))).all())


async def test_devices_are_counted_as_the_list_of_devices_has_them(city: World) -> None:
    await crowd(city)
    await city.services.atlas.load()
    shown = (await city.get("/api/overview"))["devices"]
    listed = (await city.get("/api/devices?limit=1000"))["items"]
    assert shown["total"] == len(listed)
    assert +Counter(shown["states"]) == Counter(device["state"] for device in listed)
    for one in shown["kinds"]:
        of = Counter(device["state"] for device in listed if device["kind"] == one["kind"])
        assert (one["total"], +Counter(one["states"])) == (of.total(), of)
        assert one["online"] == of.total() - of["offline"] - of["unknown"]
    assert [one["total"] for one in shown["kinds"]] == sorted((one["total"] for one in shown["kinds"]), reverse=True)


async def test_counted_in_memory_and_counted_in_the_store_is_the_same(city: World) -> None:
    await crowd(city)
    await city.services.atlas.load()
    async with reading(city.services.engine) as conn:
        stored = await device_counts(conn, city.services.catalog, NOW_NS)
    assert sorted(mapped_counts(city.services.atlas.index)) == sorted(stored)


async def test_open_alarms_are_those_of_the_alarm_list(city: World) -> None:
    await crowd(city)
    shown = await city.get("/api/overview")
    listed = (await city.get("/api/alarms?limit=1000"))["items"]
    assert shown["alarms"]["open"] == Counter(alarm["priority"] for alarm in listed)
    assert [alarm["id"] for alarm in shown["newest"]] == [alarm["id"] for alarm in listed[:20]]
    critical = sorted((alarm for alarm in listed if alarm["priority"] == "critical"), key=lambda alarm: alarm["raised"])
    assert shown["criticals"]["total"] == len(critical)
    assert [alarm["id"] for alarm in shown["criticals"]["items"]] == [alarm["id"] for alarm in critical[:50]]


async def test_the_rate_is_every_raise_by_the_hour_beside_the_days_before(city: World) -> None:
    await crowd(city)
    hours = (await city.get("/api/overview"))["alarms"]["hours"]
    raised = Counter(row.raised_ns // HOUR_NS for row in await _all(city, alarms))
    now, first = NOW_NS // HOUR_NS, min(raised)
    assert [hour["count"] for hour in hours] == [raised[now - 23 + n] for n in range(24)]
    for n, hour in enumerate(hours):
        before = [raised[now - 23 + n - 24 * day] for day in range(1, 8) if now - 23 + n - 24 * day >= first]
        assert (hour["low"], hour["high"], hour["days"]) == (min(before), max(before), len(before))
        assert hour["mean"] == pytest.approx(sum(before) / len(before))


def test_before_the_first_alarm_there_is_no_band_and_no_quiet_day_is_made_up() -> None:
    assert {hour.days for hour in with_band({}, 1000, None)} == {0}
    hours = with_band({1000: 5, 950: 2}, 1000, 950)
    assert [(hour.number, hour.days, hour.low) for hour in hours if hour.number in {974, 998, 999, 977}] == [
        (977, 1, 0), (998, 2, 0), (999, 2, 0),
    ]  # fmt: skip
    assert hours[-1].count == 5


async def test_the_sla_is_what_a_plain_count_of_cases_gives(city: World) -> None:
    await crowd(city)
    shown = (await city.get("/api/overview"))["sla"]

    def counts(row: Any) -> bool:
        return row.state != "void" and (row.closed_ns is None or row.opened_ns >= NOW_NS - 30 * DAY_NS)

    def late(row: Any) -> bool:
        past = row.overdue or (row.closed_ns is None and row.due_ns is not None and row.due_ns < NOW_NS)
        return bool(past and not row.exempt)

    rows = [row for row in await _all(city, cases) if counts(row)]
    for one, of in [(shown["city"], rows)] + [
        (one, [row for row in rows if getattr(row, by) == one["name"]])
        for by, listed in (("district", shown["districts"]), ("department", shown["departments"]))
        for one in listed
    ]:
        still = [row for row in of if row.closed_ns is None]
        assert (one["cases"], one["late"]) == (len(of), sum(map(late, of)))
        assert (one["open"], one["open_late"]) == (len(still), sum(map(late, still)))
        assert one["critical"] == sum(row.priority == "critical" for row in still)
        assert one["share"] == round(1 - one["late"] / one["cases"], 4)
    assert [one["share"] for one in shown["districts"]] == sorted(one["share"] for one in shown["districts"])
    assert {one["name"] for one in shown["departments"]} == {"lamps", "water", "municipal"}


async def test_the_tour_goes_to_the_districts_with_open_cases_the_worst_first(
    city: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def square(name: str, west: float) -> District:
        ring = [[west, 30.0], [west + 0.1, 30.0], [west + 0.1, 30.2], [west, 30.2]]
        return District(name=name, title=Text(f"{name}区", name.title()), parts=from_ring(ring))

    places = ("east", "west", "quiet")
    duty = Duty(districts=[square(name, 120.0 + n) for n, name in enumerate(places)])
    await crowd(city)
    before = (await city.get("/api/overview"))["tour"]
    assert before == []
    object.__setattr__(city.services, "desk", msgspec.structs.replace(city.services.desk, duty=duty))
    city.clock.advance(5)
    tour = (await city.get("/api/overview"))["tour"]
    assert {stop["name"] for stop in tour} == {"east", "west"}
    assert [stop["critical"] for stop in tour] == sorted((stop["critical"] for stop in tour), reverse=True)
    east = next(stop for stop in tour if stop["name"] == "east")
    assert east["bounds"] == [120.0, 30.0, 120.1, 30.2]
    assert east["title"] == {"zh": "east区", "en": "East"}


async def test_who_may_read_one_district_sees_no_other_in_the_ranking(city: World) -> None:
    await crowd(city)
    accounts = Accounts(city.services.engine, city.clock, CHEAP)
    words = "lamp cover toilet drain"
    await accounts.add("li", words, (Grant(AccountRole.OPERATOR, "east"),), "Li")
    await accounts.add("wall", words, (Grant(AccountRole.OPERATOR),), "Wall")
    seen = {}
    for name in ("li", "wall"):
        token = (await city.post("/api/session", {"name": name, "password": words}))["token"]
        shown = await city.get("/api/overview", Authorization=f"Bearer {token}")
        seen[name] = {one["name"] for one in shown["sla"]["districts"]}
    assert seen == {"li": {"east", ""}, "wall": {"east", "west", ""}}


async def _power(city: World, device: str, time_ns: int, power_kw: float | None) -> None:
    said = Reading(
        device=device, profile="lamp_loop", profile_version=1, time_ns=time_ns, received_ns=time_ns, values={"power_kw": power_kw}
    )
    await city.services.series.write([group_readings("gw-1", "e1", 900, [said])])


async def test_the_lamps_power_is_the_sum_of_those_that_are_heard(city: World) -> None:
    await crowd(city)
    lamps = [row.id for row in await _all(city, devices) if row.profile == "lamp_loop"]
    silent = await city.get("/api/overview")
    assert silent["energy"] == {"devices": len(lamps), "heard": 0, "power_kw": None}
    await _power(city, lamps[0], NOW_NS, 12.5)
    await _power(city, lamps[1], NOW_NS, 7.25)
    await _power(city, lamps[2], NOW_NS - DAY_NS, 99.0)
    await _power(city, lamps[3], NOW_NS, None)
    city.clock.advance(60)
    assert (await city.get("/api/overview"))["energy"] == {"devices": len(lamps), "heard": 2, "power_kw": 19.75}


async def test_ten_walls_ask_the_store_no_more_than_one(city: World) -> None:
    statements: list[str] = []
    event.listen(city.services.engine.sync_engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    first = await city.get("/api/overview")
    asked = sum("FROM devices" in text for text in statements)
    city.clock.advance(4.9)
    for _ in range(10):
        assert (await city.get("/api/overview"))["as_of"] == first["as_of"] == NOW
    assert sum("FROM devices" in text for text in statements) == asked
    city.clock.advance(0.2)
    assert (await city.get("/api/overview"))["as_of"] != NOW


async def test_the_age_is_that_of_what_was_heard_last(city: World) -> None:
    shown = await city.get("/api/overview")
    assert shown["heard"] == NOW
    city.clock.advance(31)
    assert (await city.get("/api/overview"))["heard_age_s"] == 31.0


async def test_an_argument_that_is_none_is_refused(city: World) -> None:
    assert (await city.get("/api/overview?since=1h", status=422))["reason"] == "invalid"
