"""The table of the workflow as a graph: everything can be reached and left, and what is not in it is refused."""

import pytest
from cloud_workflow_deeds import case_in, deed, role_for

from cloud.workflow.case import Refused
from cloud.workflow.guards import GUARDS
from cloud.workflow.states import CLOCK_WORDS, ENDED, ROLE_WORDS, STATE_WORDS, STEP_WORDS, Clock, Role, State, Step
from cloud.workflow.step import report, step, steps_from
from cloud.workflow.table import OPENING, ROWS, TABLE
from cloud.workflow.terms import DOES_WORDS, GUARD_WORDS, NEED_WORDS, TOLD_WORDS, Does, Guard, Need, Told
from telemetry.reason import Reason

NEXT = {state: {row.after for row in ROWS if row.before is state} for state in State}

# The states in the order of the road; a hold stands beside the road.
STAGES = (
    State.REPORTED,
    State.FILED,
    State.DISPATCHED,
    State.HANDLING,
    State.DEPARTMENT_REVIEW,
    State.FEEDBACK,
    State.CHECKING,
    State.CLOSED,
)

# The clock that runs in a state, as the state table of city management has it.
CLOCK_OF = {
    State.REPORTED: Clock.ACCEPT,
    State.VERIFYING: Clock.VERIFY,
    State.FILED: Clock.DISPATCH,
    State.DISPATCHED: Clock.HANDLE,
    State.HANDLING: Clock.HANDLE,
    State.DEPARTMENT_REVIEW: Clock.HANDLE,
    State.CHECKING: Clock.CHECK,
}

# The rows of that table: state, who, what, where it leads.
REFERENCE = (
    (None, Role.COLLECTOR, Step.REPORT, State.REPORTED),
    (None, Role.OPERATOR, Step.REPORT, State.REPORTED),
    (None, Role.SYSTEM, Step.REPORT, State.REPORTED),
    (State.REPORTED, Role.OPERATOR, Step.VERIFY, State.VERIFYING),
    (State.REPORTED, Role.OPERATOR, Step.FILE, State.FILED),
    (State.REPORTED, Role.SYSTEM, Step.FILE, State.FILED),
    (State.REPORTED, Role.OPERATOR, Step.VOID, State.VOID),
    (State.VERIFYING, Role.COLLECTOR, Step.FOUND, State.REPORTED),
    (State.VERIFYING, Role.COLLECTOR, Step.NOT_FOUND, State.REPORTED),
    (State.FILED, Role.DISPATCHER, Step.DISPATCH, State.DISPATCHED),
    (State.FILED, Role.SYSTEM, Step.DISPATCH, State.DISPATCHED),
    (State.DISPATCHED, Role.DEPARTMENT, Step.ASSIGN, State.HANDLING),
    (State.DISPATCHED, Role.DEPARTMENT, Step.RETURN, State.FILED),
    (State.HANDLING, Role.CREW, Step.SUBMIT, State.DEPARTMENT_REVIEW),
    (State.HANDLING, Role.CREW, Step.RETURN, State.DISPATCHED),
    (State.HANDLING, Role.DEPARTMENT, Step.REVOKE, State.DISPATCHED),
    (State.DEPARTMENT_REVIEW, Role.DEPARTMENT, Step.CONFIRM, State.FEEDBACK),
    (State.DEPARTMENT_REVIEW, Role.DEPARTMENT, Step.REWORK, State.HANDLING),
    (State.FEEDBACK, Role.OPERATOR, Step.CHECK, State.CHECKING),
    (State.FEEDBACK, Role.OPERATOR, Step.REWORK, State.DISPATCHED),
    (State.CHECKING, Role.OPERATOR, Step.PASS, State.CLOSED),
    (State.CHECKING, Role.COLLECTOR, Step.FAIL, State.DISPATCHED),
    (State.CHECKING, Role.SUPERVISOR, Step.OVERRIDE, State.CLOSED),
    (State.CLOSED, Role.SUPERVISOR, Step.REOPEN, State.DISPATCHED),
    (State.CLOSED, Role.SYSTEM, Step.REOPEN, State.DISPATCHED),
    (State.HANDLING, Role.SUPERVISOR, Step.GRANT_HOLD, State.HOLD),
    (State.HOLD, Role.SYSTEM, Step.HOLD_OVER, State.DISPATCHED),
    (State.HANDLING, Role.SUPERVISOR, Step.GRANT_EXTENSION, State.HANDLING),
    (State.HANDLING, Role.SUPERVISOR, Step.SUPERVISE, State.HANDLING),
    (State.CLOSED, Role.DEPARTMENT, Step.APPEAL, State.CLOSED),
)


def reach(start: State) -> set[State]:
    seen, todo = {start}, [start]
    while todo:
        for state in NEXT[todo.pop()] - seen:
            seen.add(state)
            todo.append(state)
    return seen


def test_every_state_is_reached_from_a_report() -> None:
    assert OPENING.after is State.REPORTED
    assert reach(OPENING.after) == set(State)


@pytest.mark.parametrize("state", State)
def test_every_state_leads_to_an_end(state: State) -> None:
    assert reach(state) & ENDED


def test_only_a_void_case_has_no_step_left() -> None:
    assert [state for state in State if not steps_from(state)] == [State.VOID]


