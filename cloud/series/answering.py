"""Answers that are made alike whatever the store is: it gives the rows of the parts, and here they are put together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np

from cloud.series.civil import edges, even_offset
from cloud.series.rollups import ROW, Rows, combine, gaps, to_buckets, to_curve
from cloud.series.store import Bucket, Buckets, Chart, Curve, Tier
from cloud.series.tiers import Part, State, column_edges, column_of, parts, tier_of_edges
from telemetry.clock import SECOND_NS

__all__ = ["Answerer", "Asked", "Grid", "Source"]

Grid = tuple[int, int]
"""Width and origin, in ns, of even intervals of which one row each is enough."""

_NOTHING = np.zeros(0, dtype=ROW)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are wanted: those of the parts, tiers merged to `grid` where there is one, and with `amounts` also raw
    values, whose own times are then not asked for."""

    device: str
    metrics: Sequence[str]
    parts: Sequence[Part]
    grid: Grid | None = None
    amounts: bool = False


class Source(Protocol):
    """A store, as far as its rows go."""

    async def rows(self, asked: Asked) -> Mapping[str, Rows]:
        """metric -> rows, in any order; a metric without values need not be there."""
        ...

    async def tiers_of(self, device: str) -> tuple[State, Sequence[int]]:
        """How far the tiers are, and where the hours begin in which those of the device lack what came late."""
        ...


class Answerer:
    """Buckets, stored aggregates and charts, out of the rows of a store. `now_ns` tells the time."""

    def __init__(self, source: Source, now_ns: Callable[[], int]) -> None:
        self._source = source
        self._now_ns = now_ns

    async def buckets(  # noqa: PLR0917 - the protocol's
        self, device: str, metrics: Sequence[str], start_ns: int, end_ns: int, bucket_s: int, zone: str
    ) -> Buckets:
        """As `SeriesStore.buckets`."""
        starts = edges(start_ns, end_ns, bucket_s, zone)
        if not starts:
            return Buckets({metric: [] for metric in metrics})
        state, stale = await self._source.tiers_of(device)
        wanted = parts(tier_of_edges(starts), max(start_ns, 0), min(end_ns, starts[-1]), state, stale)
        even = even_offset(starts, bucket_s) is not None
        grid = (bucket_s * SECOND_NS, starts[0]) if even else None
        asked = Asked(device=device, metrics=metrics, parts=wanted, grid=grid, amounts=even)
        rows = await self._source.rows(asked)
        tier = max((part.tier for part in wanted), key=lambda each: each.width_ns)
        return Buckets({metric: to_buckets(combine(rows.get(metric, _NOTHING), starts)) for metric in metrics}, tier)

    async def rollup(
        self, tier: Tier, device: str, metrics: Sequence[str], start_ns: int, end_ns: int
    ) -> dict[str, list[Bucket]]:
        """As `SeriesStore.rollup`."""
        asked = Asked(device=device, metrics=metrics, parts=[Part(tier, max(start_ns, 0), end_ns)])
        rows = await self._source.rows(asked)
        held = {metric: rows.get(metric, _NOTHING) for metric in metrics}
        return {metric: to_buckets(combine(found, np.unique(found["start_ns"]))) for metric, found in held.items()}

    async def chart(  # noqa: PLR0917 - the protocol's
        self, device: str, metrics: Sequence[str], start_ns: int, end_ns: int, pixels: int, usual_s: float | None = None
    ) -> Chart:
        """As `SeriesStore.chart`."""
        state, stale = await self._source.tiers_of(device)
        tier, column_ns = column_of(start_ns, end_ns, pixels, state)
        starts = column_edges(start_ns, end_ns, tier, column_ns)
        grid = None if tier is Tier.RAW else (column_ns, starts[0])
        wanted = parts(tier, start_ns, end_ns, state, stale)
        rows = await self._source.rows(Asked(device=device, metrics=metrics, parts=wanted, grid=grid))
        usual_ns = None if usual_s is None else usual_s * SECOND_NS
        heard_ns = max(start_ns, min(end_ns, self._now_ns()))
        curves: dict[str, Curve] = {}
        for metric in metrics:
            found = rows.get(metric, _NOTHING)
            columns = combine(found, starts)
            silences = gaps(columns, start_ns, heard_ns, column_ns, usual_ns)
            curves[metric] = to_curve(found, columns, 2 * pixels, silences)
        return Chart(tier, column_ns, curves)
