"""Exact numbers as they are printed: rounded here, once, and nowhere before."""

import datetime as dt
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from cloud.indicators.tally import Line
from cloud.indicators.words import By, Count, Kind
from device_profiles.quantities import Text
from telemetry.clock import SECOND_NS

__all__ = ["NO_DATA", "amount", "group_title", "instant", "minute", "rounded", "shown"]

NO_DATA: Final = Text("无数据", "no data")

_HOUR_NS: Final = 3600 * SECOND_NS
_MINUTE_NS: Final = 60 * SECOND_NS
_NOBODY: Final = {
    By.DISTRICT: Text("未划定区域", "no district"),
    By.DEPARTMENT: Text("未定部门", "no department"),
    By.PERSON: Text("未指定人员", "nobody named"),
}
_SYSTEM: Final = Text("系统", "the system")


def rounded(value: Fraction, places: int) -> str:
    """A number that is not negative, with so many decimal places, half up: 1/8 with two is 0.13."""
    unit = 10**places
    before, after = divmod((value.numerator * unit * 2 + value.denominator) // (value.denominator * 2), unit)
    return f"{before}.{after:0{places}}" if places else str(before)


def shown(line: Line) -> Text:
    """The value with its unit: 91.56 %, 3 h 05 min, 17; what is not known is said to be so."""
    if line.value is None:
        return NO_DATA
    match line.indicator.kind:
        case Kind.RATE:
            percent = f"{rounded(line.value * 100, 2)} %"
            return Text(percent, percent)
        case Kind.MEAN:
            hours, minutes = divmod(int(rounded(line.value / _MINUTE_NS, 0)), 60)
            return Text(f"{hours} 小时 {minutes:02} 分", f"{hours} h {minutes:02} min")
        case Kind.NUMBER:
            return Text(str(line.value), str(line.value))


def amount(count: Count, number: int) -> str:
    """A numerator or denominator as it is printed: times in hours, all else as it is."""
    if count in {Count.ACCEPT_NS, Count.HANDLE_NS}:
        return f"{rounded(Fraction(number, _HOUR_NS), 2)} h"
    return str(number)


def group_title(by: By, group: str) -> Text:
    """A group as a heading names it."""
    if by is By.CITY:
        return Text("全市", "the whole city")
    if not group:
        return _NOBODY[by]
    return _SYSTEM if by is By.PERSON and group == "system" else Text(group, group)


def minute(at_ns: int, zone: ZoneInfo) -> str:
    """What a clock in the zone shows: 2026-11-01 08:00."""
    return f"{dt.datetime.fromtimestamp(at_ns // SECOND_NS, zone):%Y-%m-%d %H:%M}"


def instant(at_ns: int, zone: ZoneInfo) -> str:
    """A moment in the zone, with its offset and name: 2026-11-01 08:00 +08:00 (Asia/Shanghai)."""
    offset = dt.datetime.fromtimestamp(at_ns // SECOND_NS, zone).strftime("%z")
    return f"{minute(at_ns, zone)} {offset[:3]}:{offset[3:5]} ({zone.key})"
