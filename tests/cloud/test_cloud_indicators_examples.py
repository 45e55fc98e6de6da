"""What counts and what does not: one case each, told in a line."""

from fractions import Fraction

import pytest
from cloud_indicators_histories import DAY, HOUR, MINUTE, NOVEMBER, OCTOBER, Story, closed, confirmed, dispatched, reported

from cloud.clocks.civil import check_zone
from cloud.indicators.period import Period, month
from cloud.indicators.tally import Line, tally
from cloud.indicators.words import By
from cloud.workflow.case import DeviceSays
from cloud.workflow.states import Role, Step

OCT, NOV = (month(name, check_zone("Asia/Shanghai")) for name in ("2026-10", "2026-11"))
LATER = NOVEMBER + 60 * DAY


def numbers(*stories: Story, period: Period = OCT, made: int = LATER) -> dict[str, Line]:
    report = tally([told.history() for told in stories], period, By.CITY, made)
    return {line.indicator.code: line for line in report.of_city()}


def parts(line: Line) -> tuple[int, int | None]:
    return line.numerator, line.denominator


def test_a_case_done_within_every_limit_is_on_time_everywhere() -> None:
    found = numbers(closed())
    for code in (
        "valid_report_rate", "filing_rate", "on_time_filing_rate", "right_filing_rate", "on_time_accepting_rate",
        "right_accepting_rate", "dispatching_rate", "on_time_dispatching_rate", "right_dispatching_rate", "handling_rate",
        "on_time_handling_rate", "checking_rate", "on_time_checking_rate", "closing_rate", "on_time_closing_rate",
    ):  # fmt: skip
        assert found[code].value == 1, code
    for code in ("late_handling_rate", "late_closing_rate", "unclosed_rate", "rework_rate", "overdue_number", "hold_rate"):
        assert found[code].value == 0, code


def test_nothing_to_divide_by_is_no_data_and_never_nought() -> None:
    found = numbers()
    assert {line.value for line in found.values() if line.denominator is not None} == {None}
    assert found["overdue_number"].value == 0


def test_work_confirmed_after_its_limit_is_handled_but_overdue() -> None:
    found = numbers(closed(5 * HOUR), closed())
    assert parts(found["handling_rate"]) == (2, 2)
    assert parts(found["on_time_handling_rate"]) == (1, 2)
    assert parts(found["late_handling_rate"]) == (1, 2)
    assert parts(found["late_closing_rate"]) == (1, 2)
    assert found["on_time_handling_rate"].value == Fraction(1, 2)


def test_what_was_owed_and_never_done_is_owed() -> None:
    found = numbers(dispatched())
    assert parts(found["handling_rate"]) == (0, 1)
    assert found["late_handling_rate"].value == 0
    assert found["overdue_number"].value == 1


def test_what_was_done_after_the_end_of_the_period_is_open_in_it() -> None:
    late = closed(3 * DAY, at=NOVEMBER - DAY)
    found = numbers(late)
    assert parts(found["handling_rate"]) == parts(found["closing_rate"]) == (0, 1)
    assert parts(found["unclosed_rate"]) == (1, 1)


def test_a_limit_that_ends_after_the_period_is_neither_owed_nor_on_time() -> None:
    early = closed(HOUR, at=NOVEMBER - 2 * HOUR)
    assert parts(numbers(early)["on_time_handling_rate"]) == (0, 0)
    assert parts(numbers(early, period=NOV)["on_time_handling_rate"]) == (1, 1)


def test_a_limit_that_ends_after_the_report_is_made_is_not_owed_yet() -> None:
    told = dispatched(at=OCTOBER)
    assert numbers(told, made=OCTOBER + 3 * HOUR)["handling_rate"].value is None
    assert numbers(told, made=OCTOBER + 5 * HOUR)["handling_rate"].value == 0


def test_on_the_very_limit_is_on_time() -> None:
    assert numbers(confirmed(4 * HOUR))["on_time_handling_rate"].value == 1
    assert numbers(confirmed(4 * HOUR + 1))["on_time_handling_rate"].value == 0


def test_a_hold_is_no_lateness_and_nothing_is_owed_while_it_lasts() -> None:
    told = dispatched().then(Step.ASK_HOLD, MINUTE, until_ns=OCTOBER + 5 * DAY)
    told.then(Step.GRANT_HOLD, until_ns=OCTOBER + 5 * DAY)
    assert numbers(told)["handling_rate"].value is None
    assert parts(numbers(told)["hold_rate"]) == (1, 1)
    told.then(Step.HOLD_OVER, 5 * DAY, Role.SYSTEM).then(Step.ASSIGN).then(Step.SUBMIT, HOUR).then(Step.CONFIRM)
    found = numbers(told)
    assert parts(found["on_time_handling_rate"]) == (1, 1)
    assert found["mean_handling_time"].value == HOUR + MINUTE


