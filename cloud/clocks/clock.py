"""The clocks of cases: when a limit is over, how much of it is spent, and when to warn.

A limit, its holds (挂账), its extensions (延期) and what is left are all amounts of one clock, so a hold of 15 calendar days on
a limit of working days moves the deadline by the working days within it and by nothing else. Everything is computed from what is
stored (start, limit, kind, holds, the calendar's version); nothing is added up along the way.
"""

import datetime as dt
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from cloud.clocks.calendar import Unpublished, WorkCalendar
from cloud.clocks.civil import DAY_NS, MINUTE_NS, ClockError
from cloud.clocks.rules import CalendarDay, WorkingDay
from cloud.clocks.timelines import Continuous, Timeline
from device_profiles.matter import ClockKind

__all__ = ["ClockKind", "Hold", "Reckoning", "Timer", "amount_ns", "deadline", "left", "reckon", "spent", "warnings"]

_HOUR_NS = 60 * MINUTE_NS


class Hold(msgspec.Struct, frozen=True):
    """A time in which a case waits, ns UTC, and no clock of it runs. Without an end it has not ended. ValueError where it ends
    before its start."""

    start_ns: int
    end_ns: int | None = None

    def __post_init__(self) -> None:
        if self.end_ns is not None and self.end_ns < self.start_ns:
            raise ValueError(f"hold from {self.start_ns} to {self.end_ns}: ends before it starts")


class _Clock(NamedTuple):
    """`line` counts the limit; `flow` is the same kind of time without the rounding to whole days."""

    line: Timeline
    flow: Timeline
    unit_ns: int
    """One hour, or one day, of the limit."""
    whole_days: bool


def amount_ns(count: int | str | Fraction, kind: ClockKind, calendar: WorkCalendar) -> int:
    """So many hours, or days, of the kind as an amount of its clock: what limits and extensions are stored as.

    `count` may be a text such as "0.25" or "1/3"; rounded to whole nanoseconds. ClockError where it is not above 0, or not
    whole where the calendar counts whole days.
    """
    clock = _clock(kind, calendar)
    amount = round(Fraction(count) * clock.unit_ns)
    _check_limit(amount, clock)
    return amount


def deadline(start_ns: int, limit_ns: int, kind: ClockKind, calendar: WorkCalendar, holds: Iterable[Hold] = ()) -> int | None:
    """The first instant at which the limit is spent; None where a hold that has not ended stands before it.

    ClockError where the limit is not above 0, is no number of whole days where only those count, or never ends.
    """
    clock = _clock(kind, calendar)
    _check_limit(limit_ns, clock)
    return _reached(clock.line, _origin(start_ns, clock, calendar), limit_ns, _merged(holds))


def spent(start_ns: int, now_ns: int, kind: ClockKind, calendar: WorkCalendar, holds: Iterable[Hold] = ()) -> int:
    """How much of the clock has passed from the start to now, holds left out."""
    clock = _clock(kind, calendar)
    return _passed(clock.line, _origin(start_ns, clock, calendar), now_ns, _merged(holds))


def left(
    start_ns: int, limit_ns: int, now_ns: int, kind: ClockKind, calendar: WorkCalendar, *, holds: Iterable[Hold] = ()
) -> int:
    """How much of the limit is left; below 0 by how much it is exceeded, both in the clock's own time.

    0 is not always in time: after a deadline at the close of work a clock of working time stands until the morning. Whether a
    case is late, the deadline tells.
    """
    return limit_ns - spent(start_ns, now_ns, kind, calendar, holds)


