"""Instants, intervals and durations as the standard writes them: ISO 8601, to the nanosecond where it is needed."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from telemetry.clock import SECOND_NS

__all__ = ["Duration", "Period", "clock_text", "parts_of", "read_duration", "read_time", "show_instant", "show_time"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI_NS: Final = 1_000_000
_INSTANT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9})\d{0,9})?)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_DURATION: Final = re.compile(
    r"(-)?P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})(?:\.(\d{1,9}))?S)?)?", re.ASCII
)


class Period(msgspec.Struct, frozen=True):
    """A time: nanoseconds since the Unix epoch, both ends included; an instant where they are one."""

    start_ns: int
    end_ns: int

    @property
    def is_instant(self) -> bool:
        return self.start_ns == self.end_ns


class Duration(msgspec.Struct, frozen=True):
    """A length of time in nanoseconds."""

    ns: int


def read_time(text: str) -> Period | None:
    """An instant, or two with a slash between them; None for anything else, and for years outside 1 to 9999."""
    first, slash, second = text.partition("/")
    start = _read_instant(first)
    end = _read_instant(second) if slash else start
    return None if start is None or end is None or end < start else Period(start, end)


def _read_instant(text: str) -> int | None:
    found = _INSTANT.fullmatch(text.strip())
    if found is None:
        return None
    day, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}:{second or '00'}{'+00:00' if zone in 'Zz' else zone}")
        since = moment - _EPOCH
    except (ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * SECOND_NS + int((fraction or "").ljust(9, "0"))


def read_duration(text: str) -> Duration | None:
    """Days, hours, minutes and seconds (XML Schema's dayTimeDuration); None for anything else."""
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()[1:]):
        return None
    minus, days, hours, minutes, seconds, fraction = found.groups()
    whole = ((int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
    ns = whole * SECOND_NS + int((fraction or "").ljust(9, "0"))
    return Duration(-ns if minus else ns)


def clock_text(text: str) -> str:
    """A time of day with nine digits of a second, so that texts sort as times do."""
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(9, '0')}"


def parts_of(time: Period) -> tuple[datetime, int] | None:
    """The second in which it begins, UTC, and the nanoseconds beyond it; None outside the years that there are."""
    try:
        return _EPOCH + timedelta(seconds=time.start_ns // SECOND_NS), time.start_ns % SECOND_NS
    except OverflowError:
        return None


def show_instant(time_ns: int) -> str:
    """UTC with milliseconds, and with nanoseconds where the time has them: what is shown finds the same again."""
    try:
        whole = (_EPOCH + timedelta(seconds=time_ns // SECOND_NS)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    except OverflowError:
        whole = "9999-12-31T23:59:59"
    rest = time_ns % SECOND_NS
    return f"{whole}.{rest // _MILLI_NS:03d}Z" if rest % _MILLI_NS == 0 else f"{whole}.{rest:09d}Z"


def show_time(time: Period) -> str:
    """An instant, or start/end (18-088, 8.2.4: TM_Period as ISO 8601 time interval)."""
    start = show_instant(time.start_ns)
    return start if time.is_instant else f"{start}/{show_instant(time.end_ns)}"
