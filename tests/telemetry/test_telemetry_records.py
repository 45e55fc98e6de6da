"""Records that exist are valid; alarms fold to one state however their transitions arrive; topics parse back."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from telemetry.alarm_states import ACTIVE, OPEN, TABLE, AlarmState, fold, next_state
from telemetry.broker import MqttVersion, VersionChoice, broker_address
from telemetry.clock import SECOND_NS, ManualClock, SystemClock
from telemetry.reason import Reason
from telemetry.records import (
    Cause,
    Command,
    CommandResult,
    ContractError,
    Lane,
    LossRecord,
    Origin,
    Outcome,
    Priority,
    Quality,
    Reading,
    Transition,
    check_id,
)
from telemetry.topics import Channel, all_gateways, channel, parse

T = 1_763_600_000_000_000_000


def reading(**changes: object) -> Reading:
    fields = {"device": "d", "profile": "p", "profile_version": 1, "time_ns": T, "received_ns": T, "values": {"a": 1}}
    return Reading(**(fields | changes))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"device": ""}, id="a device without a name"),
        pytest.param({"device": "a/b"}, id="an id that would break a topic"),
        pytest.param({"device": "x" * 65}, id="an id that is too long"),
        pytest.param({"profile": ""}, id="a profile without a name"),
        pytest.param({"profile": "p" * 65}, id="a profile's name that is too long"),
        pytest.param({"time_ns": 0}, id="no time"),
        pytest.param({"time_ns": 2**63}, id="a time after the end of 64 bits"),
        pytest.param({"flaws": {"b": None}}, id="a flaw of a metric that is not there"),
    ],
)
def test_an_impossible_reading_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        reading(**changes)


def test_a_value_without_a_flaw_is_good_and_one_that_is_not_there_has_no_quality() -> None:
    assert reading().quality("a") is Quality.GOOD
    with pytest.raises(KeyError):
        reading().quality("b")


def test_a_loss_counts_both_ends() -> None:
    loss = LossRecord(
        lane=Lane.READINGS, epoch="e", seq_from=5, seq_to=9, bytes=1, time_from_ns=T, time_to_ns=T, reason=Reason.OUTBOX_FULL
    )
    assert loss.count == 5
    with pytest.raises(ContractError):
        LossRecord(
            lane=Lane.READINGS, epoch="e", seq_from=5, seq_to=4, bytes=1, time_from_ns=T, time_to_ns=T, reason=Reason.OUTBOX_FULL
        )


def step(cause: Cause, at: int, n: int, origin: Origin = Origin.EDGE) -> Transition:
    return Transition(
        alarm="d/r/1",
        origin=origin,
        n=n,
        device="d",
        rule="r",
        profile="p",
        profile_version=1,
        cause=cause,
        priority=Priority.HIGH,
        event_time_ns=T + at,
        recorded_ns=T,
        actor="edge:g",
    )


LOSS = LossRecord(
    lane=Lane.READINGS, epoch="e", seq_from=5, seq_to=9, bytes=1, time_from_ns=0, time_to_ns=T, reason=Reason.OUTBOX_FULL
)
COMMAND = Command(
    id="c", gateway="g", device="d", action="a", args={"on": True}, actor="user:li", counter=0, issued_ns=T, ttl_s=60
)
RESULT = CommandResult(id="c", device="d", outcome=Outcome.DONE, time_ns=T)
STEP = step(Cause.RAISE, 1, 1)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(replace(STEP, rule="r" * 64, note="n" * 2000, actor="a" * 128), id="a transition's longest texts"),
        pytest.param(replace(STEP, evidence={f"m{i}": "x" * 1024 for i in range(64)}), id="the most evidence"),
        pytest.param(replace(LOSS, seq_to=2**53 - 1, bytes=2**62 - 1, epoch="e" * 64), id="the largest loss"),
        pytest.param(replace(COMMAND, counter=2**62 - 1, ttl_s=0), id="the last command"),
        pytest.param(replace(RESULT, detail="x" * 2000), id="the longest detail"),
    ],
)
def test_what_is_just_within_its_bounds_is_a_record(record: object) -> None:
    assert record is not None


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        pytest.param(STEP, {"rule": "r" * 65}, id="a rule's name that is too long"),
        pytest.param(STEP, {"profile": ""}, id="a transition of no profile"),
        pytest.param(STEP, {"actor": "a" * 129}, id="an actor's name that is too long"),
        pytest.param(STEP, {"note": "n" * 2001}, id="a note that is too long"),
        pytest.param(STEP, {"evidence": {f"m{i}": i for i in range(65)}}, id="too much evidence"),
        pytest.param(STEP, {"evidence": {"m": "x" * 1025}}, id="a text in evidence that is too long"),
        pytest.param(STEP, {"evidence": {"m" * 129: 1}}, id="a name in evidence that is too long"),
        pytest.param(LOSS, {"seq_to": 2**62}, id="a loss without end"),
        pytest.param(LOSS, {"bytes": -1}, id="fewer bytes than none lost"),
        pytest.param(LOSS, {"epoch": "e" * 65}, id="an epoch that is too long"),
        pytest.param(LOSS, {"epoch": ""}, id="a loss of no epoch"),
        pytest.param(LOSS, {"time_from_ns": -1}, id="a loss before the epoch of time"),
        pytest.param(LOSS, {"time_to_ns": 2**63}, id="a loss after the end of 64 bits"),
        pytest.param(COMMAND, {"id": ""}, id="a command without a name"),
        pytest.param(COMMAND, {"gateway": "a/b"}, id="a command for what is no gateway"),
        pytest.param(COMMAND, {"action": "a" * 65}, id="an action's name that is too long"),
        pytest.param(COMMAND, {"args": {"m": "x" * 1025}}, id="an argument that is too long"),
        pytest.param(COMMAND, {"counter": 2**62}, id="a counter without end"),
        pytest.param(COMMAND, {"counter": -1}, id="a counter below 0"),
        pytest.param(COMMAND, {"ttl_s": -1}, id="a command that was never good"),
        pytest.param(RESULT, {"id": "c" * 65}, id="a command's name that is too long"),
        pytest.param(RESULT, {"device": ""}, id="a result of no device"),
        pytest.param(RESULT, {"time_ns": 0}, id="a result at no time"),
        pytest.param(RESULT, {"detail": "x" * 2001}, id="a detail that is too long"),
    ],
)
def test_what_is_beyond_its_bounds_cannot_be_made(record: Struct, changes: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        replace(record, **changes)


STORY = [
    step(Cause.RAISE, 1, 1),
    step(Cause.ACKNOWLEDGE, 2, 1, Origin.CLOUD),
    step(Cause.RETURN, 3, 2),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_transitions_fold_to_the_same_state_in_every_order(order: tuple[int, ...]) -> None:
    assert fold(STORY[i] for i in order) is AlarmState.NORMAL


def test_a_condition_that_came_and_went_unseen_still_waits_for_a_person() -> None:
    assert fold([STORY[0], STORY[2]]) is AlarmState.RETURNED_UNACKNOWLEDGED


def test_every_state_can_be_reached_and_left() -> None:
    assert {to for _, to in [(None, AlarmState.NORMAL), *((k, v) for k, v in TABLE.items())]} == set(AlarmState)
    assert {state for state, _ in TABLE} == set(AlarmState)


def test_what_the_table_does_not_name_changes_nothing() -> None:
    assert next_state(AlarmState.NORMAL, Cause.ACKNOWLEDGE) is AlarmState.NORMAL
    assert ACTIVE < OPEN


@pytest.mark.parametrize("what", list(Channel))
def test_a_topic_reads_back_as_it_was_made(what: Channel) -> None:
    assert parse(channel("gw-1", what)) == ("gw-1", what)
    assert all_gateways(what) == f"gw/+/{what}"


@given(st.text(max_size=60))
def test_a_foreign_topic_is_none_of_ours(topic: str) -> None:
    parsed = parse(topic)
    assert parsed is None or channel(*parsed) == topic


def test_an_id_is_refused_before_it_becomes_a_topic() -> None:
    with pytest.raises(ContractError):
        channel("gw/+", Channel.HELLO)
    assert check_id("gw-1.a:b_c", "gateway") == "gw-1.a:b_c"


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(wall_ns=T)
    clock.advance(1.5)
    assert (clock.wall_ns(), clock.monotonic_ns()) == (T + 3 * SECOND_NS // 2, 3 * SECOND_NS // 2)
    clock.set_wall(T)
    assert (clock.wall_ns(), clock.monotonic_ns()) == (T, 3 * SECOND_NS // 2)


def test_the_system_clock_is_the_machine_s() -> None:
    clock = SystemClock()
    assert clock.wall_ns() > 1_700_000_000 * SECOND_NS
    assert clock.monotonic_ns() <= clock.monotonic_ns()


def test_mqtt_5_is_spoken_until_a_broker_refuses_it() -> None:
    choice = VersionChoice()
    assert choice.current is MqttVersion.V5
    assert choice.failed(refused=True)
    assert choice.current is MqttVersion.V311
    choice.connected()
    assert not choice.failed(refused=False)
    assert choice.current is MqttVersion.V311


def test_a_broker_that_only_hangs_up_is_tried_with_both_versions() -> None:
    choice = VersionChoice()
    assert [choice.failed(refused=False) and choice.current for _ in range(3)] == [
        MqttVersion.V311,
        MqttVersion.V5,
        MqttVersion.V311,
    ]


def test_another_broker_in_the_old_one_s_place_may_refuse_what_once_worked() -> None:
    choice = VersionChoice()
    choice.connected()
    assert choice.failed(refused=True)
    assert choice.current is MqttVersion.V311


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://h", ("h", 1883, False, None)),
        ("mqtts://h", ("h", 8883, True, None)),
        ("mqtt://h:5", ("h", 5, False, None)),
        ("mqtt://[::1]:5", ("::1", 5, False, None)),
        ("mqtt://h?version=3.1.1", ("h", 1883, False, MqttVersion.V311)),
    ],
)
def test_a_broker_s_address(url: str, expected: tuple[str, int, bool, MqttVersion | None]) -> None:
    assert broker_address(url) == expected


@pytest.mark.parametrize(
    "url", ["", "h:1883", "http://h", "mqtt://", "mqtt://u:p@h", "mqtt://h:x", "mqtt://h/path", "mqtt://h?v=5"]
)
def test_what_is_no_broker_s_address(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        broker_address(url)


def test_a_version_that_the_address_states_is_the_only_one() -> None:
    choice = VersionChoice(MqttVersion.V311)
    assert not choice.failed(refused=True)
    assert choice.current is MqttVersion.V311
