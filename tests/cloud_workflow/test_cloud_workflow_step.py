"""The guards and side flows of a case, one by one."""

import pytest
from cloud_workflow_deeds import DAY, ROAD, T0, case_in, deed, done, refused, reported

from cloud.workflow.case import Appeal, Asked, Case, DeviceSays, Policy, Refused
from cloud.workflow.states import Clock, Role, State, Step
from cloud.workflow.step import step
from device_profiles.read_matters import load_matters
from telemetry.reason import Reason


def test_a_refusal_says_what_was_not_done_and_why_in_both_languages() -> None:
    free = case_in(State.DISPATCHED)
    assert refused(free, Step.SUBMIT, Role.CREW) == Refused(
        Reason.CONFLICT, "submit the work: not from here, the case is dispatched", "提交处置结果：案件状态为“已派遣待指派”"
    )
    assert refused(free, Step.ASSIGN, Role.CREW) == Refused(
        Reason.NOT_ALLOWED, "assign: not by crew, only by department, system", "指派：处置人员无权，限专业部门、系统"
    )
    assert refused(free, Step.RETURN, Role.DEPARTMENT, reason="") == Refused(
        Reason.MISSING, "return: lacks reason", "回退：缺少理由"
    )
    assert refused(case_in(State.HANDLING), Step.RETURN, Role.DEPARTMENT) == Refused(
        Reason.CONFLICT,
        "return: only where this holds: the department revokes the assignee before it returns the case",
        "回退：条件不满足：部门须先撤销指派再回退",
    )


def test_a_case_without_detours_is_closed_and_remembers_its_standards() -> None:
    case = case_in(State.CLOSED)
    assert (case.filing_standard, case.closing_standard, case.closed_ns) == ("0103-1", "0103-1", T0)
    assert (case.reworks, case.assignee, case.running) == (0, "", frozenset())


def test_a_policy_files_and_dispatches_and_the_roster_assigns_without_a_person() -> None:
    case = reported()
    for what in (Step.FILE, Step.DISPATCH, Step.ASSIGN):
        case = done(case, what, Role.SYSTEM)
    assert (case.state, case.assignee, case.department) == (State.HANDLING, "crew-1", "roads")


def test_what_the_collector_found_is_kept_and_the_operator_decides() -> None:
    verifying = case_in(State.VERIFYING)
    assert refused(verifying, Step.FOUND, Role.COLLECTOR, actor="collector-2").reason is Reason.NOT_ALLOWED
    back = done(verifying, Step.NOT_FOUND, Role.COLLECTOR)
    assert (back.state, back.found, back.running) == (State.REPORTED, False, {Clock.ACCEPT})
    assert done(back, Step.VOID, Role.OPERATOR).state is State.VOID


def test_a_department_revokes_the_assignee_before_it_returns_the_case() -> None:
    handling = case_in(State.HANDLING)
    said = refused(handling, Step.RETURN, Role.DEPARTMENT)
    assert (said.reason, "revokes" in said.detail) == (Reason.CONFLICT, True)
    free = done(handling, Step.REVOKE, Role.DEPARTMENT)
    assert (free.state, free.assignee) == (State.DISPATCHED, "")
    back = done(free, Step.RETURN, Role.DEPARTMENT)
    assert (back.state, back.running) == (State.FILED, {Clock.DISPATCH})


def test_a_returned_case_is_sent_on_by_a_person_and_not_by_the_system() -> None:
    back = done(case_in(State.DISPATCHED), Step.RETURN, Role.DEPARTMENT)
    assert refused(back, Step.DISPATCH, Role.SYSTEM).reason is Reason.NOT_ALLOWED
    again = done(back, Step.DISPATCH, Role.DISPATCHER, department="water")
    assert (again.department, again.returned) == ("water", False)
    assert done(again, Step.ASSIGN, Role.SYSTEM).state is State.HANDLING


def test_a_task_given_back_by_the_crew_is_not_given_out_again_by_the_roster() -> None:
    back = done(case_in(State.HANDLING), Step.RETURN, Role.CREW)
    assert (back.state, back.assignee) == (State.DISPATCHED, "")
    assert refused(back, Step.ASSIGN, Role.SYSTEM).reason is Reason.NOT_ALLOWED
    assert done(back, Step.ASSIGN, Role.DEPARTMENT, assignee="crew-2").assignee == "crew-2"