def test_a_pair_of_state_and_step_has_one_row() -> None:
    assert len(TABLE) == len(ROWS)


def test_every_row_has_a_role_and_every_role_a_row() -> None:
    assert all(row.roles for row in (OPENING, *ROWS))
    assert frozenset[Role]().union(*(row.roles for row in ROWS)) == set(Role)


def test_every_step_need_guard_and_listener_is_used() -> None:
    every = (OPENING, *ROWS)
    assert {row.step for row in every} == set(Step)
    assert {need for row in every for need in row.needs} == set(Need)
    assert {guard for row in every for guard in row.guards} == set(Guard) == set(GUARDS)
    assert {told for row in every for told in row.tells} == set(Told)
    assert {turn.does for row in every for turn in row.turns} == set(Does)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (State, STATE_WORDS),
        (Role, ROLE_WORDS),
        (Step, STEP_WORDS),
        (Clock, CLOCK_WORDS),
        (Need, NEED_WORDS),
        (Guard, GUARD_WORDS),
        (Does, DOES_WORDS),
        (Told, TOLD_WORDS),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_every_word_is_there_in_both_languages(kind: type, words: dict[str, object]) -> None:
    assert list(words) == list(kind)  # type: ignore[call-overload]
    for text in words.values():
        assert any("\u4e00" <= letter <= "\u9fff" for letter in text.zh)  # type: ignore[attr-defined]
        assert text.en.isascii()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("before", "role", "what", "after"), REFERENCE)
def test_a_row_of_the_published_table_is_here(before: State | None, role: Role, what: Step, after: State) -> None:
    row = OPENING if before is None else TABLE[before, what]
    assert (row.step, row.after) == (what, after)
    assert role in row.roles


@pytest.mark.parametrize("state", State)
def test_a_pair_that_is_not_in_the_table_is_refused(state: State) -> None:
    case = case_in(state)
    for what in set(Step) - set(steps_from(state)):
        for role in Role:
            said = step(case, deed(what, role))
            assert isinstance(said, Refused)
            assert said.reason is Reason.CONFLICT
            assert STATE_WORDS[state].en in said.detail


@pytest.mark.parametrize("state", State)
def test_a_role_that_the_row_does_not_name_is_refused(state: State) -> None:
    case = case_in(state)
    for what, row in steps_from(state).items():
        for role in set(Role) - row.roles:
            said = step(case, deed(what, role))
            assert isinstance(said, Refused)
            assert said.reason is Reason.NOT_ALLOWED


@pytest.mark.parametrize("state", State)
def test_a_deed_without_what_its_row_needs_is_refused_and_told_all_of_it(state: State) -> None:
    case = case_in(state)
    empty = {"note": " ", "reason": "", "photos": (), "position": None, "standard": "", "until_ns": None, "department": ""}
    for what, row in steps_from(state).items():
        said = step(case, deed(what, role_for(state, what), **empty, assignee=""))
        if row.needs:
            assert isinstance(said, Refused)
            assert said.reason is Reason.MISSING
            assert all(NEED_WORDS[need].en in said.detail for need in row.needs)


def test_a_case_begins_with_a_report_and_with_nothing_else() -> None:
    for what in set(Step) - {Step.REPORT}:
        said = report(deed(what, Role.OPERATOR))
        assert isinstance(said, Refused)
        assert said.reason is Reason.CONFLICT


@pytest.mark.parametrize("state", State)
def test_in_each_state_the_clock_of_its_stage_runs_and_no_other(state: State) -> None:
    case = case_in(state)
    assert case.running == ({CLOCK_OF[state]} if state in CLOCK_OF else set())
    assert case.paused == ({Clock.HANDLE} if state is State.HOLD else set())


def test_who_gets_a_case_back_has_no_step_past_the_stage_that_returned_it() -> None:
    backward = [row for row in ROWS if row.step in {Step.RETURN, Step.REWORK, Step.FAIL}]
    assert len(backward) == 6
    for row in backward:
        assert row.before is not None
        assert STAGES.index(row.after) < STAGES.index(row.before)
        beyond = set(STAGES[STAGES.index(row.before) + 1 :])
        assert NEXT[row.after] & beyond == set()


def test_a_step_that_returns_or_refuses_says_why() -> None:
    for row in ROWS:
        if row.step in {Step.RETURN, Step.REWORK, Step.FAIL, Step.REVOKE, Step.REFUSE, Step.VOID, Step.OVERRIDE, Step.REOPEN}:
            assert Need.REASON in row.needs


def test_filing_and_closing_choose_a_standard() -> None:
    assert all(Need.STANDARD in row.needs for row in ROWS if row.after in {State.FILED, State.CLOSED} and row.before != row.after
               and row.before in {State.REPORTED, State.CHECKING})  # fmt: skip


def test_the_system_files_dispatches_assigns_closes_reopens_and_ends_holds_and_nothing_else() -> None:
    moved = {row.step for row in ROWS if Role.SYSTEM in row.roles and row.before is not row.after}
    assert moved == {Step.FILE, Step.DISPATCH, Step.ASSIGN, Step.PASS, Step.REOPEN, Step.HOLD_OVER}
