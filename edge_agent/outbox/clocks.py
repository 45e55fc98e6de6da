"""By which clock the times of a record were told: segments of one boot in which wall and monotonic time ran side by side."""

import msgspec

from telemetry.records import ClockQuality

__all__ = ["UNTOLD", "ClockStamp"]


class ClockStamp(msgspec.Struct, frozen=True):
    """One segment: while it lasts, the wall time used is `offset_ns` plus the monotonic time of boot `boot_id`."""

    boot_id: str
    quality: ClockQuality
    offset_ns: int


UNTOLD = ClockStamp("test", ClockQuality.SYNCED, 0)
"""For whoever opens an outbox without saying by which clock."""
