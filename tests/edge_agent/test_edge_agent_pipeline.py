"""The pipeline: what becomes of a value, of a time, of a reading that nobody needs."""

import math

import pytest
from edge_agent_parts import at, heard, metric, profile, rule
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from device_profiles.model import Above, Profile, Reporting
from device_profiles.quantities import MetricType
from edge_agent.heard import Heard
from edge_agent.pipeline import STEPS, Memory, Work, process
from edge_agent.pipeline.normalise import MAX_AT_ONCE, coerce
from edge_agent.pipeline.work import Doubt
from firmware_bridge.values import Decoded
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

PLAIN = profile()
HIGH = profile(rule("high", Above(metric="level", limit=100)))


def through(thing: Heard, memory: Memory | None = None) -> Work:
    return process(Work(heard=thing, memory=memory or Memory()))


def test_the_order_of_the_steps_is_the_documentation() -> None:
    assert [step.__name__ for step in STEPS] == ["normalise", "check", "judge", "report"]


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        pytest.param(MetricType.FLOAT, 3, 3.0, id="an integer is good for a float"),
        pytest.param(MetricType.FLOAT, 3.5, 3.5, id="a float is a float"),
        pytest.param(MetricType.FLOAT, True, Reason.WRONG_TYPE, id="a boolean is no float"),
        pytest.param(MetricType.FLOAT, "3", Reason.WRONG_TYPE, id="a text is no float"),
        pytest.param(MetricType.FLOAT, math.nan, Reason.NOT_A_NUMBER, id="NaN is refused"),
        pytest.param(MetricType.FLOAT, math.inf, Reason.NOT_A_NUMBER, id="infinity is refused"),
        pytest.param(MetricType.FLOAT, 2**63, Reason.OUT_OF_RANGE, id="an integer beyond 64 bits is refused for a float"),
        pytest.param(MetricType.FLOAT, 10**400, Reason.OUT_OF_RANGE, id="an integer beyond every float is refused"),
        pytest.param(MetricType.INTEGER, 3, 3, id="an integer is an integer"),
        pytest.param(MetricType.INTEGER, 3.0, 3, id="a float without a fraction is good for an integer"),
        pytest.param(MetricType.INTEGER, 3.5, Reason.WRONG_TYPE, id="a fraction is no integer"),
        pytest.param(MetricType.INTEGER, 1e300, Reason.WRONG_TYPE, id="a float too large to be exact is no integer"),
        pytest.param(MetricType.INTEGER, False, Reason.WRONG_TYPE, id="a boolean is no integer"),
        pytest.param(MetricType.INTEGER, -(2**63), -(2**63), id="the smallest 64-bit integer is kept"),
        pytest.param(MetricType.INTEGER, 2**63, Reason.OUT_OF_RANGE, id="one beyond the largest is refused"),
        pytest.param(MetricType.BOOLEAN, True, True, id="a boolean is a boolean"),
        pytest.param(MetricType.BOOLEAN, 1, Reason.WRONG_TYPE, id="1 is no boolean"),
        pytest.param(MetricType.STRING, "on", "on", id="a text is a text"),
        pytest.param(MetricType.STRING, 5, Reason.WRONG_TYPE, id="a number is no text"),
        pytest.param(MetricType.STRING, "x" * 1025, Reason.OVERSIZED, id="a text that is too long is refused"),
        pytest.param(MetricType.STRING, "\ud83d", Reason.BAD_FIELD, id="half a surrogate pair is refused"),
        pytest.param(MetricType.FLOAT, None, None, id="the device may say that it has no value"),
    ],
)
def test_a_value_becomes_its_metrics_type_or_is_refused(kind: MetricType, raw: Value, expected: object) -> None:
    value = coerce(metric("m", kind), raw)
    if isinstance(expected, Reason):
        assert isinstance(value, Doubt)
        assert value.reason is expected
    else:
        assert value == expected
        assert type(value) is type(expected)


def test_a_wrong_value_is_refused_alone() -> None:
    work = through(heard({"level": "deep", "nonsense": 1, "open": True}, of=PLAIN))
    assert work.reading is not None
    assert work.reading.values == {"open": True}
    assert [doubt.reason for doubt in work.doubts] == [Reason.WRONG_TYPE, Reason.UNKNOWN_METRIC]


