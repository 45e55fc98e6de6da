"""The alarm's states on two axes: every row of the table, the graph that they make, and that the order of arrival is nothing."""

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.alarm_states import (
    ACTIVE,
    OPEN,
    SHELF_TABLE,
    SUPPRESSING,
    TABLE,
    AlarmState,
    Shelf,
    Standing,
    Suppression,
    alarm_id,
    fold,
    next_standing,
    place,
    stand,
)
from telemetry.records import Cause, Origin, Priority, Transition, Value

T = 1_763_600_000_000_000_000
S, C = AlarmState, Cause
WHY = (Suppression.SHELVED, Suppression.SUPPRESSED_BY_DESIGN, Suppression.OUT_OF_SERVICE)


def step(cause: Cause, at: int, n: int, origin: Origin = Origin.EDGE, **evidence: Value) -> Transition:
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
        evidence=evidence,
    )


@pytest.mark.parametrize(
    ("before", "cause", "after"),
    [
        pytest.param(S.NORMAL, C.RAISE, S.UNACKNOWLEDGED, id="3 a condition that held for its delay is an alarm"),
        pytest.param(S.UNACKNOWLEDGED, C.ACKNOWLEDGE, S.ACKNOWLEDGED, id="4 somebody has seen it"),
        pytest.param(S.UNACKNOWLEDGED, C.RETURN, S.RETURNED_UNACKNOWLEDGED, id="5 it went before anybody saw it"),
        pytest.param(S.UNACKNOWLEDGED, C.RETURN_LATCHED, S.LATCHED_UNACKNOWLEDGED, id="6 the same of one that latches"),
        pytest.param(S.ACKNOWLEDGED, C.RETURN, S.NORMAL, id="7 it went after somebody saw it"),
        pytest.param(S.ACKNOWLEDGED, C.RETURN_LATCHED, S.LATCHED_ACKNOWLEDGED, id="8 the same of one that latches"),
        pytest.param(S.RETURNED_UNACKNOWLEDGED, C.ACKNOWLEDGE, S.NORMAL, id="9 seen after it went"),
        pytest.param(S.RETURNED_UNACKNOWLEDGED, C.RAISE, S.UNACKNOWLEDGED, id="10 it came again before anybody saw it"),
        pytest.param(S.LATCHED_UNACKNOWLEDGED, C.ACKNOWLEDGE, S.LATCHED_ACKNOWLEDGED, id="11 a latched one is seen"),
        pytest.param(S.LATCHED_UNACKNOWLEDGED, C.RAISE, S.UNACKNOWLEDGED, id="12 a latched one comes again unseen"),
        pytest.param(S.LATCHED_ACKNOWLEDGED, C.RESET, S.NORMAL, id="13 somebody was there and reset it"),
        pytest.param(S.LATCHED_ACKNOWLEDGED, C.RAISE, S.UNACKNOWLEDGED, id="14 a latched one comes again and must be seen again"),
        pytest.param(S.ACKNOWLEDGED, C.PRIORITY_RAISED, S.UNACKNOWLEDGED, id="15 it became worse than what was seen"),
        pytest.param(S.ACKNOWLEDGED, C.PRIORITY_LOWERED, S.ACKNOWLEDGED, id="16 it became less bad"),
        pytest.param(S.UNACKNOWLEDGED, C.PRIORITY_LOWERED, S.UNACKNOWLEDGED, id="16 the same unseen"),
        pytest.param(S.ACKNOWLEDGED, C.RE_ALARM, S.UNACKNOWLEDGED, id="17 seen, and nothing came of it"),
        pytest.param(S.ACKNOWLEDGED, C.RETURN_TO_SERVICE, S.UNACKNOWLEDGED, id="23 back in service it must be seen again"),
        pytest.param(S.UNACKNOWLEDGED, C.BECAME_UNCERTAIN, S.UNACKNOWLEDGED, id="24 missing data clears nothing"),
        pytest.param(S.ACKNOWLEDGED, C.BECAME_UNCERTAIN, S.ACKNOWLEDGED, id="24 the same of one that was seen"),
        *(pytest.param(state, C.CONFIG, S.NORMAL, id=f"26 a rule that is gone ends what is {state}") for state in S),
    ],
)
def test_the_process_axis(before: AlarmState, cause: Cause, after: AlarmState) -> None:
    assert next_standing(Standing(process=before), cause).process is after


@pytest.mark.parametrize("latched", [S.UNACKNOWLEDGED, S.ACKNOWLEDGED, S.LATCHED_UNACKNOWLEDGED])
def test_only_a_latched_alarm_that_was_seen_and_is_over_can_be_reset(latched: AlarmState) -> None:
    assert next_standing(Standing(process=latched), C.RESET).process is latched


def test_what_a_suppression_moves_on_the_process_axis_is_the_return_to_service_alone() -> None:
    moved = {(state, cause) for state, cause in TABLE if cause in SUPPRESSING}
    assert moved == {(S.ACKNOWLEDGED, C.RETURN_TO_SERVICE)}


def everywhere() -> set[Standing]:
    """Every standing that can be reached, with at most two links."""
    moves = [(cause, link) for cause in Cause for link in (("a", "b") if cause in {C.SUPPRESS, C.UNSUPPRESS} else ("",))]
    seen, todo = {Standing()}, deque([Standing()])
    while todo:
        here = todo.popleft()
        for cause, link in moves:
            there = next_standing(here, cause, link)
            if there not in seen:
                seen.add(there)
                todo.append(there)
    return seen


