"""Whether a toilet is open, by the clock on the wall of the city's zone and the city's own calendar of days off."""

import datetime as dt

import msgspec

from cloud.clocks.calendar import WorkCalendar
from cloud.clocks.rules import Hours
from cloud.public.toilet import Toilet
from telemetry.clock import SECOND_NS

__all__ = ["Opening", "opening"]

_DAY_MIN = 24 * 60


class Opening(msgspec.Struct, frozen=True):
    """Whether it is open, and today's hours as text; `until` is HH:MM of its closing, "" where it does not close today."""

    is_open: bool
    today: str
    until: str


def opening(toilet: Toilet, calendar: WorkCalendar, now_ns: int) -> Opening:
    """As of now. Days off are those on which the calendar has no working hours: weekends, holidays, not swapped workdays."""
    now = dt.datetime.fromtimestamp(now_ns // SECOND_NS, calendar.zone)
    hours = _hours(toilet, calendar, now.date())
    minute = now.hour * 60 + now.minute
    held = next((period for period in hours if period.start_min <= minute < period.end_min), None)
    until = "" if held is None or held.end_min == _DAY_MIN else f"{held.end_min // 60:02}:{held.end_min % 60:02}"
    return Opening(held is not None, ", ".join(map(str, hours)), until)


def _hours(toilet: Toilet, calendar: WorkCalendar, day: dt.date) -> Hours:
    is_off = toilet.hours_off is not None and not calendar.hours(day)
    return (toilet.hours_off or ()) if is_off else toilet.hours