def appealed(last: Step) -> Story:
    told = closed(5 * HOUR).then(Step.APPEAL, DAY).then(Step.AGREE_APPEAL, DAY, Role.INSPECTOR)
    return told.then(last, 40 * DAY, Role.SHIFT_LEAD)


def test_a_granted_appeal_takes_a_late_handling_out_while_the_fact_stays() -> None:
    found = numbers(appealed(Step.GRANT_APPEAL), closed())
    assert parts(found["on_time_handling_rate"]) == parts(found["closing_rate"]) == (1, 1)
    assert (found["overdue_number"].value, found["exempt_number"].value) == (1, 1)


def test_a_refused_appeal_changes_nothing() -> None:
    found = numbers(appealed(Step.REFUSE_APPEAL), closed())
    assert parts(found["on_time_handling_rate"]) == (1, 2)
    assert (found["overdue_number"].value, found["exempt_number"].value) == (1, 0)


def test_appeals_are_counted_when_they_are_decided() -> None:
    told = (appealed(Step.GRANT_APPEAL), appealed(Step.REFUSE_APPEAL))
    assert numbers(*told)["appeal_granting_rate"].value is None
    assert parts(numbers(*told, period=NOV)["appeal_granting_rate"]) == (1, 2)


def test_an_appeal_does_not_excuse_what_was_late_after_the_case_was_reopened() -> None:
    told = closed(5 * HOUR).then(Step.APPEAL, HOUR).then(Step.AGREE_APPEAL, 0, Role.INSPECTOR)
    told.then(Step.GRANT_APPEAL, 0, Role.SHIFT_LEAD).then(Step.REOPEN, HOUR).then(Step.ASSIGN)
    told.then(Step.SUBMIT, 5 * HOUR).then(Step.CONFIRM)
    found = numbers(told)
    assert parts(found["late_handling_rate"]) == (1, 1)
    assert (found["overdue_number"].value, found["exempt_number"].value) == (2, 1)


def test_a_void_case_is_decided_but_neither_valid_nor_to_be_filed() -> None:
    found = numbers(reported().then(Step.VOID, MINUTE))
    assert parts(found["valid_report_rate"]) == (0, 1)
    assert parts(found["filing_rate"]) == (0, 0)
    assert parts(found["on_time_accepting_rate"]) == (1, 1)
    assert parts(found["unclosed_rate"]) == (0, 1)


def test_a_case_void_after_it_was_filed_is_not_valid_and_was_not_filed_rightly() -> None:
    told = reported().then(Step.FILE, MINUTE).then(Step.RETURN, MINUTE).then(Step.VOID, MINUTE)
    found = numbers(told)
    assert parts(found["valid_report_rate"]) == (0, 1)
    assert parts(found["right_filing_rate"]) == (0, 1)
    assert parts(found["right_accepting_rate"]) == (1, 2)
    assert found["dispatching_rate"].value is None


def test_a_case_that_waits_to_be_verified_owes_the_operator_nothing() -> None:
    told = reported().then(Step.VERIFY, MINUTE)
    found = numbers(told)
    assert found["filing_rate"].value is None
    assert parts(found["on_time_verifying_rate"]) == (0, 1)
    told.then(Step.FOUND, 10 * MINUTE)
    assert parts(numbers(told)["on_time_verifying_rate"]) == (1, 1)
    assert parts(numbers(told)["filing_rate"]) == (0, 1)


def test_a_task_that_was_recalled_is_owed_only_when_its_limit_had_ended() -> None:
    soon = reported().then(Step.VERIFY).then(Step.RECALL, MINUTE)
    late = reported().then(Step.VERIFY).then(Step.RECALL, HOUR)
    assert numbers(soon)["on_time_verifying_rate"].value is None
    assert parts(numbers(late)["on_time_verifying_rate"]) == (0, 1)


def test_a_department_that_returns_a_case_in_time_owes_nothing_and_the_dispatch_was_wrong() -> None:
    told = dispatched().then(Step.RETURN, HOUR, Role.DEPARTMENT).then(Step.DISPATCH, MINUTE, department="lights")
    found = numbers(told)
    assert parts(found["handling_rate"]) == (0, 1)
    assert parts(found["right_dispatching_rate"]) == (1, 2)
    assert parts(found["return_rate"]) == (1, 2)
    report = tally([told.history()], OCT, By.DEPARTMENT, LATER)
    owed = {line.group: line.denominator for line in report.of_groups() if line.indicator.code == "handling_rate"}
    assert owed == {"roads": 0, "lights": 1}


