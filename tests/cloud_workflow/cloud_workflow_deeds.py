"""Deeds that carry all that any step needs, and the shortest way into every state."""

from typing import Any

from msgspec.structs import replace

from cloud.workflow.case import Case, Deed, DeviceSays, Refused
from cloud.workflow.states import Role, State, Step
from cloud.workflow.step import report, step
from cloud.workflow.table import TABLE
from telemetry.clock import SECOND_NS

T0 = 1_760_000_000 * SECOND_NS
DAY = 86400 * SECOND_NS

# The person of each role; the crew's member and the collector are who tasks are given to.
WHO = {role: f"{role}-1" for role in Role}
TASK_OF = {State.VERIFYING: "collector-1", State.HANDLING: "crew-1", State.CHECKING: "collector-1"}


def deed(what: Step, role: Role, *, at: int = T0, **more: Any) -> Deed:
    """A deed by the role's person with everything a step can need."""
    whole = Deed(
        step=what,
        actor=WHO[role],
        role=role,
        at_ns=at,
        note="as found",
        reason="because",
        photos=("photo-1",),
        position=(120.6, 31.3),
        standard="0103-1",
        until_ns=at + 30 * DAY,
        department="roads",
        assignee="crew-1" if what is Step.ASSIGN else "collector-1",
        device_says=DeviceSays.NOTHING,
    )
    return replace(whole, **more)


def done(case: Case, what: Step, role: Role, **more: Any) -> Case:
    """The case after a step that must be taken."""
    after = step(case, deed(what, role, **more))
    assert isinstance(after, Case), after
    return after


def refused(case: Case, what: Step, role: Role, **more: Any) -> Refused:
    """The refusal of a step that must not be taken."""
    said = step(case, deed(what, role, **more))
    assert isinstance(said, Refused), said
    return said


# The way of a case without detours: step and role.
ROAD = (
    (Step.FILE, Role.OPERATOR),
    (Step.DISPATCH, Role.DISPATCHER),
    (Step.ASSIGN, Role.DEPARTMENT),
    (Step.SUBMIT, Role.CREW),
    (Step.CONFIRM, Role.DEPARTMENT),
    (Step.CHECK, Role.OPERATOR),
    (Step.CHECKED, Role.COLLECTOR),
    (Step.PASS, Role.OPERATOR),
)


def reported(**more: Any) -> Case:
    case = report(deed(Step.REPORT, Role.COLLECTOR, **more))
    assert isinstance(case, Case)
    return case


def case_in(state: State, **more: Any) -> Case:
    """A case that came to `state` by the road, or by the one step beside it."""
    case = reported()
    match state:
        case State.VERIFYING:
            return done(case, Step.VERIFY, Role.OPERATOR)
        case State.VOID:
            return done(case, Step.VOID, Role.OPERATOR)
        case State.HOLD:
            case = done(case_in(State.DISPATCHED), Step.ASK_HOLD, Role.DEPARTMENT)
            return done(case, Step.GRANT_HOLD, Role.SUPERVISOR)
    for what, role in ROAD:
        if case.state is state:
            break
        case = done(case, what, role, **more)
    assert case.state is state
    return case


def role_for(state: State, what: Step) -> Role:
    """One role that may do it, the same each time."""
    return min(TABLE[state, what].roles)
