"""What a time-series store must do, whichever it is.

One value is one (device, metric, time): writing it again changes nothing, wherever it came from. Values are kept as
they came: a boolean stays one, an integer stays exact, a string stays text. A value that its gateway calls bad is
kept with its quality and reason. A metric whose value is None, or a float that is not a number, is kept as "there was
none here", with its quality and reason and no value. Intervals are half open: `start_ns <= time < end_ns`.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Quality, Value
from telemetry.wire import ReadingsBatch

__all__ = [
    "MAX_BUCKETS",
    "Bucket",
    "Buckets",
    "Chart",
    "Curve",
    "Gap",
    "Point",
    "Rolled",
    "RowRefused",
    "SeriesStore",
    "StoreUnavailable",
    "Tier",
]

MAX_BUCKETS = 50_000
"""No answer has more buckets a metric than this; a finer question is a ValueError."""


class Tier(StrEnum):
    """How finely values are kept: each as it came, or what they amount to in every UTC minute or hour."""

    RAW = "raw"
    MINUTE = "1m"
    HOUR = "1h"

    @property
    def width_ns(self) -> int:
        """How much time one bucket of the tier holds; 1 ns for raw values."""
        return {Tier.RAW: 1, Tier.MINUTE: 60 * SECOND_NS, Tier.HOUR: 3600 * SECOND_NS}[self]


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
    for text; `last` is the value with the latest time, in its own type. The times are those of the first and the last
    value and of the extremes (of several equal ones any), None where the store did not learn them.
    """

    start_ns: int
    min: float | None
    max: float | None
    mean: float | None
    last: Value
    count: int
    first_ns: int | None = None
    last_ns: int | None = None
    min_ns: int | None = None
    max_ns: int | None = None


class Buckets(dict[str, list[Bucket]]):
    """metric -> its buckets; `tier` is the coarsest that they were made from, edges and the newest minutes being raw."""

    def __init__(self, found: dict[str, list[Bucket]], tier: Tier = Tier.RAW) -> None:
        super().__init__(found)
        self.tier = tier


class Gap(msgspec.Struct, frozen=True):
    """A silence: no good value between these two instants."""

    start_ns: int
    end_ns: int


class Curve(msgspec.Struct, frozen=True):
    """One metric as it is drawn: real values at their own times, in order of time, and where there were none."""

    times_ns: list[int]
    values: list[Value]
    gaps: list[Gap]


class Chart(msgspec.Struct, frozen=True):
    """metric -> curve. `column_ns` is the width of a column, in which the least and the greatest value are kept."""

    tier: Tier
    column_ns: int
    curves: dict[str, Curve]


class Rolled(msgspec.Struct, frozen=True, kw_only=True):
    """How far the tiers are: whole up to `until_ns`, but for `waiting` pieces (a device's hour) that late values touched.

    `more` says that there is more to be done at once; `coarse` counts late values that were noted for an hour of all
    devices, since too many pieces wait.
    """

    until_ns: int
    waiting: int = 0
    coarse: int = 0
    more: bool = False


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
    ) -> Buckets:
        """metric -> buckets in order of time, aligned to civil time in the IANA `zone`.

        Buckets begin at local midnight and every `bucket_s` of the local clock after it (from 86400 on: every so many
        local days, counted from 1970-01-01), so the first one may begin before `start_ns`; only values inside the
        interval are counted. ValueError for an unknown zone, a bucket below 1 s or above a day that is not whole days,
        or more than MAX_BUCKETS. They are made from the coarsest tier whose buckets their edges never cut.
        """
        ...

    async def rollup(
        self, tier: Tier, device: str, metrics: Sequence[str], start_ns: int, end_ns: int
    ) -> dict[str, list[Bucket]]:
        """metric -> the stored buckets of a tier (minute or hour) that begin in the interval, in order of time."""
        ...

    async def chart(  # noqa: PLR0917 - one question, asked in one way everywhere
        self, device: str, metrics: Sequence[str], start_ns: int, end_ns: int, pixels: int, usual_s: float | None = None
    ) -> Chart:
        """The interval for a screen `pixels` wide: of each column the least and the greatest value, and the first and the
        last value of the interval; at most 2 * `pixels` + 4 points a metric. No bad value is shown.

        Columns are as wide as a pixel or up to twice, where a tier then answers. A gap is a silence longer than the wider
        of a column and 2.5 times the device's usual interval, `usual_s` or, without it, the median of what is seen. Of
        text the changes are given; from a tier only those between the last texts of its buckets.
        """
        ...

    async def roll(self, now_ns: int) -> Rolled:
        """Bring the tiers up to date by one portion of work: what closed a little before `now_ns`, then what late values touched.

        May be cut short at any instant: what was not finished is known to the store itself and done by the next call.
        """
        ...

    async def prune(self, tier: Tier, before_ns: int) -> bool:
        """Forget one portion of what a tier holds from before `before_ns`; whether there is more.

        Nothing is forgotten that the next coarser tier has not yet taken up. StoreUnavailable where the server must do it
        by a retention of its own.
        """
        ...

    def rolled_ns(self) -> int:
        """Up to when the minutes are whole, but for late values; 0 where nothing was rolled up yet."""
        ...

    async def delete_before(self, time_ns: int) -> None:
        """Forget every value with an event time before `time_ns`; the latest values of a device are remembered."""
        ...

    async def count(self) -> int:
        """How many distinct values, (device, metric, time), are held; reads much, meant for accounts and tests."""
        ...