def test_a_department_that_returns_a_case_too_late_has_missed_it() -> None:
    assert parts(numbers(dispatched().then(Step.RETURN, 5 * HOUR, Role.DEPARTMENT))["handling_rate"]) == (0, 1)


def test_rework_goes_on_with_what_was_left_of_the_limit() -> None:
    told = confirmed(HOUR).then(Step.CHECK, DAY).then(Step.FAIL, MINUTE, Role.OPERATOR).then(Step.ASSIGN)
    told.then(Step.SUBMIT, 2 * HOUR).then(Step.CONFIRM)
    found = numbers(told)
    assert parts(found["on_time_handling_rate"]) == (1, 1)
    assert parts(found["rework_rate"]) == (1, 1)
    assert found["mean_handling_time"].value == 3 * HOUR


def test_a_reopened_case_is_a_second_handling_and_rework() -> None:
    told = closed().then(Step.REOPEN, DAY)
    found = numbers(told)
    assert parts(found["closing_rate"]) == (1, 2)
    assert parts(found["rework_rate"]) == (1, 2)


def test_a_check_is_answered_when_the_collector_answers_however_late_the_case_is_passed() -> None:
    told = confirmed().then(Step.CHECK).then(Step.CHECKED, MINUTE).then(Step.PASS, DAY)
    assert parts(numbers(told)["on_time_checking_rate"]) == (1, 1)


def test_closures_by_and_against_the_device_are_told_apart() -> None:
    by = confirmed().then(Step.CHECK).then(Step.PASS, device_says=DeviceSays.CLEAR)
    against = confirmed().then(Step.CHECK).then(Step.OVERRIDE, device_says=DeviceSays.FAULT)
    found = numbers(by, against, closed())
    assert parts(found["device_closing_rate"]) == (1, 3)
    assert parts(found["against_device_rate"]) == (1, 3)


def test_joined_reports_are_reports_but_no_cases() -> None:
    found = numbers(reported().then(Step.JOIN, HOUR).then(Step.JOIN, HOUR))
    assert parts(found["joined_report_rate"]) == (2, 3)
    assert found["valid_report_rate"].denominator == 1


@pytest.mark.parametrize(("days", "again"), [(29, 1), (30, 1), (31, 0)])
def test_the_same_trouble_within_thirty_days_has_happened_again(days: int, again: int) -> None:
    found = numbers(reported(device="cover-1", before_ns=OCTOBER - days * DAY), reported())
    assert parts(found["repeat_case_rate"]) == (again, 1)


def test_three_cases_in_one_cell_are_a_hot_spot() -> None:
    here = [reported(longitude=120.6001 + n / 10_000, latitude=31.3) for n in range(3)]
    found = numbers(*here, reported(longitude=120.7, latitude=31.3), reported())
    assert parts(found["hot_spot_rate"]) == (3, 4)
    assert parts(numbers(*here[:2])["hot_spot_rate"]) == (0, 2)


def test_sources_are_told_apart() -> None:
    found = numbers(*(reported(source=source) for source in ("alarm", "citizen", "citizen", "person")))
    rates = [found[f"{who}_report_rate"].value for who in ("device", "citizen", "staff")]
    assert rates == [Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)]


def test_a_person_is_charged_with_what_was_theirs_and_nobody_with_what_was_nobodys() -> None:
    told = (
        dispatched().then(Step.ASSIGN, assignee="wang").then(Step.SUBMIT, HOUR, Role.DEPARTMENT, actor="wang").then(Step.CONFIRM)
    )
    report = tally([told.history(), dispatched().history()], OCT, By.PERSON, LATER)
    lines = {(line.group, line.indicator.code): parts(line) for line in report.of_groups()}
    assert lines["wang", "on_time_handling_rate"] == (1, 1)
    assert lines["", "on_time_handling_rate"] == (0, 1)
    assert lines["operator-1", "on_time_filing_rate"] == (2, 2)
    assert ("wang", "on_time_filing_rate") not in lines
    assert not any(code == "closing_rate" for _, code in lines)


def test_steps_of_before_the_workflow_count_for_nothing_but_the_case_itself() -> None:
    told = reported()
    told.steps[0] |= {"step": "opened", "from_state": "open", "to_state": "open"}
    told.clocks.clear()
    found = numbers(told)
    assert parts(found["unclosed_rate"]) == (1, 1)
    assert found["filing_rate"].value is None


def test_what_happens_on_the_stroke_of_midnight_belongs_to_the_month_that_begins() -> None:
    told = confirmed().then(Step.CHECK)
    told.then(Step.CHECKED).then(Step.PASS, NOVEMBER - told.at)
    october, november = numbers(told), numbers(told, period=NOV)
    assert parts(october["closing_rate"]) == (0, 1)
    assert (october["device_closing_rate"].denominator, november["device_closing_rate"].denominator) == (0, 1)
