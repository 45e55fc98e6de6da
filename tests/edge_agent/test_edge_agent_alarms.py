"""The alarm engine: which readings raise, keep and end an alarm, and that nothing but the readings decides."""

import random
from collections.abc import Sequence

import pytest
from edge_agent_parts import at, profile, reading, rule
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.model import Above, AlarmRule, All, AnyCondition, AnyOf, Below, Bit, Equals, Not, Profile, Speed, Stale
from edge_agent.alarms.conditions import Facts, Memory, Truth, evaluate
from edge_agent.alarms.engine import Timeliness, judge_reading, judge_silence
from edge_agent.alarms.evidence import evidence
from edge_agent.alarms.state import DeviceState, pack, unpack
from telemetry.alarm_states import AlarmState, fold
from telemetry.reason import Reason
from telemetry.records import Cause, Flaw, Quality, Reading, Transition, Value

BAD = Flaw(Quality.BAD, Reason.OUT_OF_RANGE)
UNCERTAIN = Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)
HIGH = Above(metric="level", limit=100, deadband=10)
LOW = Below(metric="level", limit=10, deadband=5)
OPEN = Equals(metric="open", value=True)


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        pytest.param(HIGH, {"level": 100.0}, False, id="above is not true at its limit"),
        pytest.param(HIGH, {"level": 100.1}, True, id="above is true beyond its limit"),
        pytest.param(HIGH, {}, None, id="a missing metric makes it unknown"),
        pytest.param(HIGH, {"level": None}, None, id="a metric without a value makes it unknown"),
        pytest.param(HIGH, {"level": "full"}, None, id="a text is not compared with a number"),
        pytest.param(HIGH, {"level": True}, None, id="a boolean is no number"),
        pytest.param(LOW, {"level": 10}, False, id="below is not true at its limit"),
        pytest.param(LOW, {"level": 9}, True, id="below is true beyond its limit"),
        pytest.param(OPEN, {"open": True}, True, id="equals is true for the value"),
        pytest.param(OPEN, {"open": False}, False, id="equals is false for another value"),
        pytest.param(Bit(metric="bits", bit=3), {"bits": 0b1000}, True, id="a bit that is set"),
        pytest.param(Bit(metric="bits", bit=3), {"bits": 0b0111}, False, id="a bit that is not set"),
        pytest.param(Bit(metric="bits", bit=0), {"bits": 1.5}, None, id="a fraction has no bits"),
        pytest.param(Speed(limit_kmh=40), {"speed_kmh": 41.0}, True, id="too fast"),
        pytest.param(
            Speed(limit_kmh=40), {"speed_kmh": 41.0, "position_fixed": False}, None, id="a speed without a fix says nothing"
        ),
        pytest.param(Speed(limit_kmh=40), {"speed_kmh": 41.0, "position_fixed": True}, True, id="a speed with a fix counts"),
        pytest.param(Not(of=OPEN), {"open": True}, False, id="not turns over"),
        pytest.param(Not(of=OPEN), {}, None, id="not of unknown is unknown"),
        pytest.param(All(of=(OPEN, HIGH)), {"open": False}, False, id="all is false as soon as one part is"),
        pytest.param(All(of=(OPEN, HIGH)), {"open": True}, None, id="all is unknown while one part is"),
        pytest.param(All(of=(OPEN, HIGH)), {"open": True, "level": 200}, True, id="all is true when every part is"),
        pytest.param(AnyOf(of=(OPEN, HIGH)), {"open": True}, True, id="any is true as soon as one part is"),
        pytest.param(AnyOf(of=(OPEN, HIGH)), {"open": False}, None, id="any is unknown while one part is"),
        pytest.param(AnyOf(of=(OPEN, HIGH)), {"open": False, "level": 1}, False, id="any is false when every part is"),
    ],
)
def test_a_condition_in_three_values(condition: AnyCondition, values: dict[str, Value], expected: Truth) -> None:
    assert evaluate(condition, Facts(values=values), Memory())[0] is expected


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        pytest.param(HIGH, [101, 95, 90, 95, 101], [True, True, False, False, True], id="above holds down to limit - deadband"),
        pytest.param(LOW, [9, 12, 15, 12, 9], [True, True, False, False, True], id="below holds up to limit + deadband"),
        pytest.param(HIGH, [101, None, 95], [True, None, True], id="an unknown in between does not forget"),
        pytest.param(
            Not(of=All(of=(LOW, HIGH))), [101, 95], [True, True], id="each leaf of a nested condition has its own memory"
        ),
    ],
)
def test_a_deadband_remembers(condition: AnyCondition, values: list[float | None], expected: list[Truth]) -> None:
    memory, truths = Memory(), []
    for value in values:
        truth, memory = evaluate(condition, Facts(values={"level": value}), memory)
        truths.append(truth)
    assert truths == expected


