"""Times as the specification has them: ISO 8601 by the W3C's note, always with a zone."""

import re
from datetime import UTC, datetime, timedelta
from typing import overload

from telemetry.clock import SECOND_NS

__all__ = ["read_time", "shown_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The W3C's note: hours and minutes, then perhaps seconds and their fraction; a zone.
_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})")
_MOST_NS = 2**63 - 1


def read_time(text: str) -> int | None:
    """Nanoseconds since the Unix epoch, to the microsecond; None for what is no time, has no zone or is outside 1970 to 2262.

    A space before the zone is the + of somebody who did not write it as %2B.
    """
    text = re.sub(r" (?=[0-9]{2}:[0-9]{2}$)", "+", text)
    if not _FORM.fullmatch(text):
        return None
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except (ValueError, OverflowError):
        return None
    time_ns = (since // timedelta(microseconds=1)) * 1000
    return time_ns if 0 <= time_ns <= _MOST_NS else None


@overload
def shown_time(time_ns: int) -> str: ...
@overload
def shown_time(time_ns: int | None) -> str | None: ...
def shown_time(time_ns: int | None) -> str | None:
    """To the second, in UTC: 2010-01-01T00:00:00Z."""
    if time_ns is None:
        return None
    return (_EPOCH + timedelta(seconds=time_ns // SECOND_NS)).strftime("%Y-%m-%dT%H:%M:%SZ")