@pytest.mark.parametrize(
    "values", [pytest.param({}, id="nothing in it"), pytest.param({"level": "deep"}, id="nothing of use in it")]
)
def test_a_reading_without_a_value_is_refused(values: dict[str, Value]) -> None:
    work = through(heard(values, of=PLAIN))
    assert work.reading is None
    assert work.doubts


def test_a_value_that_the_device_does_not_have_is_bad() -> None:
    work = through(heard({"level": None}, of=PLAIN))
    assert work.reading is not None
    assert work.reading.flaws == {"level": Flaw(Quality.BAD, Reason.NO_VALUE)}


def test_what_the_codec_found_wrong_stays_wrong() -> None:
    flaw = Flaw(Quality.BAD, Reason.NOT_IN_ENUM)
    thing = Heard(device="d1", profile=PLAIN, received_ns=at(0), decoded=Decoded(values={"level": None}, flaws={"level": flaw}))
    work = through(thing)
    assert work.reading is not None
    assert work.reading.flaws == {"level": flaw}


@pytest.mark.parametrize(
    ("told", "expected", "reason"),
    [
        pytest.param(None, at(0), None, id="no time of its own: when it was received"),
        pytest.param(at(-86_400 * 30), at(-86_400 * 30), None, id="a month of backlog is plausible"),
        pytest.param(at(300), at(300), None, id="five minutes ahead is plausible"),
        pytest.param(at(301), at(0), Reason.FUTURE_TIME, id="more than five minutes ahead is not"),
        pytest.param(4_291_747_200 * 10**9, at(0), Reason.FUTURE_TIME, id="2106 is not"),
        pytest.param(946_684_800 * 10**9, 946_684_800 * 10**9, None, id="the year 2000 begins it"),
        pytest.param(946_684_800 * 10**9 - 1, at(0), Reason.IMPLAUSIBLE_TIME, id="before 2000 is not"),
        pytest.param(0, at(0), Reason.IMPLAUSIBLE_TIME, id="1970 is not"),
        pytest.param(-5, at(0), Reason.IMPLAUSIBLE_TIME, id="before 1970 is not"),
    ],
)
def test_the_time_of_a_reading(told: int | None, expected: int, reason: Reason | None) -> None:
    work = through(heard({"level": 1.0, "open": True}, of=PLAIN, time_ns=told))
    assert work.reading is not None
    assert work.reading.time_ns == expected
    flaw = Flaw(Quality.UNCERTAIN, reason) if reason else None
    assert dict(work.reading.flaws) == ({"level": flaw, "open": flaw} if flaw else {})
    assert [doubt.reason for doubt in work.doubts] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("value", "good"),
    [
        pytest.param(0.0, True, id="the lower bound is inside"),
        pytest.param(500.0, True, id="the upper bound is inside"),
        pytest.param(-0.1, False, id="below is outside"),
        pytest.param(500.1, False, id="above is outside"),
    ],
)
def test_a_value_outside_its_range_is_kept_and_bad(value: float, good: bool) -> None:
    work = through(heard({"level": value, "open": True}, of=PLAIN))
    assert work.reading is not None
    assert work.reading.values["level"] == value
    assert work.reading.flaws == ({} if good else {"level": Flaw(Quality.BAD, Reason.OUT_OF_RANGE)})


def test_a_value_outside_its_range_and_with_a_wrong_time_is_bad_not_uncertain() -> None:
    work = through(heard({"level": 900.0}, of=PLAIN, time_ns=0))
    assert work.reading is not None
    assert work.reading.quality("level") is Quality.BAD


def test_a_value_outside_its_range_raises_nothing() -> None:
    assert through(heard({"level": 400.0}, of=HIGH)).transitions
    assert not through(heard({"level": 900.0}, of=HIGH)).transitions


def test_a_late_reading_is_kept_and_counted() -> None:
    memory = through(heard({"level": 1.0}, of=HIGH, time_ns=at(10), received=10)).memory
    work = through(heard({"level": 400.0}, of=HIGH, time_ns=at(5), received=11), memory)
    assert work.send
    assert not work.transitions
    assert [doubt.reason for doubt in work.doubts] == [Reason.LATE]


CALM = Reporting(interval_s=10, on_change=True, heartbeat_s=60, deadband={"level": 2.0})


