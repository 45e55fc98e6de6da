"""Readings that come late: held back for as long as they may, judged in the order of event time, whatever comes in between."""

import math
import random
from collections.abc import Mapping, Sequence

from edge_agent_parts import METRICS, at, metric, profile, reading, rule
from msgspec.structs import replace

from device_profiles.model import (
    Above,
    All,
    Equals,
    Level,
    NofM,
    Not,
    OneOf,
    Place,
    Profile,
    Reporting,
    Speed,
    Stale,
    Statistic,
    Windowed,
)
from edge_agent.alarms.engine import Judged, Timeliness, judge_reading, judge_silence
from edge_agent.alarms.lateness import MOST_HELD
from edge_agent.alarms.state import DeviceState, pack, shifted, unpack
from edge_agent.alarms.zones import Circle, Zone
from telemetry.records import Priority, Reading, Transition, Value

HIGH = Above(metric="level", limit=100, deadband=10)
OPEN = Equals(metric="open", value=True)
LATE = Reporting(interval_s=60, lateness_s=60)
LATE_HIGH = profile(rule("high", HIGH), reporting=LATE)


def run(of: Profile, rows: Sequence[Reading], state: DeviceState | None = None) -> tuple[list[Transition], DeviceState]:
    state, log = state or DeviceState(), []
    for row in rows:
        judged = judge_reading(of, state, row)
        state = judged.state
        log += judged.transitions
    return log, state


def rows(*pairs: tuple[float, Value]) -> list[Reading]:
    return [reading(second, {"level": value}) for second, value in pairs]


def story(log: Sequence[Transition]) -> list[tuple[str, float]]:
    return [(step.cause.value, (step.event_time_ns - at(0)) / 1e9) for step in log]


def test_a_reading_is_judged_when_nothing_older_can_come() -> None:
    log, state = run(LATE_HIGH, rows((0, 120), (60, 120)))
    assert log == []
    assert [held.time_ns for held in state.held] == [at(0), at(60)]
    log, state = run(LATE_HIGH, rows((61, 120)), state)
    assert story(log) == [("raise", 0)]
    assert log[0].recorded_ns == at(61)


def test_an_excursion_that_comes_late_is_judged_in_its_place() -> None:
    log, _ = run(LATE_HIGH, rows((0, 50), (50, 50), (20, 120), (200, 50), (300, 50)))
    assert story(log) == [("raise", 20), ("return", 50)]


def test_a_reading_later_than_the_bound_is_told_to_be_late() -> None:
    _, state = run(LATE_HIGH, rows((0, 50), (100, 50)))
    judged = judge_reading(LATE_HIGH, state, rows((39, 120))[0])
    assert (judged.timeliness, judged.missed_by_ns, judged.state) == (Timeliness.LATE, at(1) - at(0), state)
    assert judge_reading(LATE_HIGH, state, rows((40, 120))[0]).timeliness is Timeliness.IN_TIME


def test_a_device_that_falls_silent_leaves_nothing_unjudged() -> None:
    _, state = run(LATE_HIGH, rows((0, 50), (10, 120)))
    assert judge_silence(LATE_HIGH, state, "d1", 60, at(70)) == Judged(state=state)
    judged = judge_silence(LATE_HIGH, state, "d1", 61, at(71))
    assert story(judged.transitions) == [("raise", 10)]
    assert (judged.state.held, judged.state.judged_ns) == ((), at(10) + 1)


def test_silence_is_judged_at_once() -> None:
    of = profile(rule("silent", Stale(after_s=30)), reporting=LATE)
    state = judge_silence(of, DeviceState(), "d1", 31, at(31)).state
    assert story(run(of, rows((40, 1)), state)[0]) == [("return", 40)]


def test_what_waits_has_an_end() -> None:
    of = profile(rule("high", HIGH), reporting=Reporting(interval_s=60, lateness_s=86400))
    log, state = run(of, rows(*[(n, 120 if n == 5 else 50) for n in range(MOST_HELD + 20)]))
    assert story(log) == [("raise", 5), ("return", 6)]
    assert len(state.held) == MOST_HELD


