"""What holds for every clock, to the nanosecond: deadline and spent undo one another, order is kept, a hold adds itself."""

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.clocks.clock import ClockKind, Hold, amount_ns, deadline, spent, warnings
from cloud.clocks.rules import CalendarDay, CalendarRules, SpecialDay, WorkingDay, period

DAY = 86_400_000_000_000
HOUR = DAY // 24
_YEARS = st.integers(1_104_537_600_000_000_000, 2_240_611_200_000_000_000)  # 2005 to 2040
_SPANS = st.one_of(st.integers(0, 20 * DAY), st.integers(0, 2 * HOUR), st.integers(0, 400).map(lambda days: days * DAY))

_SHIFTS = (period("00:00-02:30"), period("02:45-06:00"), period("22:00-24:00"))
_CHINA = chinese_rules()
_RULES = {
    "china": _CHINA,
    "china by whole days": msgspec.structs.replace(_CHINA, working_day=WorkingDay.CLOSE, calendar_day=CalendarDay.MIDNIGHT),
    "china to midnight": msgspec.structs.replace(_CHINA, working_day=WorkingDay.MIDNIGHT),
    "berlin by night": CalendarRules(zone="Europe/Berlin", week=((), *(_SHIFTS,) * 6)),
    "cairo to midnight": CalendarRules(
        zone="Africa/Cairo",
        week=((), *(_SHIFTS,) * 6),
        special=tuple(SpecialDay(day.day, (), "", "") for day in _CHINA.special if not day.hours),
        working_day=WorkingDay.MIDNIGHT,
        calendar_day=CalendarDay.MIDNIGHT,
        working_day_min=465,
    ),
}


_CALENDARS = {name: WorkCalendar(rules) for name, rules in _RULES.items()}
_CLOCKS = st.tuples(st.sampled_from(list(_CALENDARS)).map(_CALENDARS.__getitem__), st.sampled_from(ClockKind))
_laws = settings(max_examples=80)


def _limit(count: int, kind: ClockKind, calendar: WorkCalendar) -> int:
    """From a free number: a limit that the clock takes, of up to thirty units."""
    one = amount_ns(1, kind, calendar)
    by_days = amount_ns(1, kind, calendar) == DAY and kind.value.endswith("days")
    return (1 + count % 30) * one if by_days else 1 + count % (30 * one)


def _holds(start: int, spans: list[tuple[int, int]]) -> list[Hold]:
    return [Hold(start + begin - DAY, start + begin - DAY + length) for begin, length in spans]


_HOLDS = st.lists(st.tuples(st.integers(0, 30 * DAY), _SPANS), max_size=3)


@_laws
@given(clock=_CLOCKS, start=_YEARS, count=st.integers(0), spans=_HOLDS)
def test_at_the_deadline_the_limit_is_spent_and_a_nanosecond_before_it_is_not(
    clock: tuple[WorkCalendar, ClockKind], start: int, count: int, spans: list[tuple[int, int]]
) -> None:
    (calendar, kind), holds = clock, _holds(start, spans)
    limit = _limit(count, kind, calendar)
    over = deadline(start, limit, kind, calendar, holds)
    assert over is not None
    assert spent(start, over, kind, calendar, holds) == limit
    assert spent(start, over - 1, kind, calendar, holds) < limit


@_laws
@given(clock=_CLOCKS, start=_YEARS, gone=_SPANS, spans=_HOLDS)
def test_a_limit_of_what_is_spent_now_was_over_at_the_last_moment_that_counted(
    clock: tuple[WorkCalendar, ClockKind], start: int, gone: int, spans: list[tuple[int, int]]
) -> None:
    (calendar, kind), holds, now = clock, _holds(start, spans), start + gone
    amount = spent(start, now, kind, calendar, holds)
    assume(amount > 0)
    over = deadline(start, amount, kind, calendar, holds)
    assert over is not None
    assert over <= now
    assert spent(start, over, kind, calendar, holds) == amount


