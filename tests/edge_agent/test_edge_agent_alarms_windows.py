"""Alarms about more than one reading: windows, rates, counts, several values, levels."""

import math
import random
import statistics

import pytest
from edge_agent_parts import at, profile, reading, rule
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from device_profiles.model import Above, AlarmRule, All, Below, Level, NofM, OneOf, Profile, Statistic, Windowed
from edge_agent.alarms.engine import judge_reading
from edge_agent.alarms.state import DeviceState, pack, unpack
from edge_agent.alarms.windows import SLOTS, Slot, statistic, with_value
from telemetry.clock import SECOND_NS
from telemetry.records import Priority, Transition, Value


def window(kind: Statistic, over: float = 640, limit: float = 10, *, under: bool = False, deadband: float = 0.0) -> Windowed:
    return Windowed(metric="level", statistic=kind, over_s=over, limit=limit, under=under, deadband=deadband)


def run(of: Profile, rows: list[tuple[float, dict[str, Value]]]) -> list[Transition]:
    """The log; the state is packed and unpacked after each reading."""
    state, log = DeviceState(), []
    for second, values in rows:
        judged = judge_reading(of, state, reading(second, values))
        state = unpack(pack(judged.state))
        log += judged.transitions
    return log


def levels(rows: list[tuple[float, float | None]]) -> list[tuple[float, dict[str, Value]]]:
    return [(second, {"level": value}) for second, value in rows]


def story(log: list[Transition]) -> list[tuple[str, float]]:
    return [(step.cause.value, (step.event_time_ns - at(0)) / 1e9) for step in log]