def test_what_a_message_does_not_mention_is_as_it_was_and_what_it_cannot_say_is_unknown() -> None:
    both = All(of=(HIGH, OPEN))
    memory, truths = Memory(), []
    for values in ({"level": 120.0}, {"open": True}, {"level": 50.0}, {"level": 120.0}, {"open": None}, {"level": 130.0}, {}):
        truth, memory = evaluate(both, Facts(values=values), memory)
        truths.append(truth)
    assert truths == [None, True, False, True, None, None, None]


def test_evidence_is_the_values_and_the_limit() -> None:
    facts = Facts(values={"level": 120.0, "open": True, "count": 4})
    assert evidence(rule("high", HIGH), facts, Memory(), 0) == {"level": 120.0, "limit": 100}
    both = All(of=(HIGH, Speed(limit_kmh=40), OPEN))
    assert evidence(rule("both", both), facts, Memory(), 0) == {
        "level": 120.0,
        "speed_kmh": None,
        "open": True,
        "level.limit": 100,
        "speed_kmh.limit": 40,
    }


def run(of: Profile, rows: Sequence[Reading], state: DeviceState | None = None) -> tuple[list[Transition], DeviceState]:
    state = state or DeviceState()
    log: list[Transition] = []
    for row in rows:
        judged = judge_reading(of, state, row)
        state = judged.state
        log += judged.transitions
    return log, state


def story(log: Sequence[Transition]) -> list[tuple[str, float]]:
    return [(step.cause.value, (step.event_time_ns - at(0)) / 1e9) for step in log]


Row = tuple[float, float | None] | tuple[float, float | None, Flaw]


@pytest.mark.parametrize(
    ("on", "off", "rows", "expected"),
    [
        pytest.param(0, 0, [(0, 50), (1, 120), (2, 130), (3, 50)], [("raise", 1), ("return", 3)], id="without delays at once"),
        pytest.param(0, 0, [(0, 120), (1, 95), (2, 89)], [("raise", 0), ("return", 2)], id="not before the deadband is left"),
        pytest.param(10, 0, [(0, 120), (9, 120), (10, 120)], [("raise", 10)], id="raised when the on-delay is over"),
        pytest.param(10, 0, [(0, 120), (300, 120)], [("raise", 300)], id="raised by the reading that shows the delay is over"),
        pytest.param(10, 0, [(0, 120), (5, 50), (6, 120), (15, 120)], [], id="a fleeting excursion begins the on-delay anew"),
        pytest.param(10, 0, [(0, 120), (5, None), (12, 120)], [("raise", 12)], id="a gap does not begin the on-delay anew"),
        pytest.param(10, 0, [(0, 120), (12, None)], [], id="a gap does not raise"),
        pytest.param(
            0, 10, [(0, 120), (1, 50), (9, 50), (11, 50)], [("raise", 0), ("return", 11)], id="ended after the off-delay"
        ),
        pytest.param(0, 10, [(0, 120), (1, 50), (5, 120), (12, 50)], [("raise", 0)], id="back within the off-delay stays active"),
        pytest.param(
            0,
            0,
            [(0, 120), (1, None), (2, None), (3, 120), (4, 50)],
            [("raise", 0), ("became_uncertain", 1), ("became_certain", 3), ("return", 4)],
            id="missing data makes an active alarm uncertain, once, and never ends it",
        ),
        pytest.param(
            0,
            0,
            [(0, 120), (1, 50, BAD), (2, 50)],
            [("raise", 0), ("became_uncertain", 1), ("became_certain", 2), ("return", 2)],
            id="a bad value ends nothing",
        ),
        pytest.param(0, 0, [(0, 120, BAD)], [], id="a bad value raises nothing"),
        pytest.param(0, 0, [(0, 120, UNCERTAIN)], [("raise", 0)], id="a device with a wrong clock is still believed"),
        pytest.param(0, 0, [(5, 120), (3, 50), (6, 120)], [("raise", 5)], id="a late reading is not judged"),
    ],
)
def test_the_life_of_an_alarm(on: float, off: float, rows: list[Row], expected: list[tuple[str, float]]) -> None:
    said = [reading(row[0], {"level": row[1]}, {"level": row[2]} if len(row) == 3 else None) for row in rows]
    log, _ = run(profile(rule("high", HIGH, on=on, off=off)), said)
    assert story(log) == expected