def test_every_pair_of_states_is_reached_and_none_is_a_trap() -> None:
    reached = everywhere()
    pairs = {(here.process, here.suppression) for here in reached}
    assert pairs == {(s, frozenset(why)) for s in S for k in range(4) for why in itertools.combinations(WHY, k)}
    out = [(C.CONFIG, ""), (C.UNSHELVE, ""), (C.UNSUPPRESS, "a"), (C.UNSUPPRESS, "b"), (C.RETURN_TO_SERVICE, "")]
    for here in reached:
        there = here
        for cause, link in out:
            there = next_standing(there, cause, link)
        assert there == Standing(), here


def test_every_cause_moves_something_or_is_kept_by_the_current_row() -> None:
    moving = {cause for _, cause in TABLE} | {cause for _, cause in SHELF_TABLE}
    moving |= {C.SUPPRESS, C.UNSUPPRESS, C.OUT_OF_SERVICE}
    assert set(Cause) - moving == {C.BECAME_UNCERTAIN, C.BECAME_CERTAIN, C.PRIORITY_LOWERED}
    assert {before for before, _ in SHELF_TABLE} == set(SHELF_TABLE.values()) == set(Shelf)
    assert ACTIVE < OPEN < set(S)


def test_what_is_shown_is_the_strongest_suppression_then_the_state() -> None:
    standing = Standing(process=S.ACKNOWLEDGED)
    shown = [standing.shown]
    for cause in (C.SHELVE, C.SUPPRESS, C.OUT_OF_SERVICE, C.RETURN_TO_SERVICE, C.UNSUPPRESS, C.UNSHELVE):
        standing = next_standing(standing, cause, "feeder-3")
        shown.append(standing.shown)
    assert shown == [
        S.ACKNOWLEDGED,
        Suppression.SHELVED,
        Suppression.SUPPRESSED_BY_DESIGN,
        Suppression.OUT_OF_SERVICE,
        Suppression.SUPPRESSED_BY_DESIGN,
        Suppression.SHELVED,
        S.UNACKNOWLEDGED,  # row 23: it was acknowledged before
    ]


def test_what_happened_while_suppressed_is_the_state_afterwards() -> None:
    log = [
        step(C.RAISE, 1, 1),
        step(C.SHELVE, 2, 1, Origin.CLOUD),
        step(C.RETURN, 3, 2),
        step(C.UNSHELVE, 4, 2, Origin.CLOUD),
    ]
    assert stand(log[:3]).shown is Suppression.SHELVED
    assert stand(log) == Standing(process=S.RETURNED_UNACKNOWLEDGED)


def test_two_causes_suppress_until_the_second_has_gone() -> None:
    log = [step(C.SUPPRESS, i, i, by=by) for i, by in ((1, "gw-1"), (2, "works-7"))] + [step(C.UNSUPPRESS, 3, 3, by="gw-1")]
    assert stand(log).suppressed_by == {"works-7"}
    assert stand([*log, step(C.UNSUPPRESS, 4, 4, by="works-7")]) == Standing()


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Transition], list[Transition]]:
    """A log with steps of both origins at whatever times, and the same shuffled with repeats."""
    steps, counts = [], dict.fromkeys(Origin, 0)
    for cause in draw(st.lists(st.sampled_from(list(Cause)), max_size=12)):
        origin = draw(st.sampled_from(list(Origin)))
        counts[origin] += 1
        link = {"by": draw(st.sampled_from("ab"))} if cause in {C.SUPPRESS, C.UNSUPPRESS} else {}
        steps.append(step(cause, draw(st.integers(0, 6)), counts[origin], origin, **link))
    again = draw(st.lists(st.sampled_from(steps), max_size=6)) if steps else []
    return steps, draw(st.permutations(steps + again))


@given(logs())
def test_order_repeats_and_delay_do_not_matter_on_either_axis(log: tuple[list[Transition], list[Transition]]) -> None:
    steps, arrived = log
    assert stand(arrived) == stand(steps)
    assert fold(arrived) is stand(steps).process


@given(logs())
def test_the_suppression_axis_hides_and_does_not_change_what_is_judged(log: tuple[list[Transition], list[Transition]]) -> None:
    """But for row 23, the process states are those of the same log without any suppression."""
    steps = [each for each in log[0] if each.cause is not C.RETURN_TO_SERVICE]
    bare = [each for each in steps if each.cause not in SUPPRESSING]
    assert stand(steps).process is stand(bare).process
    assert stand(steps).suppression == stand([each for each in steps if each.cause in SUPPRESSING]).suppression


def test_steps_at_one_instant_have_one_order() -> None:
    log = [step(C.RAISE, 1, 1), step(C.ACKNOWLEDGE, 1, 1, Origin.CLOUD)]
    assert min(log, key=place).origin is Origin.CLOUD
    assert fold(log) is fold(log[::-1]) is S.UNACKNOWLEDGED


def test_an_occurrence_is_named_after_its_alarm() -> None:
    assert f"d/r/{T}".startswith(alarm_id("d", "r") + "/")
