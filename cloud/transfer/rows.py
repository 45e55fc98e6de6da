"""One value as one row of a file: who, what, when, in its own type, with its quality; exact to the nanosecond and the bit.

    device,metric,time,time_ns,type,value,quality,reason
    cover-7,water_level_cm,2025-10-09T08:53:20.000000001Z,1760000000000000001,float,12.5,good,

`type` is float, integer, boolean, string or none (there was no value then, and the reason says why). In CSV a text's line
ends, zeros and backslashes are written \\n, \\r, \\0 and \\\\, so that a row is always one line.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from cloud.series.honest import MAX_TEXT
from cloud.series.influx_lines import BAD, FLAW, NONE
from cloud.series.store import Point
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import ContractError, Flaw, Quality, Reading, Value, check_id

__all__ = [
    "COLUMNS",
    "BadRow",
    "Row",
    "Said",
    "check_row",
    "escape",
    "iso_ns",
    "kind_of",
    "parse_time",
    "reading_of",
    "row_of",
    "unescape",
]

COLUMNS: Final = ("device", "metric", "time", "time_ns", "type", "value", "quality", "reason")
_INT64 = 2**63
_QUALITIES: Final = {quality.name.lower(): quality for quality in Quality}
_LONGEST_METRIC: Final = 64
_MEANT: Final = (BAD, FLAW, NONE)  # a store's own fields of a metric
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_MEANINGS: Final[Mapping[str, str]] = {"\\": "\\", "n": "\n", "r": "\r", "0": "\0"}


class Row(msgspec.Struct, frozen=True):
    """One value at one instant. `reason` is None exactly where the quality is good."""

    device: str
    metric: str
    time_ns: int
    value: Value
    quality: Quality = Quality.GOOD
    reason: Reason | None = None


class BadRow(ValueError):  # noqa: N818 - what it is; counted, never a crash
    """A row that is refused, and why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def row_of(device: str, metric: str, point: Point) -> Row:
    """A point of a store as a row."""
    return Row(device, metric, point.time_ns, point.value, point.quality, point.reason)


def reading_of(row: Row) -> Reading:
    """A row as the reading that puts it into a store."""
    flaws = {} if row.reason is None else {row.metric: Flaw(row.quality, row.reason)}
    return Reading(
        device=row.device,
        profile="import",
        profile_version=0,
        time_ns=row.time_ns,
        received_ns=row.time_ns,
        values={row.metric: row.value},
        flaws=flaws,
    )


class Said(msgspec.Struct, frozen=True):
    """The words of a file about one value; `time_ns` counts where both times are there."""

    device: str = ""
    metric: str = ""
    time: str = ""
    time_ns: int | str | None = None
    type: str = ""
    value: Value = None
    quality: str = ""
    reason: str = ""


def check_row(said: Said, value: Value) -> Row:
    """The row that a file's words make, all of them checked; BadRow says what is wrong."""
    fault = _name_fault(said.device, said.metric)
    if fault is not None:
        raise BadRow(*fault)
    quality, reason = _flaw(said.quality or "good", said.reason)
    if value is None and quality is Quality.GOOD:
        raise BadRow(Reason.MISSING, "no value, and nothing says why: want quality and reason, such as bad and no_value")
    return Row(said.device, said.metric, _time_ns(said), _checked(value), quality, reason)


@lru_cache(maxsize=10_000)
def _name_fault(device: str, metric: str) -> tuple[Reason, str] | None:
    try:
        check_id(device, "device")
    except ContractError as error:
        return Reason.UNKNOWN_DEVICE, str(error)
    if 1 <= len(metric) <= _LONGEST_METRIC and metric.isprintable() and not metric.endswith(_MEANT):
        return None
    wanted = "want 1 to 64 printable characters, not ending in a store's own"
    return Reason.UNKNOWN_METRIC, f"metric {metric[:80]!r}: {wanted}"


def kind_of(value: Value) -> str:
    """The word in the column `type`."""
    match value:
        case None:
            return "none"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "float"
        case str():
            return "string"


def iso_ns(time_ns: int) -> str:
    """ISO 8601 in UTC with all nine digits."""
    seconds, rest = divmod(time_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def parse_time(text: str) -> int:
    """Nanoseconds of an ISO 8601 instant with a zone and up to nine digits of a second; ValueError otherwise."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"time {text[:40]!r}: want ISO 8601 with a zone, such as 2026-11-20T08:00:00.000000001Z")
    moment = datetime.fromisoformat(match[1] + match[3])
    return round(moment.timestamp()) * SECOND_NS + int((match[2] or "").ljust(9, "0"))


def escape(text: str) -> str:
    """A text for one line of CSV."""
    return text.translate(_ESCAPES)


def unescape(text: str) -> str:
    """The text back; a backslash before anything else stays one."""
    return re.sub(r"\\([\\nr0])", lambda found: _MEANINGS[found[1]], text)


def _time_ns(said: Said) -> int:
    try:
        time_ns = parse_time(said.time) if said.time_ns in {None, ""} else int(said.time_ns or 0)
    except ValueError as error:
        raise BadRow(Reason.IMPLAUSIBLE_TIME, str(error)) from None
    if not 0 < time_ns < _INT64:
        raise BadRow(Reason.IMPLAUSIBLE_TIME, f"time {time_ns}: want nanoseconds since 1970, above 0 and below 2**63")
    return time_ns


def _flaw(quality: str, reason: str) -> tuple[Quality, Reason | None]:
    known = _QUALITIES.get(quality)
    if known is None:
        raise BadRow(Reason.NOT_IN_ENUM, f"quality {quality[:40]!r}: want good, uncertain or bad")
    if known is Quality.GOOD:
        return known, None
    try:
        return known, Reason(reason)
    except ValueError:
        wanted = "want a word of docs/vocabulary.md"
        raise BadRow(Reason.NOT_IN_ENUM, f"reason {reason[:40]!r} of a value that is {quality}: {wanted}") from None


def _checked(value: Value) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRow(Reason.NOT_A_NUMBER, f"value {value}: want a finite number")
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise BadRow(Reason.OUT_OF_RANGE, "value: want an integer of 64 bits")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise BadRow(Reason.OVERSIZED, f"value of {len(value)} characters: want at most {MAX_TEXT}")
    return value
