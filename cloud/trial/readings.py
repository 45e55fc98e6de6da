"""The readings of one device out of the series store, as the gateway sent them, page by page in the order of event time.

The store keeps one value for each (device, metric, time), and the gateway gives two different messages two times: the values
of one instant were one reading. What the store does not keep is when a reading was received, and what the gateway held back.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from cloud.series.store import Point, SeriesStore
from device_profiles.model import Profile
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Reading

__all__ = ["pages"]

_AT_ONCE: Final = 2_000


async def pages(  # noqa: PLR0917 - one question
    store: SeriesStore, device: str, profile: Profile, metrics: Sequence[str], start_ns: int, end_ns: int
) -> AsyncIterator[list[Reading]]:
    """All readings of the interval with any of `metrics`; of no metric more than a page at a time."""
    while start_ns < end_ns and metrics:
        found = await store.range(device, metrics, start_ns, end_ns, _AT_ONCE)
        # Behind the end of a metric that was cut, readings are not whole.
        cut = [points[-1].time_ns for points in found.values() if len(points) >= _AT_ONCE]
        upto_ns = min(cut) + 1 if cut else end_ns
        rows: dict[int, dict[str, Point]] = {}
        for metric, points in found.items():
            for point in points:
                if point.time_ns < upto_ns:
                    rows.setdefault(point.time_ns, {})[metric] = point
        yield [_reading(device, profile, time_ns, rows[time_ns]) for time_ns in sorted(rows)]
        start_ns = upto_ns


def _reading(device: str, profile: Profile, time_ns: int, points: Mapping[str, Point]) -> Reading:
    return Reading(
        device=device,
        profile=profile.name,
        profile_version=profile.version,
        time_ns=time_ns,
        received_ns=time_ns,
        values={metric: point.value for metric, point in points.items()},
        flaws={
            metric: Flaw(point.quality, point.reason or Reason.NO_VALUE)
            for metric, point in points.items()
            if point.quality is not Quality.GOOD
        },
    )