def test_readings_that_wait_are_judged_when_the_profile_waits_no_more() -> None:
    _, state = run(LATE_HIGH, rows((0, 120), (10, 50)))
    log, state = run(profile(rule("high", HIGH)), rows((20, 130)), state)
    assert story(log) == [("raise", 0), ("return", 10), ("raise", 20)]
    assert state.held == ()


def test_the_clocks_correction_moves_what_waits() -> None:
    _, state = run(LATE_HIGH, rows((0, 120), (10, 50)))
    moved = shifted(state, at(1000) - at(0), {"high"}, judged=True)
    assert story(run(LATE_HIGH, rows((1100, 50)), moved)[0]) == [("raise", 1000), ("return", 1010)]


def hourly(second: float, value: Value) -> Reading:
    return reading(second, {"count": value})


def test_hour_means_and_the_readings_of_the_moment_do_not_make_each_other_late() -> None:
    of = profile(rule("high", HIGH), rule("mean", Above(metric="count", limit=10)))
    now = [row for second in range(0, 7200, 600) for row in rows((second, 50))]
    log, state = run(of, [*now, hourly(0, 20), *rows((7200, 120)), hourly(3600, 5), *rows((7260, 50))])
    assert story(log) == [("raise", 0), ("raise", 7200), ("return", 3600), ("return", 7260)]
    judged = judge_reading(of, state, hourly(1800, 20))
    assert (judged.timeliness, judged.missed_by_ns) == (Timeliness.LATE, at(3600) - at(1800))


def test_hour_means_are_held_back_by_their_own_time() -> None:
    of = profile(rule("high", HIGH), rule("mean", Above(metric="count", limit=10)), reporting=LATE)
    log, state = run(of, [*rows((7200, 50), (7300, 50)), hourly(3600, 20), hourly(0, 5), *rows((7400, 50)), hourly(7200, 5)])
    assert story(log) == [("raise", 3600)]
    assert [held.time_ns for held in state.held] == [at(7200), at(7400)]


def test_a_message_that_no_rule_is_about_makes_nothing_late() -> None:
    of = profile(rule("high", HIGH))
    log, _ = run(of, [hourly(5000, 1), *rows((10, 120))])
    assert story(log) == [("raise", 10)]


# The same day, heard in every way that its lateness allows.

LATENESS_S = 600
ZONES: Mapping[str, Zone] = {"yard": Circle((116.4, 39.9), 400)}
DAY_RULES = [
    rule("high", HIGH, on=120, off=60),
    rule("rising", Windowed(metric="level", statistic=Statistic.RISE, over_s=3600, limit=0.4, deadband=0.2)),
    rule("mean", Windowed(metric="level", statistic=Statistic.MEAN, over_s=3600, limit=90, deadband=5)),
    rule("calm", Windowed(metric="level", statistic=Statistic.STD, over_s=3600, limit=6, under=True, deadband=3), latch=True),
    rule("often", NofM(of=OPEN, n=3, m=5)),
    rule("mode", OneOf(metric="state", values=("manual", "fault"))),
    rule("both", All(of=(Not(of=OPEN), Above(metric="level", limit=80))), off=30),
    rule("yard", Place(zone="yard", outside=True, deadband_m=50, dwell_s=300)),
    rule("fast", Speed(limit_kmh=30, deadband=5, zone="yard")),
    replace(
        rule("grave", Above(metric="level", limit=60, deadband=5), on=60, off=60),
        priority=Priority.LOW,
        levels=(Level(priority=Priority.HIGH, limit=90), Level(priority=Priority.CRITICAL, limit=120)),
    ),
    rule("hour", Above(metric="count", limit=50, deadband=5)),
]
DAY_PROFILE = replace(
    profile(*DAY_RULES, reporting=Reporting(interval_s=60, lateness_s=LATENESS_S)),
    metrics={m.name: m for m in (*METRICS, metric("longitude_deg"), metric("latitude_deg"))},
)


