"""What a time-series store must do, whichever it is.

One value is one (device, metric, time): writing it again changes nothing, wherever it came from. Values are kept as
they came: a boolean stays one, an integer stays exact, a string stays text. A value that its gateway calls bad is
kept with its quality and reason. A metric whose value is None, or a float that is not a number, is kept as "there was
none here", with its quality and reason and no value. Intervals are half open: `start_ns <= time < end_ns`.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from telemetry.reason import Reason
from telemetry.records import Quality, Value
from telemetry.wire import ReadingsBatch

__all__ = ["MAX_BUCKETS", "Bucket", "Point", "RowRefused", "SeriesStore", "StoreUnavailable"]

MAX_BUCKETS = 50_000
"""No answer has more buckets a metric than this; a finer question is a ValueError."""


class StoreUnavailable(Exception):  # noqa: N818 - says what is so, like the reason of the same name
    """The store cannot take or give anything just now; the same call may succeed later. Nothing was refused.

    `rest_s` is how long the store itself asks to be left alone; 0 where it does not say.
    """

    def __init__(self, detail: str, rest_s: float = 0.0) -> None:
        super().__init__(detail)
        self.rest_s = rest_s


class RowRefused(msgspec.Struct, frozen=True):
    """A reading that the store will never take; the others of its batch are stored."""

    gateway: str
    seq: int
    reason: Reason
    detail: str


class Point(msgspec.Struct, frozen=True):
    """One value at one instant; `value` None where the device had none. `reason` is None when the quality is good."""

    time_ns: int
    value: Value
    quality: Quality = Quality.GOOD
    reason: Reason | None = None


class Bucket(msgspec.Struct, frozen=True):
    """The values of one metric that begin in one interval, bad ones left out.

    `count` is how many; a bucket with none is not given. `min`, `max` and `mean` treat booleans as 0 and 1 and are None
    for text; `last` is the value with the latest time, in its own type.
    """

    start_ns: int
    min: float | None
    max: float | None
    mean: float | None
    last: Value
    count: int


class SeriesStore(Protocol):
    """A place where readings are kept for good."""

    async def open(self) -> None:
        """Connect or create, and learn the latest values. StoreUnavailable where the server does not answer."""
        ...

    async def close(self) -> None:
        """Finish what is being written, then let go. A closed store may be opened again."""
        ...

    async def write(self, batches: Sequence[ReadingsBatch]) -> list[RowRefused]:
        """Keep every reading of `batches`; they are on disk when this returns.

        Readings that cannot ever be kept are returned, the rest are kept. StoreUnavailable means that any part may or
        may not have been kept: write the same again later.
        """
        ...

    async def latest(self, devices: Sequence[str]) -> dict[str, dict[str, Point]]:
        """device -> metric -> the point with the latest event time; a device without values has an empty mapping."""
        ...

    async def range(
        self,
        device: str,
        metrics: Sequence[str],
        start_ns: int,
        end_ns: int,
        limit: int,
        *,
        newest_first: bool = False,
    ) -> dict[str, list[Point]]:
        """metric -> its first `limit` points of the interval in order of time; an empty list where there are none.

        With `newest_first` its last `limit` points, from the latest back.
        """
        ...

    async def buckets(  # noqa: PLR0917 - one question, asked in one way everywhere
        self, device: str, metrics: Sequence[str], start_ns: int, end_ns: int, bucket_s: int, zone: str
    ) -> dict[str, list[Bucket]]:
        """metric -> buckets in order of time, aligned to civil time in the IANA `zone`.

        Buckets begin at local midnight and every `bucket_s` of the local clock after it (from 86400 on: every so many
        local days, counted from 1970-01-01), so the first one may begin before `start_ns`; only values inside the
        interval are counted. ValueError for an unknown zone, a bucket below 1 s or above a day that is not whole days,
        or more than MAX_BUCKETS.
        """
        ...

    async def delete_before(self, time_ns: int) -> None:
        """Forget every value with an event time before `time_ns`; the latest values of a device are remembered."""
        ...

    async def count(self) -> int:
        """How many distinct values, (device, metric, time), are held; reads much, meant for accounts and tests."""
        ...