def test_a_dispatcher_returns_to_the_desk_and_the_system_does_not_file_again() -> None:
    back = done(case_in(State.FILED), Step.RETURN, Role.DISPATCHER)
    assert refused(back, Step.FILE, Role.SYSTEM).reason is Reason.NOT_ALLOWED
    assert done(back, Step.FILE, Role.OPERATOR).state is State.FILED


@pytest.mark.parametrize("what", [Step.TAKE, Step.ARRIVE, Step.CALL_HELP, Step.SUBMIT, Step.RETURN])
def test_only_the_assignee_works_on_a_task(what: Step) -> None:
    said = refused(case_in(State.HANDLING), what, Role.CREW, actor="crew-2")
    assert said.reason in {Reason.NOT_ALLOWED, Reason.CONFLICT}


def test_the_departments_review_sends_back_to_the_same_person_and_the_clock_runs_on() -> None:
    again = done(case_in(State.DEPARTMENT_REVIEW), Step.REWORK, Role.DEPARTMENT)
    assert (again.state, again.assignee, again.reworks) == (State.HANDLING, "crew-1", 1)
    assert again.running == {Clock.HANDLE}


def test_a_rework_from_feedback_goes_to_the_same_department_and_its_clock_goes_on() -> None:
    again = done(case_in(State.FEEDBACK), Step.REWORK, Role.DISPATCHER)
    assert (again.state, again.department, again.running) == (State.DISPATCHED, "roads", {Clock.HANDLE})


def test_overdue_is_fixed_at_the_departments_confirmation_and_stays() -> None:
    late = done(case_in(State.DEPARTMENT_REVIEW), Step.CONFIRM, Role.DEPARTMENT, overdue=True)
    again = done(late, Step.REWORK, Role.OPERATOR)
    for what, role in ROAD[2:5]:
        again = done(again, what, role, overdue=False)
    assert (again.state, again.overdue) == (State.FEEDBACK, True)


def test_a_check_passes_only_when_somebody_saw_it_or_the_device_says_so() -> None:
    checking = done(case_in(State.FEEDBACK), Step.CHECK, Role.OPERATOR)
    assert refused(checking, Step.PASS, Role.OPERATOR).reason is Reason.CONFLICT
    assert done(checking, Step.PASS, Role.OPERATOR, device_says=DeviceSays.CLEAR).state is State.CLOSED
    seen = done(checking, Step.CHECKED, Role.COLLECTOR)
    assert done(seen, Step.PASS, Role.OPERATOR).state is State.CLOSED


def test_while_the_device_reports_the_fault_only_a_supervisor_closes_and_says_why() -> None:
    seen = done(done(case_in(State.FEEDBACK), Step.CHECK, Role.OPERATOR), Step.CHECKED, Role.COLLECTOR)
    fault = {"device_says": DeviceSays.FAULT}
    for role in (Role.OPERATOR, Role.SHIFT_LEAD, Role.SUPERVISOR):
        said = refused(seen, Step.PASS, role, **fault)
        assert (said.reason, "device" in said.detail) == (Reason.CONFLICT, True)
    assert refused(seen, Step.OVERRIDE, Role.OPERATOR, **fault).reason is Reason.NOT_ALLOWED
    assert refused(seen, Step.OVERRIDE, Role.SUPERVISOR, **fault, reason="").reason is Reason.MISSING
    assert done(seen, Step.OVERRIDE, Role.SUPERVISOR, **fault).state is State.CLOSED


def test_a_failed_check_counts_as_rework_and_what_was_checked_is_forgotten() -> None:
    seen = done(done(case_in(State.FEEDBACK), Step.CHECK, Role.OPERATOR), Step.CHECKED, Role.COLLECTOR)
    assert seen.running == frozenset()
    again = done(seen, Step.FAIL, Role.COLLECTOR)
    assert (again.state, again.reworks, again.checked, again.running) == (State.DISPATCHED, 1, False, {Clock.HANDLE})
    assert refused(seen, Step.FAIL, Role.COLLECTOR, actor="collector-2").reason is Reason.NOT_ALLOWED
    assert done(seen, Step.FAIL, Role.OPERATOR).state is State.DISPATCHED


def extended(case: Case) -> Case:
    asked = done(case, Step.ASK_EXTENSION, Role.DEPARTMENT)
    return done(asked, Step.GRANT_EXTENSION, Role.SHIFT_LEAD)