def telemetry(chance: random.Random) -> list[Reading]:
    """A day of a device: a reading every one to six minutes, some about a part only, and a mean of each hour."""
    day: list[Reading] = []
    second, level, angle = 0.0, 60.0, 0.0
    while second < 86400:
        second += chance.randrange(60_000, 360_000) / 1000
        level = min(200.0, max(0.0, level + chance.gauss(0, 8)))
        angle += chance.gauss(0, 0.2)
        far = 0.0036 * (1 + math.sin(second / 5000 + angle))
        values: dict[str, Value] = {
            "level": chance.choices([round(level, 2), None], [40, 1])[0],
            "open": chance.random() < 0.3,
            "state": chance.choices(["auto", "manual", "fault"], [8, 1, 1])[0],
            "longitude_deg": 116.4 + far,
            "latitude_deg": 39.9,
            "speed_kmh": chance.uniform(0, 50),
            "position_fixed": chance.random() < 0.95,
        }
        if chance.random() < 0.2:
            values = dict(chance.sample(sorted(values.items()), 2))
        day.append(reading(second, values))
    day += [reading(hour * 3600, {"count": chance.randrange(100)}) for hour in range(24)]
    return day


def heard(day: list[Reading], chance: random.Random, jitter_s: float) -> list[Reading]:
    """The day as it comes in: each reading up to `jitter_s` late, the mean of an hour when the hour is over."""

    def arrival(row: Reading) -> float:
        own_s = 3600 if "count" in row.values else 0
        return (row.time_ns - at(0)) / 1e9 + own_s + chance.uniform(0, jitter_s)

    return sorted(day, key=arrival)


def judged_day(
    came: Sequence[Reading], chance: random.Random, *, restarts: float = 0.0, of: Profile = DAY_PROFILE
) -> list[Transition]:
    """The log, in the order of each rule's steps; the gateway's own time of writing is left out."""
    state, log = DeviceState(), []
    for row in came:
        if chance.random() < restarts:
            state = unpack(pack(state))
        judged = judge_reading(of, state, row, ZONES)
        state = judged.state
        log += judged.transitions
    log += judge_silence(of, state, "d1", LATENESS_S + 1, at(200_000), zones=ZONES).transitions
    return sorted((replace(step, recorded_ns=1) for step in log), key=lambda step: (step.alarm, step.n))


def test_a_day_gives_one_log_however_it_is_heard(day_seed: int) -> None:
    """Live and judged at once; shuffled within the bound, with restarts; delayed as a whole, and doubled."""
    chance = random.Random(day_seed)  # noqa: S311 - chance that can be repeated
    day = telemetry(chance)
    in_order = heard(day, chance, 0)
    live = judged_day(in_order, chance, of=replace(DAY_PROFILE, reporting=Reporting(interval_s=60)))
    assert len(live) > 200
    shuffled = heard(day, chance, LATENESS_S)
    assert shuffled != in_order
    assert judged_day(shuffled, chance, restarts=0.05) == live
    delayed = [replace(row, received_ns=at(200_000)) for row in heard(day, chance, LATENESS_S)]
    assert judged_day(doubled(delayed, chance), chance, restarts=0.02) == live


def test_the_days_move_every_rule_and_every_way_that_the_edge_moves_an_alarm() -> None:
    moved: set[str] = set()
    for seed in range(3):
        chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
        for step in judged_day(heard(telemetry(chance), chance, 0), chance):
            moved |= {step.rule, step.cause.value}
    causes = {"raise", "return", "return_latched", "priority_raised", "priority_lowered", "became_uncertain", "became_certain"}
    assert moved == causes | DAY_PROFILE.alarms.keys()


def doubled(came: Sequence[Reading], chance: random.Random) -> list[Reading]:
    """Some readings come again, at once or much later."""
    again: list[Reading] = []
    for index, row in enumerate(came):
        again.append(row)
        if chance.random() < 0.2:
            again.append(row)
        if chance.random() < 0.1:
            again.append(came[chance.randrange(index + 1)])
    return again


def test_a_day_heard_later_than_its_bound_gives_another_log() -> None:
    """That the test above can fail."""
    chance = random.Random(1)  # noqa: S311 - chance that can be repeated
    day = telemetry(chance)
    assert judged_day(heard(day, chance, LATENESS_S * 10), chance) != judged_day(heard(day, chance, 0), chance)


def test_the_state_of_a_day_has_an_end() -> None:
    chance = random.Random(2)  # noqa: S311 - chance that can be repeated
    state, largest = DeviceState(), 0
    for row in heard(telemetry(chance), chance, LATENESS_S):
        state = judge_reading(DAY_PROFILE, state, row, ZONES).state
        largest = max(largest, len(pack(state)))
    assert largest < 8192
