"""Clocks worked out by hand, with the calendar of 2026 on the desk."""

import datetime as dt
from zoneinfo import ZoneInfo

import msgspec
import pytest

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.clocks.civil import ClockError
from cloud.clocks.clock import ClockKind, Hold, Reckoning, Timer, amount_ns, deadline, left, reckon, spent, warnings
from cloud.clocks.rules import CalendarDay, CalendarRules, SpecialDay, WorkingDay, period

SHANGHAI = ZoneInfo("Asia/Shanghai")
HOUR = 3_600_000_000_000
RULES = chinese_rules()
CITY = WorkCalendar(RULES)
CLOSE = WorkCalendar(msgspec.structs.replace(RULES, working_day=WorkingDay.CLOSE, calendar_day=CalendarDay.MIDNIGHT))
MIDNIGHT = WorkCalendar(msgspec.structs.replace(RULES, working_day=WorkingDay.MIDNIGHT))


def at(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    """The instant at which clocks show "2026-10-03 02:10"."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 1_000_000_000


def shows(instant_ns: int | None, zone: ZoneInfo = SHANGHAI) -> str | None:
    """What clocks show at the instant."""
    return None if instant_ns is None else dt.datetime.fromtimestamp(instant_ns / 1e9, zone).strftime("%Y-%m-%d %H:%M")


def due(start: str, count: str, kind: ClockKind, *holds: tuple[str, str | None], calendar: WorkCalendar = CITY) -> str | None:
    """The deadline of so many hours or days, as the clock on the wall shows it."""
    pauses = [Hold(at(begin), None if end is None else at(end)) for begin, end in holds]
    return shows(deadline(at(start), amount_ns(count, kind, calendar), kind, calendar, pauses))


def test_a_cover_stolen_at_ten_past_two_on_a_holiday_has_two_urgent_hours() -> None:
    assert due("2026-10-03 02:10", "2", ClockKind.URGENT_HOURS) == "2026-10-03 04:10"


def test_four_working_hours_from_the_same_night_begin_after_the_holiday() -> None:
    assert due("2026-10-03 02:10", "4", ClockKind.WORKING_HOURS) == "2026-10-08 12:00"
    assert due("2026-10-03 02:10", "4.25", ClockKind.WORKING_HOURS) == "2026-10-08 14:15"


# Friday 2026-05-08, half an hour before the close of work; Saturday is worked for Labour Day, Sunday is not.
@pytest.mark.parametrize(
    ("calendar", "over"),
    [
        pytest.param(CITY, "2026-05-11 17:30", id="as hours: half an hour, eight on Saturday, the rest on Monday"),
        pytest.param(CLOSE, "2026-05-11 18:00", id="as the close of the second day: Saturday is the first"),
        pytest.param(MIDNIGHT, "2026-05-12 00:00", id="as midnight of the second day"),
    ],
)
def test_a_lamp_out_on_friday_evening_before_a_swapped_saturday_has_two_working_days(calendar: WorkCalendar, over: str) -> None:
    assert due("2026-05-08 17:30", "2", ClockKind.WORKING_DAYS, calendar=calendar) == over


def test_the_same_lamp_a_week_later_has_the_whole_weekend() -> None:
    assert due("2026-05-15 17:30", "2", ClockKind.WORKING_DAYS) == "2026-05-19 17:30"
    assert due("2026-05-15 17:30", "2", ClockKind.WORKING_DAYS, calendar=CLOSE) == "2026-05-19 18:00"


def test_national_day_week_stands_between_two_hours_and_the_rest() -> None:
    # Wednesday 2 h; the 1st to the 7th off; the 8th and 9th 8 h each; Saturday the 10th is worked, 6 h of it.
    assert due("2026-09-30 16:00", "3", ClockKind.WORKING_DAYS) == "2026-10-10 16:00"
    assert due("2026-09-30 16:00", "3", ClockKind.WORKING_DAYS, calendar=CLOSE) == "2026-10-10 18:00"
    assert due("2026-09-30 16:00", "3", ClockKind.CALENDAR_DAYS) == "2026-10-03 16:00"
    assert due("2026-09-30 16:00", "3", ClockKind.CALENDAR_DAYS, calendar=CLOSE) == "2026-10-04 00:00"


def test_a_case_filed_at_the_close_of_work_ends_at_a_close_of_work_and_not_in_the_morning_after() -> None:
    assert due("2026-11-02 18:00", "8", ClockKind.WORKING_HOURS) == "2026-11-03 18:00"


def test_a_hold_of_fifteen_days_adds_the_working_days_within_it_and_not_forty_five() -> None:
    # Five working days from Monday the 2nd; held from Tuesday 08:00 to Wednesday the 18th 08:00: eleven working days.
    assert due("2026-11-02 08:00", "5", ClockKind.WORKING_DAYS) == "2026-11-06 18:00"
    assert due("2026-11-02 08:00", "5", ClockKind.WORKING_DAYS, ("2026-11-03 08:00", "2026-11-18 08:00")) == "2026-11-23 18:00"
    assert due("2026-11-02 08:00", "16", ClockKind.WORKING_DAYS) == "2026-11-23 18:00"


def test_a_hold_over_a_weekend_adds_nothing_to_working_days_and_two_days_to_calendar_days() -> None:
    weekend = ("2026-11-07 00:00", "2026-11-09 00:00")
    assert due("2026-11-05 08:00", "3", ClockKind.WORKING_DAYS, weekend) == due("2026-11-05 08:00", "3", ClockKind.WORKING_DAYS)
    assert due("2026-11-05 08:00", "3", ClockKind.CALENDAR_DAYS, weekend) == "2026-11-10 08:00"


def test_where_whole_days_count_a_hold_adds_the_days_whose_end_it_covers() -> None:
    start, count, kind = "2026-11-02 08:00", "2", ClockKind.WORKING_DAYS
    assert due(start, count, kind, calendar=CLOSE) == "2026-11-04 18:00"
    assert due(start, count, kind, ("2026-11-03 10:00", "2026-11-03 16:00"), calendar=CLOSE) == "2026-11-04 18:00"
    assert due(start, count, kind, ("2026-11-03 10:00", "2026-11-03 18:00"), calendar=CLOSE) == "2026-11-05 18:00"
    assert due(start, count, kind, ("2026-11-03 18:00", "2026-11-04 08:00"), calendar=CLOSE) == "2026-11-04 18:00"


def test_holds_that_overlap_are_one_hold() -> None:
    one = due("2026-11-02 08:00", "5", ClockKind.WORKING_DAYS, ("2026-11-03 08:00", "2026-11-06 08:00"))
    held = [
        ("2026-11-04 08:00", "2026-11-06 08:00"),
        ("2026-11-03 08:00", "2026-11-05 08:00"),
        ("2026-11-04 09:00", "2026-11-04 10:00"),
    ]
    assert due("2026-11-02 08:00", "5", ClockKind.WORKING_DAYS, *held) == one == "2026-11-11 18:00"


def test_a_hold_without_an_end_leaves_no_deadline_unless_the_limit_was_over_before() -> None:
    assert due("2026-11-02 08:00", "1", ClockKind.WORKING_DAYS, ("2026-11-02 17:00", None)) is None
    assert due("2026-11-02 08:00", "1", ClockKind.WORKING_DAYS, ("2026-11-02 18:00", None)) == "2026-11-02 18:00"


def test_a_hold_that_is_over_before_the_start_changes_nothing() -> None:
    assert due("2026-11-02 08:00", "1", ClockKind.WORKING_DAYS, ("2026-10-26 08:00", "2026-11-02 08:00")) == "2026-11-02 18:00"


def test_warnings_come_at_fractions_of_the_working_time() -> None:
    two_days = amount_ns(2, ClockKind.WORKING_DAYS, CITY)
    told = warnings(at("2026-11-06 08:00"), two_days, ClockKind.WORKING_DAYS, CITY, fractions=("0.5", "0.8", "1", "1.5"))
    assert [shows(instant) for instant in told] == [
        "2026-11-06 18:00",
        "2026-11-09 14:48",
        "2026-11-09 18:00",
        "2026-11-10 18:00",
    ]


def test_half_of_a_single_whole_day_is_a_time_of_work_before_its_end() -> None:
    # From Friday 14:00 to Monday's close: four hours and eight; half of them are over on Monday at ten.
    one = amount_ns(1, ClockKind.WORKING_DAYS, CLOSE)
    told = warnings(at("2026-11-06 14:00"), one, ClockKind.WORKING_DAYS, CLOSE, fractions=("0.5", "1.0"))
    assert [shows(instant) for instant in told] == ["2026-11-09 10:00", "2026-11-09 18:00"]


@pytest.mark.parametrize("calendar", [CITY, CLOSE], ids=["hours", "whole days"])
def test_a_hold_without_an_end_keeps_the_warnings_that_came_before_it(calendar: WorkCalendar) -> None:
    two, kind, start = amount_ns(2, ClockKind.WORKING_DAYS, calendar), ClockKind.WORKING_DAYS, at("2026-11-02 08:00")
    half, most = warnings(start, two, kind, calendar, fractions=("0.5", "0.8"))
    assert half is not None
    held = [Hold(half + HOUR)]
    assert warnings(start, two, kind, calendar, held, fractions=("0.5", "0.8", "1")) == (half, None, None)
    assert most is not None
    assert warnings(start, two, kind, calendar, [Hold(most)], fractions=("0.5", "0.8", "1")) == (half, most, None)


def test_what_is_left_goes_below_zero_by_the_working_time_that_is_exceeded() -> None:
    start, four, kind = at("2026-11-06 16:00"), 4 * HOUR, ClockKind.WORKING_HOURS
    assert spent(start, at("2026-11-07 12:00"), kind, CITY) == 2 * HOUR
    assert left(start, four, at("2026-11-07 12:00"), kind, CITY) == 2 * HOUR
    assert left(start, four, at("2026-11-09 11:30"), kind, CITY) == -HOUR * 3 // 2
    assert spent(start, at("2026-11-06 15:00"), kind, CITY) == 0


def _timer(start: str, limit: str, kind: ClockKind, calendar: WorkCalendar = CITY, **more: object) -> Timer:
    stored = {"start_ns": at(start), "limit_ns": amount_ns(limit, kind, calendar), "kind": kind, "calendar": calendar.version}
    return msgspec.convert({**stored, **more}, Timer)


def test_a_stored_timer_is_reckoned_with_its_extension_in_the_clock_of_its_limit() -> None:
    once = amount_ns(2, ClockKind.WORKING_DAYS, CITY)
    timer = _timer("2026-11-05 08:00", "2", ClockKind.WORKING_DAYS, extensions_ns=(once,))
    stored = msgspec.json.decode(msgspec.json.encode(timer), type=Timer)
    assert reckon(stored, CITY, at("2026-11-09 12:00")) == Reckoning(
        deadline_ns=at("2026-11-10 18:00"), spent_ns=20 * HOUR, left_ns=12 * HOUR, late=False, unpublished=()
    )


def test_a_case_is_late_in_the_night_after_its_last_close_of_work_although_no_working_time_has_passed() -> None:
    timer = _timer("2026-11-05 08:00", "8", ClockKind.WORKING_HOURS)
    on_time, night = reckon(timer, CITY, at("2026-11-05 18:00")), reckon(timer, CITY, at("2026-11-05 19:00"))
    assert (on_time.left_ns, on_time.late) == (0, False)
    assert (night.left_ns, night.late) == (0, True)


def test_a_timer_is_not_reckoned_by_another_version_of_the_calendar() -> None:
    timer = _timer("2026-11-05 08:00", "8", ClockKind.WORKING_HOURS)
    with pytest.raises(ClockError, match=f"counts by calendar {CITY.version}, got {CLOSE.version}"):
        reckon(timer, CLOSE, at("2026-11-05 18:00"))


def test_a_deadline_in_a_year_that_is_not_published_is_counted_by_weekends_and_says_so() -> None:
    rules = msgspec.structs.replace(RULES, published=(2026,), special=tuple(d for d in RULES.special if d.day.year == 2026))
    early = WorkCalendar(rules)
    timer = _timer("2026-12-31 17:00", "1", ClockKind.WORKING_DAYS, early)
    known = reckon(timer, early, at("2026-12-31 17:00"))
    assert shows(known.deadline_ns) == "2027-01-01 17:00"  # a Friday, were it not New Year's Day
    assert [(gap.en, gap.zh) for gap in known.unpublished] == [
        ("the calendar of 2027 is not published yet: weekends only", "2027年节假日安排尚未公布：仅按周末计算")
    ]
    urgent = _timer("2026-12-31 17:00", "24", ClockKind.URGENT_HOURS, early)
    assert reckon(urgent, early, at("2026-12-31 17:00")).unpublished == ()

    new_year = tuple(SpecialDay(dt.date(2027, 1, day), (), "元旦", "New Year's Day") for day in (1, 2, 3))
    later = WorkCalendar(msgspec.structs.replace(rules, published=(2026, 2027), special=(*rules.special, *new_year)))
    again = reckon(_timer("2026-12-31 17:00", "1", ClockKind.WORKING_DAYS, later), later, at("2026-12-31 17:00"))
    assert (shows(again.deadline_ns), again.unpublished) == ("2027-01-04 17:00", ())
    assert later.version != early.version


def test_a_night_shift_on_the_day_that_clocks_go_forward_is_an_hour_shorter() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    shift = (period("00:00-06:00"),)
    nights = WorkCalendar(CalendarRules(zone="Europe/Berlin", week=(shift,) * 7))
    assert spent(at("2026-03-29 00:00", berlin), at("2026-03-29 12:00", berlin), ClockKind.WORKING_HOURS, nights) == 5 * HOUR
    assert spent(at("2026-10-25 00:00", berlin), at("2026-10-25 12:00", berlin), ClockKind.WORKING_HOURS, nights) == 7 * HOUR
    over = deadline(at("2026-03-28 12:00", berlin), 3 * HOUR, ClockKind.WORKING_HOURS, nights)
    assert shows(over, berlin) == "2026-03-29 04:00"


def test_a_calendar_day_by_midnights_ends_at_midnight_whatever_the_clocks_did() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    rules = CalendarRules(zone="Europe/Berlin", calendar_day=CalendarDay.MIDNIGHT)
    city = WorkCalendar(rules)
    two = amount_ns(2, ClockKind.CALENDAR_DAYS, city)
    assert shows(deadline(at("2026-10-24 23:30", berlin), two, ClockKind.CALENDAR_DAYS, city), berlin) == "2026-10-27 00:00"
    assert shows(deadline(at("2026-03-28 23:30", berlin), two, ClockKind.CALENDAR_DAYS, city), berlin) == "2026-03-31 00:00"
    exact = WorkCalendar(msgspec.structs.replace(rules, calendar_day=CalendarDay.EXACT))
    assert (
        shows(deadline(at("2026-03-28 23:30", berlin), 48 * HOUR, ClockKind.CALENDAR_DAYS, exact), berlin) == "2026-03-31 00:30"
    )


@pytest.mark.parametrize(
    ("count", "calendar", "told"),
    [
        pytest.param("0", CITY, "above 0", id="no time at all"),
        pytest.param("-1", CITY, "above 0", id="less than none"),
        pytest.param("0.5", CLOSE, "whole days", id="half a day where whole days count"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(count: str, calendar: WorkCalendar, told: str) -> None:
    with pytest.raises(ClockError, match=told):
        amount_ns(count, ClockKind.WORKING_DAYS, calendar)


def test_a_fraction_of_nothing_a_hold_that_runs_backwards_and_a_time_before_1970_are_refused() -> None:
    with pytest.raises(ClockError, match="fraction 0"):
        warnings(at("2026-11-02 08:00"), HOUR, ClockKind.WORKING_HOURS, CITY, fractions=("0",))
    with pytest.raises(ValueError, match="ends before it starts"):
        Hold(2, 1)
    with pytest.raises(ClockError, match="1970 to 2200"):
        deadline(-1, HOUR, ClockKind.WORKING_HOURS, CITY)


def test_a_limit_in_a_calendar_without_hours_is_refused_and_not_looked_for_for_ever() -> None:
    idle = WorkCalendar(CalendarRules(week=((),) * 7))
    with pytest.raises(ClockError, match="does not end within 20 years"):
        deadline(at("2026-11-02 08:00"), HOUR, ClockKind.WORKING_HOURS, idle)