@_laws
@given(clock=_CLOCKS, start=_YEARS, later=_SPANS, count=st.integers(0), more=st.integers(0), gone=_SPANS, spans=_HOLDS)
def test_who_starts_later_or_has_more_or_is_held_more_is_never_due_earlier(
    clock: tuple[WorkCalendar, ClockKind], start: int, later: int, count: int, more: int, gone: int, spans: list[tuple[int, int]]
) -> None:
    (calendar, kind), holds = clock, _holds(start, spans)
    less, much = sorted((_limit(count, kind, calendar), _limit(more, kind, calendar)))
    over = deadline(start, less, kind, calendar, holds)
    assert over is not None
    for other in (
        deadline(start, much, kind, calendar, holds),
        deadline(start + later, less, kind, calendar, holds),
        deadline(start, less, kind, calendar, [*holds, Hold(start + gone, start + gone + later)]),
    ):
        assert other is not None
        assert other >= over
    seen = [spent(start, start + at, kind, calendar, holds) for at in sorted((gone, later, gone + later))]
    assert seen == sorted(seen)
    assert spent(start + later, start + gone, kind, calendar, holds) <= spent(start, start + gone, kind, calendar, holds)


@_laws
@given(clock=_CLOCKS, start=_YEARS, count=st.integers(0), share=st.fractions(0, 1), length=_SPANS)
def test_a_hold_adds_exactly_what_the_clock_would_have_counted_within_it(
    clock: tuple[WorkCalendar, ClockKind], start: int, count: int, share: float, length: int
) -> None:
    calendar, kind = clock
    limit = _limit(count, kind, calendar)
    free = deadline(start, limit, kind, calendar)
    assert free is not None
    begin = start + int((free - 1 - start) * share)
    held = deadline(start, limit, kind, calendar, [Hold(begin, begin + length)])
    assert held is not None
    within = spent(start, begin + length, kind, calendar) - spent(start, begin, kind, calendar)
    assert spent(start, held, kind, calendar) == limit + within
    assert deadline(start, limit + within, kind, calendar) == held


@_laws
@given(clock=_CLOCKS, start=_YEARS, count=st.integers(0), begin=_SPANS, first=_SPANS, second=_SPANS)
def test_a_hold_in_two_parts_in_any_order_is_the_same_hold(
    clock: tuple[WorkCalendar, ClockKind], start: int, count: int, begin: int, first: int, second: int
) -> None:
    (calendar, kind), at = clock, start + begin
    limit = _limit(count, kind, calendar)
    whole = deadline(start, limit, kind, calendar, [Hold(at, at + first + second)])
    parts = [Hold(at + first, at + first + second), Hold(at, at + first)]
    assert deadline(start, limit, kind, calendar, parts) == whole
    assert deadline(start, limit, kind, calendar, [*parts, Hold(at, at + first + second)]) == whole


@_laws
@given(clock=_CLOCKS, start=_YEARS, count=st.integers(0), spans=_HOLDS)
def test_warnings_come_in_order_and_never_after_the_deadline(
    clock: tuple[WorkCalendar, ClockKind], start: int, count: int, spans: list[tuple[int, int]]
) -> None:
    (calendar, kind), holds = clock, _holds(start, spans)
    limit = _limit(count, kind, calendar)
    told = warnings(start, limit, kind, calendar, holds, fractions=("0.1", "1/3", "0.5", "0.8", "0.99", "1", "1.5"))
    instants = [instant for instant in told if instant is not None]
    assert len(instants) == len(told)
    assert instants == sorted(instants)
    assert instants[0] > start
    assert instants[5] == deadline(start, limit, kind, calendar, holds)


@given(kind=st.sampled_from(ClockKind), start=_YEARS, first=st.integers(1, 40 * DAY), second=st.integers(1, 40 * DAY))
@_laws
def test_an_extension_goes_on_where_the_limit_ended(kind: ClockKind, start: int, first: int, second: int) -> None:
    calendar = _CALENDARS["china"]
    over = deadline(start, first, kind, calendar)
    assert over is not None
    assert deadline(start, first + second, kind, calendar) == deadline(over, second, kind, calendar)
