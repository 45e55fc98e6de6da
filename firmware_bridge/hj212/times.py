"""Times of HJ 212: digits without a zone, local time where the monitor stands (HJ 212-2017, clauses 6.3.2 and 6.3.3)."""

from datetime import datetime, timedelta, timezone, tzinfo

__all__ = ["CHINA", "format_qn", "format_time", "parse_time"]

CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")
"""China has had no summer time since 1991."""

_PARTS = ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))
_SECONDS, _MILLISECONDS = len("YYYYMMDDhhmmss"), len("YYYYMMDDhhmmsszzz")


def parse_time(digits: str, zone: tzinfo = CHINA) -> datetime | None:
    """14 digits, or 17 with milliseconds, as a time in `zone`; None where they are no date."""
    if len(digits) not in {_SECONDS, _MILLISECONDS} or not (digits.isascii() and digits.isdigit()):
        return None
    year, month, day, hour, minute, second = (int(digits[at:end]) for at, end in _PARTS)
    milliseconds = int(digits[_SECONDS:] or 0)
    try:
        return datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=zone)
    except ValueError:
        return None


def format_time(time: datetime, zone: tzinfo = CHINA) -> str:
    """14 digits in `zone`, as in DataTime. `time` has a zone of its own."""
    local = time.astimezone(zone)
    return f"{local.year:04d}{local:%m%d%H%M%S}"


def format_qn(time: datetime, zone: tzinfo = CHINA) -> str:
    """17 digits in `zone`, as in QN: the instant at which a message was made, to the millisecond."""
    return f"{format_time(time, zone)}{time.microsecond // 1000:03d}"