def warnings(
    start_ns: int,
    limit_ns: int,
    kind: ClockKind,
    calendar: WorkCalendar,
    holds: Iterable[Hold] = (),
    *,
    fractions: Iterable[str | Fraction],
) -> tuple[int | None, ...]:
    """When each fraction ("0.5", "0.8", "1") of the time up to the deadline has run, above 1 beyond it; in the order asked.

    The fraction is of the time that really runs, also where the limit counts whole days: half of a single day is a time of that
    day. None for what a hold that has not ended keeps from coming. ClockError as `deadline`, and where a fraction is not above 0.
    """
    clock = _clock(kind, calendar)
    pauses = list(holds)
    over = deadline(start_ns, limit_ns, kind, calendar, pauses)
    whole = _whole(start_ns, limit_ns, clock, calendar, [hold for hold in pauses if hold.end_ns is not None])
    merged = _merged(pauses)
    found: list[int | None] = []
    for fraction in (Fraction(asked) for asked in fractions):
        if fraction <= 0:
            raise ClockError(f"fraction {fraction}: want one above 0, such as 0.8")
        found.append(over if fraction == 1 else _reached(clock.flow, start_ns, math.ceil(whole * fraction), merged))
    return tuple(found)


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a running clock; everything else is computed from it. `calendar` is the version it counts by."""

    start_ns: int
    limit_ns: int
    kind: ClockKind
    calendar: str
    holds: tuple[Hold, ...] = ()
    extensions_ns: tuple[int, ...] = ()


class Reckoning(msgspec.Struct, frozen=True, kw_only=True):
    """How a timer stands at an instant. Amounts are of the timer's own clock; `unpublished` are the years up to the deadline, or
    to now, that are counted without their holidays."""

    deadline_ns: int | None
    spent_ns: int
    left_ns: int
    late: bool
    unpublished: tuple[Unpublished, ...]


def reckon(timer: Timer, calendar: WorkCalendar, now_ns: int) -> Reckoning:
    """The timer at `now_ns`. ClockError as `deadline`, and where the calendar is not the version that the timer counts by."""
    if timer.calendar != calendar.version:
        raise ClockError(f"timer counts by calendar {timer.calendar}, got {calendar.version}")
    limit_ns = timer.limit_ns + sum(timer.extensions_ns)
    over = deadline(timer.start_ns, limit_ns, timer.kind, calendar, timer.holds)
    gone = spent(timer.start_ns, now_ns, timer.kind, calendar, timer.holds)
    by_calendar = timer.kind in {ClockKind.WORKING_HOURS, ClockKind.WORKING_DAYS}
    until_ns = max(timer.start_ns, now_ns if over is None else over)
    return Reckoning(
        deadline_ns=over,
        spent_ns=gone,
        left_ns=limit_ns - gone,
        late=over is not None and now_ns > over,
        unpublished=calendar.unpublished(timer.start_ns, until_ns) if by_calendar else (),
    )


def _clock(kind: ClockKind, calendar: WorkCalendar) -> _Clock:
    rules, always = calendar.rules, Continuous()
    match kind:
        case ClockKind.URGENT_HOURS:
            return _Clock(always, always, _HOUR_NS, whole_days=False)
        case ClockKind.WORKING_HOURS:
            return _Clock(calendar.working_time, calendar.working_time, _HOUR_NS, whole_days=False)
        case ClockKind.CALENDAR_DAYS:
            exact = rules.calendar_day is CalendarDay.EXACT
            return _Clock(always if exact else calendar.days, always, DAY_NS, whole_days=not exact)
        case ClockKind.WORKING_DAYS if rules.working_day is WorkingDay.HOURS:
            return _Clock(calendar.working_time, calendar.working_time, rules.working_day_min * MINUTE_NS, whole_days=False)
        case ClockKind.WORKING_DAYS:
            return _Clock(calendar.working_days, calendar.working_time, DAY_NS, whole_days=True)


def _check_limit(limit_ns: int, clock: _Clock) -> None:
    if limit_ns <= 0:
        raise ClockError(f"limit of {limit_ns} ns: want one above 0")
    if clock.whole_days and limit_ns % DAY_NS:
        raise ClockError(f"limit of {dt.timedelta(microseconds=limit_ns // 1000)}: this calendar counts whole days")


def _origin(start_ns: int, clock: _Clock, calendar: WorkCalendar) -> int:
    """Where counting begins: whole days are counted from the day after the start (Civil Code, article 201)."""
    return calendar.days.after(start_ns, DAY_NS) if clock.whole_days else start_ns


def _whole(start_ns: int, limit_ns: int, clock: _Clock, calendar: WorkCalendar, ended: Sequence[Hold]) -> int:
    """How much of the clock's flow there is from the start to the deadline; holds that have not ended are not among `ended`,
    as what ran before them must not depend on when they end."""
    if not clock.whole_days:
        return limit_ns
    pauses = _merged(ended)
    over = _reached(clock.line, _origin(start_ns, clock, calendar), limit_ns, pauses)
    return 0 if over is None else _passed(clock.flow, start_ns, over, pauses)


def _merged(holds: Iterable[Hold]) -> list[Hold]:
    """The same pauses in order, without overlap: time held twice is held once."""
    found: list[Hold] = []
    for hold in sorted(holds, key=lambda hold: hold.start_ns):
        last = found[-1] if found else None
        if last is None or (last.end_ns is not None and last.end_ns < hold.start_ns):
            found.append(hold)
        elif last.end_ns is not None and (hold.end_ns is None or hold.end_ns > last.end_ns):
            found[-1] = Hold(last.start_ns, hold.end_ns)
    return found


def _runs(start_ns: int, holds: Sequence[Hold]) -> Iterator[tuple[int, int | None]]:
    """The stretches from the start on in which no hold stands; the last one without an end, unless a hold has none."""
    at: int | None = start_ns
    for hold in holds:
        if at is None or (hold.end_ns is not None and hold.end_ns <= at):
            continue
        if hold.start_ns > at:
            yield at, hold.start_ns
        at = hold.end_ns
    if at is not None:
        yield at, None


def _reached(line: Timeline, start_ns: int, amount: int, holds: Sequence[Hold]) -> int | None:
    for from_ns, until_ns in _runs(start_ns, holds):
        ran = None if until_ns is None else line.between(from_ns, until_ns)
        if ran is None or ran >= amount:
            return line.after(from_ns, amount)
        amount -= ran
    return None


def _passed(line: Timeline, start_ns: int, now_ns: int, holds: Sequence[Hold]) -> int:
    runs = itertools.takewhile(lambda run: run[0] < now_ns, _runs(start_ns, holds))
    return sum(line.between(from_ns, now_ns if until_ns is None else min(until_ns, now_ns)) for from_ns, until_ns in runs)
