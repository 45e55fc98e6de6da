"""However cases are pushed about, by whomever, what must always hold of them holds."""

import random

import pytest
from cloud_workflow_deeds import DAY, T0, deed, reported

from cloud.workflow.case import Appeal, Asked, Case, DeviceSays, Policy
from cloud.workflow.states import ASSIGNED, Clock, Role, State, Step
from cloud.workflow.step import step, steps_from
from cloud.workflow.table import TABLE
from cloud.workflow.terms import Does

_POLICY = Policy()
_HANDLE_RUNS = {State.DISPATCHED, State.HANDLING, State.DEPARTMENT_REVIEW}
_PEOPLE = ("crew-1", "collector-1", "wang", "li")


def check(case: Case) -> None:
    """What holds of every case at every time."""
    assert case.paused == ({Clock.HANDLE} if case.state is State.HOLD else set())
    assert len(case.running) <= 1
    assert (Clock.HANDLE in case.running) == (case.state in _HANDLE_RUNS)
    assert (case.hold_until_ns is not None) == (case.state is State.HOLD)
    assert case.extensions <= _POLICY.extensions
    assert case.holds <= _POLICY.holds
    assert bool(case.assignee) == (case.state in ASSIGNED)
    assert (case.asked is Asked.NOTHING) or case.state in _HANDLE_RUNS
    assert (case.asked is Asked.NOTHING) == (not case.asked_by)
    assert (case.closed_ns is not None) == (case.state is State.CLOSED) == bool(case.closing_standard)
    assert not case.exempt or (case.overdue and case.appeal is Appeal.GRANTED)
    assert not case.checked or case.state is State.CHECKING
    assert case.reopened <= case.reworks
    assert bool(case.filing_standard) or case.state in {State.REPORTED, State.VERIFYING, State.VOID}
    assert bool(case.department) or case.state in {State.REPORTED, State.VERIFYING, State.VOID, State.FILED}


def only_grows(before: Case, after: Case) -> None:
    """Facts are not taken back."""
    for name in ("extensions", "holds", "reworks", "supervisions", "reopened", "overdue"):
        assert getattr(after, name) >= getattr(before, name)


def pushed(case: Case, chance: random.Random, at: int) -> tuple[Step, Case | None]:
    """One deed by anybody, most of them sensible; None where it is refused."""
    what = chance.choice(list(Step)) if chance.random() < 0.1 else chance.choice([*steps_from(case.state)] or [Step.FILE])
    row = TABLE.get((case.state, what))
    role = chance.choice(sorted(row.roles)) if row and chance.random() < 0.9 else chance.choice(list(Role))
    after = step(
        case,
        deed(
            what,
            role,
            at=at,
            actor=case.assignee if case.assignee and chance.random() < 0.5 else chance.choice(_PEOPLE),
            assignee=chance.choice(_PEOPLE),
            device_says=chance.choice(list(DeviceSays)),
            overdue=chance.random() < 0.3,
            until_ns=at + chance.randrange(-1, 400) * DAY,
        ),
    )
    return what, after if isinstance(after, Case) else None


@pytest.mark.parametrize("seed", range(4))
def test_a_random_walk_breaks_nothing(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a repeatable walk, no secret
    taken: set[tuple[State, Step]] = set()
    for _ in range(150):
        case, at = reported(), T0
        for _ in range(80):
            at += chance.randrange(3 * DAY)
            what, after = pushed(case, chance, at)
            if after is None:
                continue
            taken.add((case.state, what))
            check(after)
            only_grows(case, after)
            case = after
    assert len(taken) > 0.8 * len(TABLE)


def test_a_clock_is_resumed_only_where_it_was_stopped_or_paused_before_and_extended_only_while_it_runs() -> None:
    chance = random.Random(7)  # noqa: S311 - a repeatable walk, no secret
    turns = 0
    for _ in range(100):
        case, at, seen = reported(), T0, {Clock.ACCEPT}
        for _ in range(60):
            at += chance.randrange(3 * DAY)
            what, after = pushed(case, chance, at)
            for turn in () if after is None else TABLE[case.state, what].turns:
                turns += 1
                assert turn.does is not Does.RESUMES or (turn.clock in seen and turn.clock not in case.running)
                assert turn.does not in {Does.EXTENDS, Does.PAUSES} or turn.clock in case.running
                seen.add(turn.clock)
            case = after or case
    assert turns > 500
