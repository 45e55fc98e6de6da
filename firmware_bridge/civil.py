"""Civil times as devices write them: two decimal digits each for year, month, day, hour, minute, second."""

from datetime import date, time

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["civil_time", "time_of_day"]


def civil_time(digits: str) -> str:
    """YYMMDD, and then hh, mm, ss as far as they are there, in ISO 8601 without a zone; years are those from 2000 on.

    ParseError: no_value where there are only zeros, which is how a clock that was never set reads; implausible_time.
    """
    if not digits.strip("0"):
        raise ParseError(Reason.NO_VALUE, "a time of zeros only")
    try:
        day = date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError as error:
        raise ParseError(Reason.IMPLAUSIBLE_TIME, f"{digits}: {error}") from error
    return f"{day.isoformat()}T{time_of_day(digits[6:])}" if digits[6:] else day.isoformat()


def time_of_day(digits: str) -> str:
    """hh, mm, ss as far as they are there, hours alone with minutes of zero. ParseError: implausible_time."""
    try:
        said = time(int(digits[:2]), int(digits[2:4] or "0"), int(digits[4:6] or "0"))
    except ValueError as error:
        raise ParseError(Reason.IMPLAUSIBLE_TIME, f"{digits}: {error}") from error
    return said.isoformat("seconds" if len(digits) > 4 else "minutes")