def test_a_case_is_extended_twice_at_most() -> None:
    twice = extended(extended(case_in(State.HANDLING)))
    assert twice.extensions == 2
    assert refused(twice, Step.ASK_EXTENSION, Role.DEPARTMENT).reason is Reason.CONFLICT


def test_nobody_grants_what_they_asked_for() -> None:
    asked = done(case_in(State.HANDLING), Step.ASK_EXTENSION, Role.DEPARTMENT, actor="wang")
    assert refused(asked, Step.GRANT_EXTENSION, Role.SHIFT_LEAD, actor="wang").reason is Reason.NOT_ALLOWED
    assert refused(asked, Step.REFUSE, Role.SUPERVISOR, actor="wang").reason is Reason.NOT_ALLOWED
    assert refused(asked, Step.GRANT_HOLD, Role.SHIFT_LEAD).reason is Reason.CONFLICT


def test_one_thing_is_asked_at_a_time_and_a_refusal_clears_it() -> None:
    asked = done(case_in(State.HANDLING), Step.ASK_EXTENSION, Role.DEPARTMENT)
    assert refused(asked, Step.ASK_HOLD, Role.DEPARTMENT).reason is Reason.CONFLICT
    cleared = done(asked, Step.REFUSE, Role.SUPERVISOR)
    assert (cleared.asked, cleared.extensions) == (Asked.NOTHING, 0)
    assert refused(cleared, Step.REFUSE, Role.SUPERVISOR).reason is Reason.CONFLICT
    assert refused(cleared, Step.GRANT_EXTENSION, Role.SUPERVISOR).reason is Reason.CONFLICT


def test_what_was_asked_is_dropped_with_the_handling_clock() -> None:
    asked = done(case_in(State.HANDLING), Step.ASK_EXTENSION, Role.DEPARTMENT)
    review = done(asked, Step.SUBMIT, Role.CREW)
    assert review.asked is Asked.EXTENSION
    assert done(review, Step.CONFIRM, Role.DEPARTMENT).asked is Asked.NOTHING


def test_a_hold_is_granted_once_and_ends_at_its_date_by_itself() -> None:
    held = case_in(State.HOLD)
    assert (held.paused, held.running, held.hold_until_ns) == ({Clock.HANDLE}, frozenset(), T0 + 30 * DAY)
    assert refused(held, Step.HOLD_OVER, Role.SYSTEM, at=T0 + 30 * DAY - 1).reason is Reason.CONFLICT
    over = done(held, Step.HOLD_OVER, Role.SYSTEM, at=T0 + 30 * DAY)
    assert (over.state, over.running, over.paused) == (State.DISPATCHED, {Clock.HANDLE}, frozenset())
    assert refused(over, Step.ASK_HOLD, Role.DEPARTMENT).reason is Reason.CONFLICT


@pytest.mark.parametrize(("days", "granted"), [(0, False), (1, True), (366, True), (367, False)])
def test_a_hold_ends_later_than_now_and_within_a_year(days: int, granted: bool) -> None:
    said = step(case_in(State.DISPATCHED), deed(Step.ASK_HOLD, Role.DEPARTMENT, until_ns=T0 + days * DAY))
    assert isinstance(said, Case) is granted
    if isinstance(said, Refused):
        assert said.reason is Reason.OUT_OF_RANGE


def test_an_appeal_is_made_once_against_an_overdue_handling_and_keeps_the_fact() -> None:
    assert refused(case_in(State.CLOSED), Step.APPEAL, Role.DEPARTMENT).reason is Reason.CONFLICT
    late = case_in(State.CLOSED, overdue=True)
    new = done(late, Step.APPEAL, Role.DEPARTMENT)
    assert refused(new, Step.APPEAL, Role.DEPARTMENT).reason is Reason.CONFLICT
    assert refused(new, Step.GRANT_APPEAL, Role.SUPERVISOR).reason is Reason.CONFLICT
    agreed = done(new, Step.AGREE_APPEAL, Role.INSPECTOR)
    assert refused(agreed, Step.AGREE_APPEAL, Role.SHIFT_LEAD).reason is Reason.CONFLICT
    assert refused(agreed, Step.GRANT_APPEAL, Role.INSPECTOR).reason is Reason.NOT_ALLOWED
    granted = done(agreed, Step.GRANT_APPEAL, Role.SUPERVISOR)
    assert (granted.overdue, granted.exempt, granted.appeal) == (True, True, Appeal.GRANTED)
    assert refused(granted, Step.APPEAL, Role.DEPARTMENT).reason is Reason.CONFLICT