def test_a_message_about_something_else_leaves_an_alarm_alone() -> None:
    rows = [(0, {"level": 120}), (1, {"count": 3}), (2, {"level": 130}), (3, {"count": 4}), (4, {"level": 50})]
    log, _ = run(profile(rule("high", HIGH)), [reading(at_s, dict(values)) for at_s, values in rows])
    assert story(log) == [("raise", 0), ("return", 4)]


def test_a_transition_says_what_it_stands_on() -> None:
    log, _ = run(profile(rule("high", HIGH, on=5)), [reading(1, {"level": 120.0}), reading(8, {"level": 130.0})])
    (step,) = log
    assert step.alarm == f"d1/high/{at(1)}"
    assert (step.n, step.device, step.rule, step.profile, step.profile_version) == (1, "d1", "high", "probe", 3)
    assert step.evidence == {"level": 130.0, "limit": 100}


def test_a_latched_alarm_returns_latched() -> None:
    log, _ = run(profile(rule("high", HIGH, latch=True)), [reading(0, {"level": 120}), reading(1, {"level": 1})])
    assert [step.cause for step in log] == [Cause.RAISE, Cause.RETURN_LATCHED]
    assert fold(log) is AlarmState.LATCHED_UNACKNOWLEDGED


def test_each_raise_is_an_occurrence_of_its_own() -> None:
    log, _ = run(profile(rule("high", HIGH)), [reading(n, {"level": 120 if n % 2 else 1}) for n in range(6)])
    assert [(step.alarm, step.n) for step in log][:4] == [
        (f"d1/high/{at(1)}", 1),
        (f"d1/high/{at(1)}", 2),
        (f"d1/high/{at(3)}", 1),
        (f"d1/high/{at(3)}", 2),
    ]


def test_two_raises_at_one_instant_share_an_occurrence() -> None:
    """Frames with whole seconds may contradict each other within one; the steps still have numbers of their own."""
    log, _ = run(profile(rule("open", OPEN)), [reading(1, {"open": value}) for value in (True, False, True)])
    assert [(step.alarm, step.n) for step in log] == [(f"d1/open/{at(1)}", n) for n in (1, 2, 3)]


def test_a_rule_that_the_profile_lost_is_closed() -> None:
    _, state = run(profile(rule("old", HIGH)), [reading(0, {"level": 120})])
    log, state = run(profile(rule("new", LOW)), [reading(1, {"level": 120})], state)
    assert [(step.rule, step.cause, step.n) for step in log] == [("old", Cause.CONFIG, 2)]
    assert "old" not in state.rules


def test_a_late_reading_says_so() -> None:
    of = profile(rule("high", HIGH))
    _, state = run(of, [reading(5, {"level": 1})])
    judged = judge_reading(of, state, reading(4, {"level": 120}))
    assert (judged.timeliness, judged.transitions, judged.state) == (Timeliness.LATE, (), state)


SILENT = profile(rule("silent", Stale(after_s=60)))


def test_silence_raises_and_the_next_word_ends_it() -> None:
    state = run(SILENT, [reading(0, {"open": True})])[1]
    assert judge_silence(SILENT, state, "d1", 59, at(59)).transitions == ()
    judged = judge_silence(SILENT, state, "d1", 61, at(61))
    assert story(judged.transitions) == [("raise", 61)]
    assert judged.transitions[0].evidence == {"silent_s": 61, "limit": 60}
    again = judge_silence(SILENT, judged.state, "d1", 62, at(62))
    assert again.transitions == ()
    log, _ = run(SILENT, [reading(70, {"open": True})], again.state)
    assert story(log) == [("return", 70)]


def test_a_restart_does_not_end_an_alarm_about_silence() -> None:
    state = judge_silence(SILENT, DeviceState(), "d1", 61, at(61)).state
    assert judge_silence(SILENT, unpack(pack(state)), "d1", 0, at(62)).transitions == ()