@pytest.mark.parametrize(
    ("seconds", "values", "sent"),
    [
        pytest.param(1, {"level": 50.0, "open": False}, False, id="the same again is held back"),
        pytest.param(1, {"level": 52.0, "open": False}, False, id="a move within the deadband is held back"),
        pytest.param(1, {"level": 52.1, "open": False}, True, id="a move beyond the deadband goes"),
        pytest.param(1, {"level": 50.0, "open": True}, True, id="any change of a metric without a deadband goes"),
        pytest.param(1, {"level": None, "open": False}, True, id="a value that is gone goes"),
        pytest.param(1, {"level": 50.0}, False, id="a part of the same is held back"),
        pytest.param(1, {"level": 50.0, "count": 1}, True, id="a metric not sent before goes"),
        pytest.param(60, {"level": 50.0, "open": False}, True, id="the heartbeat goes"),
        pytest.param(-1, {"level": 50.0, "open": False}, True, id="an older reading goes: it cannot be compared"),
    ],
)
def test_what_goes_to_the_cloud(seconds: float, values: dict[str, Value], sent: bool) -> None:
    of = profile(reporting=CALM)
    memory = through(heard({"level": 50.0, "open": False}, of=of)).memory
    assert through(heard(values, of=of, time_ns=at(seconds), received=max(seconds, 0)), memory).send is sent


def test_a_part_that_leaves_out_what_has_no_value_is_no_news() -> None:
    of = profile(reporting=CALM)
    memory = through(heard({"level": 50.0, "count": None}, of=of)).memory
    assert not through(heard({"level": 50.0}, of=of, received=1), memory).send
    assert through(heard({"level": None}, of=of, received=1), memory).send


def test_without_on_change_everything_goes() -> None:
    memory = through(heard({"level": 50.0}, of=PLAIN)).memory
    assert through(heard({"level": 50.0}, of=PLAIN, received=1), memory).send


def test_many_small_moves_go_once_they_add_up() -> None:
    of, memory, sent = profile(reporting=CALM), Memory(), []
    for n in range(7):
        work = through(heard({"level": 50.0 + n}, of=of, received=n), memory)
        memory, sent = work.memory, [*sent, work.send]
    assert sent == [True, False, False, True, False, False, True]


def test_a_reading_that_moved_an_alarm_goes_in_any_case() -> None:
    of = profile(rule("high", Above(metric="level", limit=51)), reporting=CALM)
    memory = through(heard({"level": 50.5}, of=of)).memory
    work = through(heard({"level": 51.5}, of=of, received=1), memory)
    assert work.transitions
    assert work.send


def test_the_steps_do_not_change_what_they_are_given() -> None:
    thing = heard({"level": 900.0}, of=HIGH, time_ns=0)
    before = replace(thing)
    through(thing)
    assert thing == before


VALUES = st.dictionaries(
    st.sampled_from(["level", "count", "open", "speed_kmh", "state", "bits", "other"]),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
)


@given(values=VALUES, told=st.one_of(st.none(), st.integers(-(2**70), 2**70)))
def test_nothing_that_a_device_says_stops_the_pipeline(values: dict[str, Value], told: int | None) -> None:
    """The promise: whatever the values, a valid reading or a counted refusal; no number out of its type, none not finite."""
    of: Profile = HIGH
    work = through(heard(values, of=of, time_ns=told))
    if work.reading is None:
        assert work.doubts
        return
    for name, value in work.reading.values.items():
        assert value is None or isinstance(value, bool | str) or math.isfinite(value)
        kind = of.metrics[name].type
        assert value is None or (kind is MetricType.FLOAT) == isinstance(value, float)
        assert (value is None) <= (work.reading.quality(name) is Quality.BAD)


def _told(*levels: float, at_s: float = 10) -> list[int]:
    """The event times, from the instant on, of what a device said of one instant."""
    memory, times = Memory(), []
    for level in levels:
        work = through(heard({"level": level}, of=PLAIN, time_ns=at(at_s), received=at_s), memory)
        assert work.reading is not None
        memory = work.memory
        times.append(work.reading.time_ns - at(at_s))
    return times


def test_two_things_said_of_one_second_are_both_kept() -> None:
    assert _told(1, 2, 3) == [0, 1, 2]


def test_a_repeat_falls_on_the_place_of_its_first() -> None:
    assert _told(1, 2, 1, 2) == [0, 1, 0, 1]


def test_what_is_kept_apart_is_bounded() -> None:
    assert _told(*range(100))[-1] == MAX_AT_ONCE - 1