@pytest.mark.parametrize("late_again", [False, True])
def test_what_an_appeal_exempted_does_not_cover_a_reopened_case_that_is_late_again(late_again: bool) -> None:
    case = done(case_in(State.CLOSED, overdue=True), Step.APPEAL, Role.DEPARTMENT)
    case = done(done(case, Step.AGREE_APPEAL, Role.INSPECTOR), Step.GRANT_APPEAL, Role.SUPERVISOR)
    case = done(case, Step.REOPEN, Role.SYSTEM)
    for what, role in ROAD[2:5]:
        case = done(case, what, role, overdue=late_again)
    assert (case.overdue, case.exempt) == (True, not late_again)


@pytest.mark.parametrize("first", [False, True], ids=["by the first reviewer", "by the second reviewer"])
def test_a_refused_appeal_exempts_nothing_and_is_not_made_again(first: bool) -> None:
    case = done(case_in(State.CLOSED, overdue=True), Step.APPEAL, Role.DEPARTMENT, actor="wang")
    if first:
        case = done(case, Step.AGREE_APPEAL, Role.INSPECTOR)
    assert refused(case, Step.REFUSE_APPEAL, Role.SUPERVISOR, actor="wang").reason is Reason.NOT_ALLOWED
    case = done(case, Step.REFUSE_APPEAL, Role.SUPERVISOR)
    assert (case.exempt, case.appeal) == (False, Appeal.REFUSED)
    assert refused(case, Step.REFUSE_APPEAL, Role.SUPERVISOR).reason is Reason.CONFLICT
    assert refused(case, Step.APPEAL, Role.DEPARTMENT).reason is Reason.CONFLICT


def test_a_closed_case_is_reopened_within_its_days_and_the_limit_begins_again() -> None:
    closed = case_in(State.CLOSED)
    again = done(closed, Step.REOPEN, Role.SYSTEM, at=T0 + 7 * DAY)
    assert (again.state, again.running, again.closed_ns) == (State.DISPATCHED, {Clock.HANDLE}, None)
    assert (again.reopened, again.reworks, again.department) == (1, 1, "roads")
    assert refused(closed, Step.REOPEN, Role.SYSTEM, at=T0 + 7 * DAY + 1).reason is Reason.EXPIRED


def test_how_often_and_how_long_is_the_citys_own() -> None:
    closed = case_in(State.CLOSED)
    late = deed(Step.REOPEN, Role.SUPERVISOR, at=T0 + 20 * DAY)
    assert isinstance(step(closed, late, Policy(reopen_days=30)), Case)
    none = step(case_in(State.HANDLING), deed(Step.ASK_EXTENSION, Role.DEPARTMENT), Policy(extensions=0))
    assert isinstance(none, Refused)


def test_supervision_is_counted_and_moves_nothing() -> None:
    case = case_in(State.HANDLING)
    watched = done(done(case, Step.SUPERVISE, Role.SUPERVISOR), Step.SUPERVISE, Role.SHIFT_LEAD)
    assert (watched.state, watched.supervisions, watched.assignee) == (State.HANDLING, 2, "crew-1")


def test_another_report_joins_an_open_case_and_changes_nothing() -> None:
    case = case_in(State.HANDLING)
    assert done(case, Step.JOIN, Role.SYSTEM) == case
    assert refused(case_in(State.CLOSED), Step.JOIN, Role.SYSTEM).reason is Reason.CONFLICT


@pytest.mark.parametrize(
    ("matter", "fault", "worth"),
    [
        pytest.param("lamp_out", True, DeviceSays.FAULT, id="a lamp that is dark contradicts"),
        pytest.param("lamp_out", False, DeviceSays.CLEAR, id="a lamp that is lit proves it"),
        pytest.param("lamp_out", None, DeviceSays.NOTHING, id="a silent controller proves nothing"),
        pytest.param("gas_leak", True, DeviceSays.FAULT, id="gas that is there contradicts"),
        pytest.param("gas_leak", False, DeviceSays.NOTHING, id="gas that is gone does not replace the look of a person"),
        pytest.param("vehicle_misuse", True, DeviceSays.NOTHING, id="a matter of people alone asks no device"),
    ],
)
def test_what_a_devices_word_is_worth_stands_in_its_matter(matter: str, fault: bool | None, worth: DeviceSays) -> None:
    assert DeviceSays.by(load_matters()[matter], fault=fault) is worth