ORACLE = {
    Statistic.MEAN: statistics.fmean,
    Statistic.MIN: min,
    Statistic.MAX: max,
    Statistic.STD: statistics.pstdev,
}


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(ORACLE)),
    rows=st.lists(st.tuples(st.integers(1, 40), st.floats(-1e4, 1e4)), min_size=2, max_size=120),
    offset=st.sampled_from([0.0, 1e6]),
)
def test_a_statistic_is_that_of_all_values_in_the_window(kind: Statistic, rows: list[tuple[int, float]], offset: float) -> None:
    """Slots are ten seconds wide; the oracle keeps every value, and drops those of the slots that have left."""
    of, slots, every, now = window(kind), (), [], 0
    for gap, value in rows:
        now += gap
        slots = with_value(slots, of, value + offset, now * SECOND_NS)
        every.append((now, value + offset))
        every = [(second, kept) for second, kept in every if second // 10 >= (now - 640) // 10]
        found = statistic(slots, of, now * SECOND_NS)
        if now - every[0][0] < 320:
            assert found is None
        else:
            assert found is not None
            assert math.isclose(found, ORACLE[kind]([kept for _, kept in every]), rel_tol=1e-6, abs_tol=1e-4)


@pytest.mark.parametrize("kind", list(Statistic))
def test_a_window_has_an_end_however_often_a_device_speaks(kind: Statistic) -> None:
    slots: tuple[Slot, ...] = ()
    for number in range(3000):
        slots = with_value(slots, window(kind, over=64), float(number), number * SECOND_NS // 10)
    assert len(slots) <= SLOTS + 1


@pytest.mark.parametrize(
    ("kind", "per_s", "rows", "expected"),
    [
        pytest.param(Statistic.RISE, 60, [(0, 0), (600, 100)], 10.0, id="per minute"),
        pytest.param(Statistic.RISE, 3600, [(0, 0), (600, 100)], 600.0, id="per hour"),
        pytest.param(Statistic.FALL, 60, [(0, 100), (600, 0)], 10.0, id="a fall is a rise turned over"),
        pytest.param(Statistic.RISE, 60, [(0, 100), (600, 0)], -10.0, id="a fall is a negative rise"),
        pytest.param(Statistic.RISE, 60, [(0, 0), (300, 900), (600, 100)], 10.0, id="from the oldest value to the newest"),
        pytest.param(Statistic.RISE, 60, [(0, 0), (100, 100)], None, id="not known of less than half a window"),
        pytest.param(Statistic.RISE, 60, [(0, 0), (2000, 100)], None, id="not known after a gap"),
    ],
)
def test_a_rate_is_per_time(kind: Statistic, per_s: float, rows: list[tuple[int, float]], expected: float | None) -> None:
    of, slots = replace(window(kind), per_s=per_s), ()
    for second, value in rows:
        slots = with_value(slots, of, value, second * SECOND_NS)
    assert statistic(slots, of, rows[-1][0] * SECOND_NS) == (None if expected is None else pytest.approx(expected))


def test_a_rising_level_raises_and_ends_with_its_deadband() -> None:
    rising = profile(rule("rising", window(Statistic.RISE, over=600, limit=5, deadband=2)))
    rows = [(0, 10), (300, 20), (600, 80), (900, 100), (1200, 115), (1500, 112)]
    log = run(rising, levels(rows))
    assert story(log) == [("raise", 600), ("return", 1500)]
    assert log[0].evidence == {"level.rise": 7.0, "limit": 5}


def test_a_gap_longer_than_the_window_makes_an_alarm_uncertain_and_never_ends_it() -> None:
    smell = profile(rule("smell", window(Statistic.MEAN, over=600)))
    log = run(smell, levels([(0, 20), (300, 20), (5000, 0), (5300, 0)]))
    assert story(log) == [("raise", 300), ("became_uncertain", 5000), ("became_certain", 5300), ("return", 5300)]


def test_a_value_that_cannot_be_believed_is_no_part_of_the_window() -> None:
    smell = profile(rule("smell", window(Statistic.MEAN, over=600)))
    log = run(smell, levels([(0, 20), (200, None), (300, 8)]))
    assert log[0].evidence["level.mean"] == 14


def test_a_repeated_reading_does_not_count_twice() -> None:
    often = profile(rule("often", NofM(of=Above(metric="level", limit=10), n=3, m=5)), rule("mean", window(Statistic.MEAN)))
    rows = levels([(0, 20), (200, 20), (400, 0)])
    state = DeviceState()
    for second, values in rows:
        for _ in range(4):
            judged = judge_reading(often, state, reading(second, values))
            state = judged.state
    assert state.rule("often").counts == {0: 0b1110}
    assert sum(slot.count for slot in state.rule("mean").windows[0]) == 3


OFTEN = NofM(of=Above(metric="level", limit=10), n=3, m=5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([20, 20], [], id="two are not enough"),
        pytest.param([20, 20, 20], [("raise", 2)], id="three of three are"),
        pytest.param([20, 0, 20, 0, 20], [("raise", 4)], id="three of five are"),
        pytest.param([20, 0, 20, 0, 0, 20], [], id="three of six are not"),
        pytest.param([20, 20, 20, 0, 0, 0], [("raise", 2), ("return", 5)], id="it ends when the last five have two"),
        pytest.param(
            [20, 20, 20, None, 20],
            [("raise", 2), ("became_uncertain", 3), ("became_certain", 4)],
            id="a reading that does not know is not counted",
        ),
    ],
)
def test_n_of_m_readings(values: list[float | None], expected: list[tuple[str, float]]) -> None:
    assert story(run(profile(rule("often", OFTEN)), levels([(n, value) for n, value in enumerate(values)]))) == expected


def test_readings_about_something_else_are_not_counted() -> None:
    both = profile(rule("both", All(of=(OFTEN, OneOf(metric="state", values=("on", "auto"))))))
    rows: list[tuple[float, dict[str, Value]]] = [(0, {"state": "auto"})]
    rows += [(n, {"state": "auto"} if n % 2 else {"level": 20}) for n in range(1, 7)]
    assert story(run(both, rows)) == [("raise", 6)]


@pytest.mark.parametrize(("value", "raised"), [("on", True), ("auto", True), ("off", False), (None, False)])
def test_an_enumerated_alarm_is_raised_by_each_of_its_values(value: str | None, raised: bool) -> None:
    log = run(profile(rule("mode", OneOf(metric="state", values=("on", "auto")))), [(0, {"state": value})])
    assert bool(log) is raised


def test_any_of_the_last_m_readings_matches_a_list() -> None:
    chance = random.Random(7)  # noqa: S311 - chance that can be repeated
    said: list[bool] = []
    state = DeviceState()
    of = profile(rule("often", NofM(of=Above(metric="level", limit=10), n=20, m=62)))
    for number in range(400):
        said.append(chance.random() < 0.32)
        state = unpack(pack(judge_reading(of, state, reading(number, {"level": 20 if said[-1] else 0})).state))
        assert state.rule("often").active is (sum(said[-62:]) >= 20)


def graded(on: float = 0, off: float = 0) -> AlarmRule:
    return replace(
        rule("smell", Above(metric="level", limit=5, deadband=1), on=on, off=off),
        priority=Priority.LOW,
        levels=(Level(priority=Priority.HIGH, limit=10), Level(priority=Priority.CRITICAL, limit=20)),
    )


def weights(log: list[Transition]) -> list[tuple[str, str, float]]:
    return [(step.cause.value, step.priority.value, (step.event_time_ns - at(0)) / 1e9) for step in log]


@pytest.mark.parametrize(
    ("on", "off", "rows", "expected"),
    [
        pytest.param(0, 0, [(0, 12)], [("raise", "high", 0)], id="raised at the level that it has"),
        pytest.param(
            0,
            0,
            [(0, 6), (1, 12), (2, 25), (3, 12), (4, 6), (5, 1)],
            [
                ("raise", "low", 0),
                ("priority_raised", "high", 1),
                ("priority_raised", "critical", 2),
                ("priority_lowered", "high", 3),
                ("priority_lowered", "low", 4),
                ("return", "low", 5),
            ],
            id="up and down, one step each",
        ),
        pytest.param(0, 0, [(0, 12), (1, 9.5), (2, 10.5)], [("raise", "high", 0)], id="each level has the deadband"),
        pytest.param(0, 0, [(0, 6), (1, 25)], [("raise", "low", 0), ("priority_raised", "critical", 1)], id="two levels at once"),
        pytest.param(0, 0, [(0, 25), (1, 1)], [("raise", "critical", 0), ("return", "critical", 1)], id="returns as it was"),
        pytest.param(
            10,
            0,
            [(0, 6), (10, 6), (15, 12), (20, 12), (25, 25), (35, 12)],
            [("raise", "low", 10), ("priority_raised", "high", 25)],
            id="a level waits for the on-delay, and one spike is not enough",
        ),
        pytest.param(
            0,
            10,
            [(0, 12), (5, 6), (9, 12), (12, 6), (22, 6)],
            [("raise", "high", 0), ("priority_lowered", "low", 22)],
            id="a level is left after the off-delay",
        ),
        pytest.param(
            0,
            0,
            [(0, 12), (1, None), (2, 25)],
            [
                ("raise", "high", 0),
                ("became_uncertain", "high", 1),
                ("became_certain", "high", 2),
                ("priority_raised", "critical", 2),
            ],
            id="an unknown value changes no level",
        ),
    ],
)
def test_severity_goes_up_and_down_within_one_occurrence(
    on: float, off: float, rows: list[tuple[float, float | None]], expected: list[tuple[str, str, float]]
) -> None:
    log = run(profile(graded(on, off)), levels(rows))
    assert weights(log) == expected
    assert len({step.alarm for step in log}) == 1
    assert [step.n for step in log] == list(range(1, len(log) + 1))


def test_the_limit_in_the_evidence_is_that_of_the_level() -> None:
    assert run(profile(graded()), levels([(0, 12)]))[0].evidence == {"level": 12, "limit": 10}


def test_levels_go_downwards_below_a_limit() -> None:
    empty = replace(
        rule("empty", Below(metric="level", limit=20, deadband=1)),
        priority=Priority.MEDIUM,
        levels=(Level(priority=Priority.HIGH, limit=10),),
    )
    log = run(profile(empty), levels([(0, 15), (1, 5), (2, 15), (3, 30)]))
    assert [step.priority.value for step in log] == ["medium", "high", "medium", "medium"]


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        pytest.param(0, [("return", "low", 1)], id="none is left"),
        pytest.param(1, [("return", "high", 1)], id="one is left"),
    ],
)
def test_a_profile_that_lost_its_levels_still_ends_the_alarm(kept: int, expected: list[tuple[str, str, float]]) -> None:
    state = judge_reading(profile(graded()), DeviceState(), reading(0, {"level": 25})).state
    fewer = profile(replace(graded(), levels=graded().levels[:kept]))
    assert weights(list(judge_reading(fewer, state, reading(1, {"level": 1})).transitions)) == expected


def test_a_statistic_may_have_levels() -> None:
    smell = replace(rule("smell", window(Statistic.MEAN, over=600)), priority=Priority.LOW, levels=graded().levels[1:])
    log = run(profile(smell), levels([(0, 12), (300, 12), (600, 60)]))
    assert weights(log) == [("raise", "low", 300), ("priority_raised", "critical", 600)]


def test_a_state_of_an_earlier_version_is_still_read() -> None:
    """Eight fields of a rule and two of a device were all there was."""
    import msgspec

    old = msgspec.msgpack.encode([at(5), {"high": [True, False, None, at(1), at(1), 1, 1, 1]}])
    state = unpack(old)
    high = profile(rule("high", Above(metric="level", limit=100)))
    judged = judge_reading(high, state, reading(6, {"level": 1}))
    assert story(list(judged.transitions)) == [("return", 6)]
    assert judged.transitions[0].n == 2
