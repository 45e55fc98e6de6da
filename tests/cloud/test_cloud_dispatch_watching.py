"""Early warning and supervision: how a running clock stands, and which ones are listed, the most urgent first."""

import datetime as dt
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.clocks.calendar import WorkCalendar
from cloud.clocks.clock import ClockKind, Hold, Timer, amount_ns
from cloud.clocks.rules import CalendarRules, WorkingDay
from cloud.dispatch.watching import STANDING_WORDS, Standing, Watched, standing, to_watch, watched
from cloud.workflow.states import Clock

CALENDAR = WorkCalendar(CalendarRules())
MINUTE = 60 * 1_000_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def at(text: str) -> int:
    """Local time of the city as nanoseconds."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=CALENDAR.zone).timestamp()) * 1_000_000_000


def stands(timer: Timer, now_ns: int, *, supervised: bool = False, calendar: WorkCalendar = CALENDAR) -> Watched:
    return watched(7, Clock.HANDLE, timer, calendar, now_ns=now_ns, supervised=supervised)


def urgent(start_ns: int, limit_ns: int, *holds: Hold) -> Timer:
    return Timer(start_ns=start_ns, limit_ns=limit_ns, kind=ClockKind.URGENT_HOURS, calendar=CALENDAR.version, holds=holds)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(0, Standing.FINE), (95, Standing.FINE), (96, Standing.WARNING), (120, Standing.WARNING), (121, Standing.OVERDUE)],
)
def test_a_cover_with_two_hours_is_due_soon_after_96_minutes(minutes: int, expected: Standing) -> None:
    start = at("2026-11-20 02:10")
    found = stands(urgent(start, 2 * HOUR), start + minutes * MINUTE)
    assert (found.standing, found.late) == (expected, expected is Standing.OVERDUE)
    assert (found.deadline_ns, found.spent_ns, found.left_ns) == (start + 2 * HOUR, minutes * MINUTE, (120 - minutes) * MINUTE)


@settings(max_examples=100)
@given(
    start=st.integers(at("2026-01-01 00:00"), at("2026-12-01 00:00")),
    limit=st.integers(1, 100 * HOUR),
    ran=st.integers(0, 200 * HOUR),
    held=st.integers(0, 50 * HOUR),
)
def test_around_the_clock_it_goes_by_what_was_spent_of_the_limit(start: int, limit: int, ran: int, held: int) -> None:
    # The hold lies at the start, so that what ran afterwards is all that was spent.
    found = stands(urgent(start, limit, Hold(start, start + held)), start + held + ran)
    if ran > limit:
        assert found.standing is Standing.OVERDUE
    else:
        assert found.standing is (Standing.WARNING if Fraction(ran, limit) >= Fraction("0.8") else Standing.FINE)


def test_the_warning_of_working_hours_waits_for_them() -> None:
    timer = Timer(start_ns=at("2026-11-20 16:00"), limit_ns=4 * HOUR, kind=ClockKind.WORKING_HOURS, calendar=CALENDAR.version)
    # Friday 16:00 to 18:00, then Monday from 08:00: 3.2 of the 4 hours are over at 09:12.
    times = ["2026-11-20 18:30", "2026-11-22 12:00", "2026-11-23 09:11", "2026-11-23 09:12", "2026-11-23 10:01"]
    fine, warning, overdue = Standing.FINE, Standing.WARNING, Standing.OVERDUE
    assert [stands(timer, at(time)).standing for time in times] == [fine, fine, fine, warning, overdue]


def test_a_limit_of_whole_days_is_due_soon_before_it_is_over() -> None:
    calendar = WorkCalendar(CalendarRules(working_day=WorkingDay.CLOSE))
    limit = amount_ns(1, ClockKind.WORKING_DAYS, calendar)
    timer = Timer(start_ns=at("2026-11-19 09:00"), limit_ns=limit, kind=ClockKind.WORKING_DAYS, calendar=calendar.version)
    found = [stands(timer, at(time), calendar=calendar) for time in ("2026-11-20 08:00", "2026-11-20 17:00", "2026-11-20 18:01")]
    assert [each.standing for each in found] == [Standing.FINE, Standing.WARNING, Standing.OVERDUE]


def test_an_extension_moves_the_warning() -> None:
    start = at("2026-11-20 08:00")
    timer = Timer(start_ns=start, limit_ns=HOUR, kind=ClockKind.URGENT_HOURS, calendar=CALENDAR.version, extensions_ns=(HOUR,))
    found = stands(timer, start + 90 * MINUTE)
    assert (found.standing, found.limit_ns, found.left_ns) == (Standing.FINE, 2 * HOUR, 30 * MINUTE)


def test_a_case_on_hold_is_neither_due_soon_nor_overdue() -> None:
    start = at("2026-11-20 08:00")
    found = stands(urgent(start, HOUR, Hold(start + 30 * MINUTE)), start + 30 * DAY)
    assert (found.standing, found.deadline_ns, found.spent_ns) == (Standing.FINE, None, 30 * MINUTE)


def test_a_supervised_case_is_listed_as_one_and_still_says_that_it_is_late() -> None:
    found = stands(urgent(0, HOUR), 2 * HOUR, supervised=True)
    assert (found.standing, found.late) == (Standing.SUPERVISED, True)


def test_nothing_is_known_of_a_clock_that_waits() -> None:
    assert standing(5, warn_ns=None, deadline_ns=None, supervised=False) is Standing.FINE
    assert standing(5, warn_ns=5, deadline_ns=None, supervised=False) is Standing.WARNING


def test_the_list_begins_with_what_is_most_urgent() -> None:
    clocks = [
        watched(case_id, Clock.HANDLE, timer, CALENDAR, now_ns=100 * MINUTE, supervised=supervised)
        for case_id, timer, supervised in [
            (1, urgent(0, 3 * HOUR), False),
            (2, urgent(0, 2 * HOUR), False),
            (3, urgent(30 * MINUTE, HOUR), False),
            (4, urgent(0, HOUR), False),
            (5, urgent(0, HOUR), False),
            (6, urgent(0, HOUR, Hold(MINUTE)), True),
            (7, urgent(0, 9 * HOUR), True),
        ]
    ]
    assert [each.case_id for each in to_watch(reversed(clocks))] == [7, 6, 4, 5, 3, 2]
    assert [each.case_id for each in to_watch(clocks, Standing.OVERDUE)] == [4, 5, 3]
    assert [each.case_id for each in to_watch(clocks, Standing.FINE)] == [1]


def test_every_standing_has_words() -> None:
    assert STANDING_WORDS.keys() == {*Standing}
