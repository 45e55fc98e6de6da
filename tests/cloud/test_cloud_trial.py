"""Trying a rule on history: the gateway's own engine, out of the store, comes to what the gateway's log has."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cloud_recorded import PLACES, TRUCK, Day, edited, record_day, stored
from cloud_records import T0, S, reading
from msgspec.structs import replace
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from citynerve.rule_engine import gateway_engine
from cloud.alarms.log import record
from cloud.relational.engine import reading as looking
from cloud.relational.engine import writing
from cloud.relational.tables import devices, transitions
from cloud.series.duckdb_store import DuckStore
from cloud.trial.result import TrialResult
from cloud.trial.rule import is_silence
from cloud.trial.shown import shown_trial
from cloud.trial.trial import Progress, Trial, devices_of
from device_profiles.model import AlarmRule, Profile
from device_profiles.shelf import load_catalog
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Transition, Value
from telemetry.wire import group_readings

COVER = load_catalog()["cover_nbiot"]
COVERS = ("cover-1",)
TILTED = COVER.alarms["cover_tilted"]
DAY_NS = 86_400 * S
NOW = T0 + DAY_NS
# One query of the relational store, the same in both; what is tried is in the series store.
pytestmark = pytest.mark.parametrize("a_migrated_store", ["sqlite"], indirect=True)
RULES = sorted(name for name, rule in TRUCK.alarms.items() if not is_silence(rule))


def step_of(step: Transition) -> tuple[Any, ...]:
    return step.alarm, step.n, step.cause, step.priority, step.event_time_ns, step.profile_version, step.evidence


async def tried(
    store: DuckStore,
    engine: AsyncEngine,
    rule: AlarmRule,
    profile: Profile = COVER,
    names: Sequence[str] = ("cover-1",),
    **more: Any,
) -> TrialResult:
    given = {"now_ns": NOW, "days": 1, "names": names} | more
    trial = Trial(profile, rule, gateway_engine(PLACES), **given)
    await trial.run(engine, store, on)
    return trial.result()


async def on(now: Progress) -> bool:
    del now
    return True


@pytest.fixture(scope="module", params=[(1, 0.0), (3, 400.0)], ids=["a day", "a day whose messages come late"])
def day(request: pytest.FixtureRequest) -> Day:
    return record_day(*request.param)


@pytest.fixture
async def store(tmp_path: Path, day: Day) -> AsyncIterator[DuckStore]:
    held = await stored(tmp_path, day.readings)
    yield held
    await held.close()


@pytest.fixture
async def covers(tmp_path: Path) -> AsyncIterator[DuckStore]:
    """An empty store."""
    held = await stored(tmp_path, [])
    yield held
    await held.close()


async def test_the_rules_as_they_are_give_exactly_the_steps_that_the_gateway_logged(
    cloud_engine: AsyncEngine, store: DuckStore, day: Day
) -> None:
    async with writing(cloud_engine) as conn:
        await record(conn, day.log, day.end_ns)
    async with looking(cloud_engine) as conn:
        logged = (await conn.execute(select(transitions).order_by(transitions.c.event_time_ns))).mappings().all()
    assert len({row["rule"] for row in logged}) > 12, "the day was one in which something happened"
    for name in RULES:
        steps: list[Transition] = []
        rule = day.profile.alarms[name]
        result = await tried(store, cloud_engine, rule, day.profile, ["truck-1"], now_ns=day.end_ns, tell=steps.extend, days=2)
        named = ("alarm", "n", "cause", "priority", "event_time_ns", "profile_version", "evidence")
        wanted = [tuple(row[each] for each in named) for row in logged if row["rule"] == name]
        assert sorted(map(step_of, steps), key=str) == sorted(wanted, key=str), name
        assert result.raised == result.today_raised == result.also_today == result.logged
        assert result.raised == sum(row["rule"] == name and row["cause"] == "raise" for row in logged)


def tilts(*pairs: tuple[float, Value], device: str = "cover-1", flaws: Mapping[float, Flaw] | None = None) -> list[Any]:
    """Readings of a cover's tilt, by hours after the beginning of time."""
    bad = flaws or {}
    return [
        reading(device, T0 + round(after * 3600) * S, {"tilt_deg": tilt}, {"tilt_deg": bad[after]} if after in bad else {})
        for after, tilt in pairs
    ]


def hour(time_ns: int | None) -> float | None:
    return None if time_ns is None else (time_ns - T0) / 3600e9


async def keep(store: DuckStore, readings: Sequence[Any]) -> None:
    await store.write([group_readings("gw-1", "e1", 1, readings)])


async def test_an_edited_rule_is_compared_with_todays(cloud_engine: AsyncEngine, covers: DuckStore) -> None:
    await keep(covers, tilts((1, 2.0), (2, 12.0), (3, 2.0), (4, 20.0), (5, 2.0), (6, 13.0)))
    rule = edited("cover_tilted: {when: {above: tilt_deg, limit: 10}, MEANING}", COVER)
    result = await tried(covers, cloud_engine, rule)
    assert (result.raised, result.today_raised, result.also_today, result.carried) == (3, 1, 1, 0)
    hours = [
        ((each.raised_ns - T0) / 3600e9, each.returned_ns and (each.returned_ns - T0) / 3600e9) for each in result.occurrences
    ]
    assert hours == [(2, 3), (4, 5), (6, None)]
    assert [each.also_today for each in result.occurrences] == [False, True, False]
    assert sum(day.raised for day in result.by_day) == 3


