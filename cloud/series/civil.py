"""Buckets: where they begin in civil time."""

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud.series.store import MAX_BUCKETS
from telemetry.clock import SECOND_NS

__all__ = ["edges", "even_offset"]

_DAY_S = 86_400
_EPOCH_DAY = dt.date(1970, 1, 1)
_LAST_NS = 253_000_000_000 * SECOND_NS  # in the year 9987: what the calendar can still count


def edges(start_ns: int, end_ns: int, bucket_s: int, zone: str) -> list[int]:
    """Where the buckets that hold `start_ns <= time < end_ns` begin, and where the last one ends, in ns since the epoch.

    A local time that the clocks skip begins no bucket, one that they show twice begins two. ValueError as
    `SeriesStore.buckets` says.
    """
    if bucket_s < 1 or (bucket_s > _DAY_S and bucket_s % _DAY_S):
        raise ValueError(f"bucket {bucket_s} s: want 1 to 86400, or whole days")
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"zone {zone!r}: want a name of the IANA time zone database, such as Asia/Shanghai") from error
    start_ns, end_ns = max(start_ns, 0), min(end_ns, _LAST_NS)
    if start_ns >= end_ns:
        return []
    if (end_ns - start_ns) // SECOND_NS // bucket_s > MAX_BUCKETS:
        raise ValueError(f"bucket {bucket_s} s: more than {MAX_BUCKETS} of them in the interval; ask for longer ones")
    return _within(start_ns, end_ns, bucket_s, info)


def _within(start_ns: int, end_ns: int, bucket_s: int, zone: ZoneInfo) -> list[int]:
    found: list[int] = []
    for instant in _instants(start_ns // SECOND_NS, bucket_s, zone):
        edge = instant * SECOND_NS
        if edge <= start_ns:
            found = [edge]
        else:
            found.append(edge)
        if edge >= end_ns:
            break
    return found


def _instants(from_s: int, bucket_s: int, zone: ZoneInfo) -> Iterator[int]:
    """Bucket starts in Unix seconds, from one or more before `from_s` on, for ever."""
    days = max(1, bucket_s // _DAY_S)
    # Two days back: no zone is further than 26 hours from another, and its bucket may have begun a day before.
    first = dt.datetime.fromtimestamp(from_s, dt.UTC).date().toordinal() - _EPOCH_DAY.toordinal() - 2
    day = first - first % days - (days if days > 1 else 0)
    while True:
        yield from _instants_of_day(_EPOCH_DAY + dt.timedelta(days=day), bucket_s, zone)
        day += days


def _instants_of_day(day: dt.date, bucket_s: int, zone: ZoneInfo) -> list[int]:
    midnight = dt.datetime.combine(day, dt.time.min)
    offsets = [(midnight + dt.timedelta(hours=h)).replace(tzinfo=zone).utcoffset() for h in range(0, 25, 6)]
    seconds = range(0, _DAY_S, bucket_s)
    if len(set(offsets)) == 1:  # no clock change on this day: plain arithmetic
        base = int(midnight.replace(tzinfo=zone).timestamp())
        return [base + second for second in seconds]
    return sorted({instant for second in seconds for instant in _real(midnight + dt.timedelta(seconds=second), zone)})


def _real(wall: dt.datetime, zone: ZoneInfo) -> Iterator[int]:
    """The instants at which clocks of the zone show `wall`: none, one or two."""
    for fold in (0, 1):
        aware = wall.replace(tzinfo=zone, fold=fold)
        instant = int(aware.timestamp())
        if dt.datetime.fromtimestamp(instant, zone).replace(tzinfo=None) == wall:
            yield instant


def even_offset(starts: Sequence[int], bucket_s: int) -> int | None:
    """The offset from the epoch, in ns, at which a server's own even buckets are these; None where they are not even."""
    width = bucket_s * SECOND_NS
    if not starts or any(later - earlier != width for earlier, later in itertools.pairwise(starts)):
        return None
    return starts[0] % width