def test_even_a_late_word_ends_silence() -> None:
    state = run(SILENT, [reading(100, {"open": True})])[1]
    state = judge_silence(SILENT, state, "d1", 61, at(161)).state
    late = Reading(device="d1", profile="probe", profile_version=3, time_ns=at(50), received_ns=at(170), values={"open": True})
    assert story(run(SILENT, [late], state)[0]) == [("return", 170)]


def test_a_clock_that_jumps_back_does_not_put_the_return_before_the_raise() -> None:
    state = judge_silence(SILENT, DeviceState(), "d1", 61, at(1000)).state
    log, _ = run(SILENT, [reading(5, {"open": True})], state)
    assert story(log) == [("return", 1000)]


def test_silence_makes_other_rules_neither_raise_nor_end() -> None:
    of = profile(rule("high", HIGH), rule("silent", Stale(after_s=60)))
    _, state = run(of, [reading(0, {"level": 120})])
    assert [step.rule for step in judge_silence(of, state, "d1", 61, at(61)).transitions] == ["silent"]


RULES: list[AlarmRule] = [
    rule("high", HIGH, on=3, off=5),
    rule("low", LOW),
    rule("open", OPEN, off=2, latch=True),
    rule("both", All(of=(Not(of=OPEN), AnyOf(of=(HIGH, Bit(metric="bits", bit=1)))))),
]
EVERYTHING = profile(*RULES)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "level": st.one_of(st.none(), st.sampled_from([1.0, 12.0, 50.0, 95.0, 120.0])),
        "open": st.one_of(st.none(), st.booleans()),
        "bits": st.integers(0, 3),
    },
)
DAYS = st.lists(st.lists(st.tuples(st.floats(0.1, 6), VALUES), max_size=20), min_size=1, max_size=4)


def day(device: str, steps: list[tuple[float, dict[str, Value]]]) -> list[Reading]:
    rows, time = [], 0.0
    for gap, values in steps:
        time += gap
        rows.append(reading(time, values or {"count": 1}, device=device))
    return rows


def judged_apart(rows: Sequence[Reading], restart_at: int = -1) -> dict[str, list[Transition]]:
    """What a gateway writes that hears `rows` in this order, for each device; it may be restarted before one of them."""
    states: dict[str, DeviceState] = {}
    log: dict[str, list[Transition]] = {}
    for index, row in enumerate(rows):
        if index == restart_at:
            states = {device: unpack(pack(state)) for device, state in states.items()}
        judged = judge_reading(EVERYTHING, states.get(row.device, DeviceState()), row)
        states[row.device] = judged.state
        log.setdefault(row.device, []).extend(judged.transitions)
    return log


@settings(max_examples=80, deadline=None)
@given(days=DAYS, seed=st.integers(0, 2**32), restart=st.integers(0, 80))
def test_the_log_depends_on_the_readings_alone(days: list[list[tuple[float, dict[str, Value]]]], seed: int, restart: int) -> None:
    """Devices interleaved in any way, readings doubled (now or later), a restart in the middle: the same transitions."""
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    plain = [day(f"d{n}", steps) for n, steps in enumerate(days)]
    expected = judged_apart([row for rows in plain for row in rows])
    mixed: list[Reading] = []
    waiting = [list(rows) for rows in plain]
    while any(waiting):
        mixed.append(chance.choice([rows for rows in waiting if rows]).pop(0))
        if chance.random() < 0.3:
            mixed.append(chance.choice(mixed))
    assert judged_apart(mixed, restart) == expected


@settings(max_examples=80, deadline=None)
@given(days=DAYS)
def test_the_log_is_one_that_the_table_of_states_can_read(days: list[list[tuple[float, dict[str, Value]]]]) -> None:
    """Steps of an occurrence are numbered from 1 without gaps, in the order of event time, and begin with a raise."""
    for log in judged_apart([row for n, steps in enumerate(days) for row in day(f"d{n}", steps)]).values():
        for alarm in {step.alarm for step in log}:
            steps = [step for step in log if step.alarm == alarm]
            assert [step.n for step in steps] == list(range(1, len(steps) + 1))
            assert steps[0].cause is Cause.RAISE
            assert [step.event_time_ns for step in steps] == sorted(step.event_time_ns for step in steps)
            ended = steps[-1].cause in {Cause.RETURN, Cause.RETURN_LATCHED}
            assert (fold(steps) is AlarmState.UNACKNOWLEDGED) is not ended