async def test_a_rule_that_the_profile_has_not_is_compared_with_nothing(cloud_engine: AsyncEngine, covers: DuckStore) -> None:
    await keep(covers, tilts((1, 2.0), (2, 12.0)))
    result = await tried(covers, cloud_engine, edited("leaning: {when: {above: tilt_deg, limit: 10}, MEANING}", COVER))
    assert (result.raised, result.today_raised, result.also_today) == (1, None, None)
    assert result.occurrences[0].also_today is None


async def test_what_began_before_is_carried_and_not_counted(cloud_engine: AsyncEngine, covers: DuckStore) -> None:
    await keep(covers, tilts((-2, 2.0), (-1, 20.0), (1, 20.0), (2, 2.0), (3, 20.0)))
    result = await tried(covers, cloud_engine, TILTED)
    assert (result.raised, result.carried, result.readings) == (1, 1, 3)


async def test_gaps_are_when_nothing_could_be_known(cloud_engine: AsyncEngine, covers: DuckStore) -> None:
    bad = {4.0: Flaw(Quality.BAD, Reason.OUT_OF_RANGE)}
    await keep(covers, tilts((2, 1.0), (4, 900.0), (6, 1.0), flaws=bad))
    quick = replace(COVER, reporting=replace(COVER.reporting, interval_s=3600.0))
    result = await tried(covers, cloud_engine, TILTED, quick)
    found = [(gap.kind.value, hour(gap.start_ns), hour(gap.end_ns)) for gap in result.gaps]
    assert sorted(found) == [("bad", 4, 6), ("silent", 6, 24), ("unheard", 0, 2)]
    assert result.judged_pct == pytest.approx(100 * 2 / 24)


async def test_a_device_that_speaks_of_other_things_is_not_silent(cloud_engine: AsyncEngine, covers: DuckStore) -> None:
    level = [reading(at_ns=T0 + hours * 3600 * S, values={"water_level_cm": 1.0}) for hours in range(0, 25, 2)]
    await keep(covers, [*tilts((0, 1.0), (20, 1.0)), *(each for each in level if each.time_ns not in {T0, T0 + 20 * 3600 * S})])
    quick = replace(COVER, reporting=replace(COVER.reporting, interval_s=3600.0))
    result = await tried(covers, cloud_engine, TILTED, quick)
    assert (result.gap_count, result.judged_pct) == (0, 100)


async def test_without_readings_nothing_is_concluded(cloud_engine: AsyncEngine, covers: DuckStore) -> None:
    result = await tried(covers, cloud_engine, TILTED)
    assert (result.devices_judged, result.devices_heard, result.raised, result.judged_pct) == (1, 0, 0, 0)
    assert (await tried(covers, cloud_engine, TILTED, names=[])).judged_pct is None


async def test_chattering_is_found(cloud_engine: AsyncEngine, covers: DuckStore) -> None:
    await keep(covers, tilts(*((number / 360, 20.0 if number % 2 else 1.0) for number in range(12))))
    result = await tried(covers, cloud_engine, TILTED)
    assert (result.raised, result.chattering) == (6, (("cover-1/cover_tilted", 4),))


async def test_silence_is_judged_from_the_times_of_the_readings(cloud_engine: AsyncEngine, covers: DuckStore) -> None:
    await keep(covers, tilts((0, 1.0), (40, 1.0), (41, 1.0)))
    result = await tried(covers, cloud_engine, COVER.alarms["cover_silent"], now_ns=T0 + 2 * DAY_NS, days=2)
    [one] = result.occurrences
    assert (one.raised_ns, one.returned_ns) == (T0 + 26 * 3600 * S, T0 + 40 * 3600 * S)
    assert (result.gap_count, len(result.caveats)) == (0, 2)


async def test_a_rule_that_raises_without_end_is_given_up_and_that_is_said(
    cloud_engine: AsyncEngine, covers: DuckStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.trial.trial._MOST_OF_DEVICE", 5)
    monkeypatch.setattr("cloud.trial.trial._MOST_LISTED", 3)
    await keep(covers, tilts(*((number / 60, 20.0 if number % 2 else 1.0) for number in range(40))))
    result = await tried(covers, cloud_engine, TILTED)
    assert (result.unfinished, result.raised, len(result.occurrences)) == (("cover-1",), 5, 3)


async def test_a_trial_that_nobody_waits_for_ends_and_tells_so_far(cloud_engine: AsyncEngine, covers: DuckStore) -> None:
    await keep(covers, tilts((1, 20.0)))
    told: list[Progress] = []

    async def until_one(now: Progress) -> bool:
        told.append(now)
        return now.done < 1

    trial = Trial(COVER, TILTED, gateway_engine(), names=["cover-1", "cover-2"], now_ns=NOW, days=1)
    await trial.run(cloud_engine, covers, until_one)
    result = trial.result()
    assert (result.complete, result.devices, result.devices_judged, result.raised) == (False, 2, 1, 1)
    assert [(now.done, now.total, now.readings) for now in told] == [(0, 2, 0), (1, 2, 1)]
    assert shown_trial(result)["occurrences"][0]["raised"] == "2025-10-09T09:53:20.000Z"


async def test_the_devices_of_a_profile_are_found(cloud_engine: AsyncEngine) -> None:
    rows = [
        {"id": name, "gateway": "gw-1", "profile": profile, "profile_version": 1, "kind": "k", "first_seen_ns": 1}
        for name, profile in (("b", "cover_nbiot"), ("a", "cover_nbiot"), ("c", "lamp_loop"))
    ]
    async with writing(cloud_engine) as conn:
        await conn.execute(devices.insert(), rows)
    assert await devices_of(cloud_engine, "cover_nbiot") == ["a", "b"]
