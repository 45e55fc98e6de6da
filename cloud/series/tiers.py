"""Which tier answers a question, and which parts of it must come from finer ones."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np

from cloud.series.store import Tier

__all__ = ["DELAY_NS", "HOUR_NS", "MINUTE_NS", "Part", "State", "column_edges", "column_of", "parts", "tier_of_edges"]

MINUTE_NS: Final = Tier.MINUTE.width_ns
HOUR_NS: Final = Tier.HOUR.width_ns
DELAY_NS: Final = 15_000_000_000
"""How long a minute stays open after its end: what is later than this is late, and rolled up anew."""

_WIDEST: Final = 1.5
"""Pixels that a tier's bucket may be wide; above it a finer tier is taken."""
_FINER: Final = {Tier.HOUR: Tier.MINUTE, Tier.MINUTE: Tier.RAW}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How far the tiers of a store are: minutes and hours before these instants are made. What is before `raw_from_ns` and
    `minute_from_ns` may have been forgotten as raw values and as minutes."""

    minutes_ns: int = 0
    hours_ns: int = 0
    raw_from_ns: int = 0
    minute_from_ns: int = 0

    def made_ns(self, tier: Tier) -> int:
        """Up to when a tier is made."""
        return {Tier.MINUTE: self.minutes_ns, Tier.HOUR: self.hours_ns}[tier]

    def kept(self, tier: Tier, start_ns: int) -> Tier:
        """`tier`, or the finest coarser one that still reaches back to `start_ns`."""
        if tier is Tier.RAW and start_ns < self.raw_from_ns:
            tier = Tier.MINUTE
        return Tier.HOUR if tier is Tier.MINUTE and start_ns < self.minute_from_ns else tier


class Part(msgspec.Struct, frozen=True):
    """A piece of the interval, and the tier that it is read from."""

    tier: Tier
    start_ns: int
    end_ns: int


def tier_of_edges(starts: Sequence[int]) -> Tier:
    """The coarsest tier whose buckets these edges never cut."""
    edges = np.asarray(starts, dtype=np.int64)
    return next((tier for tier in (Tier.HOUR, Tier.MINUTE) if not (edges % tier.width_ns).any()), Tier.RAW)


def column_of(start_ns: int, end_ns: int, pixels: int, state: State) -> tuple[Tier, int]:
    """The tier that a chart is drawn from, and how wide its columns are, in ns."""
    pixel_ns = max(1, -(-(end_ns - start_ns) // pixels))
    coarse = (tier for tier in (Tier.HOUR, Tier.MINUTE) if tier.width_ns <= _WIDEST * pixel_ns and state.made_ns(tier) > start_ns)
    tier = state.kept(next(coarse, Tier.RAW), start_ns)
    return tier, -(-pixel_ns // tier.width_ns) * tier.width_ns


def column_edges(start_ns: int, end_ns: int, tier: Tier, column_ns: int) -> list[int]:
    """Where columns begin: at whole buckets of the tier, the first one at or before `start_ns`."""
    origin = start_ns - start_ns % tier.width_ns
    return list(range(origin, max(end_ns, origin + 1), column_ns))


def parts(tier: Tier, start_ns: int, end_ns: int, state: State, stale_hours: Iterable[int]) -> list[Part]:
    """The interval in order of time: as much of it as can be from `tier`, its edges from finer ones.

    What late values touched and was not rolled up since, the hours that begin at `stale_hours`, is read raw, too.
    """
    if start_ns >= end_ns:
        return []
    if tier is Tier.RAW:
        return [Part(Tier.RAW, start_ns, end_ns)]
    width = tier.width_ns
    first = -(-start_ns // width) * width
    last = min(end_ns - end_ns % width, state.made_ns(tier))
    if first >= last:
        return parts(_FINER[tier], start_ns, end_ns, state, stale_hours)
    stale = sorted(hour for hour in stale_hours if hour >= state.raw_from_ns)
    found = parts(_FINER[tier], start_ns, first, state, stale)
    at = first
    for hour in stale:
        begin, end = max(hour, at), min(hour + HOUR_NS, last)
        if begin < end:
            found += [Part(tier, at, begin), Part(Tier.RAW, begin, end)]
            at = end
    found += [Part(tier, at, last), *parts(_FINER[tier], last, end_ns, state, stale)]
    return [part for part in found if part.start_ns < part.end_ns]
