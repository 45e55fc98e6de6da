"""Values out of a store: device by device, metric by metric, in order of time, never more in memory than a slice."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from cloud.series.store import SeriesStore
from cloud.transfer.rows import Row, row_of
from cloud.transfer.sinks import Place, Sink

__all__ = ["Exported", "Wanted", "export", "metrics_of"]

_PAGE: Final = 10_000
_SLICE: Final = 20_000


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: device -> metrics, in an interval [start_ns, end_ns). `fixed_end`: somebody said the end."""

    metrics: Mapping[str, Sequence[str]]
    start_ns: int
    end_ns: int
    fixed_end: bool

    def question(self) -> str:
        """The same word for the same question, however long ago it was asked."""
        asked = [sorted((device, sorted(names)) for device, names in self.metrics.items()), self.start_ns]
        return sha256(msgspec.json.encode([*asked, self.end_ns if self.fixed_end else None])).hexdigest()


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written; `resumed` rows of it by a run before this one."""

    rows: int
    series: int
    resumed: int
    start_ns: int
    end_ns: int


async def metrics_of(store: SeriesStore, device: str, known: Sequence[str]) -> list[str]:
    """The metrics of a device: those of its profile, and whatever else it ever said a latest value of."""
    held = (await store.latest([device])).get(device, {})
    return sorted({*known, *held})


async def export(
    store: SeriesStore, sink: Sink | None, wanted: Wanted, tell: Callable[[int, int], None] = lambda _done, _rows: None
) -> Exported:
    """Write everything into `sink`, from where a former run was killed; without one only count. StoreUnavailable as the store.

    `tell` hears (series done, rows so far).
    """
    question = wanted.question()
    place = sink.resume(question) if sink is not None else None
    resumed = place.rows if place else 0
    place = place or Place(question=question, end_ns=wanted.end_ns)
    rows: list[Row] = []
    done = 0
    try:
        async for done, page, after in _pages(store, wanted, place):
            rows += page
            place = msgspec.structs.replace(after, rows=place.rows + len(page))
            if sink is not None and len(rows) >= _SLICE:
                sink.write(rows, place)
            if sink is None or len(rows) >= _SLICE:
                rows = []
            tell(done, place.rows)
        if sink is not None:
            sink.write(rows, place)
            sink.finish()
    except BaseException:
        if sink is not None:
            sink.close()
        raise
    series = sum(map(len, wanted.metrics.values()))
    return Exported(rows=place.rows, series=series, resumed=resumed, start_ns=wanted.start_ns, end_ns=place.end_ns)


async def _pages(store: SeriesStore, wanted: Wanted, place: Place) -> AsyncIterator[tuple[int, list[Row], Place]]:
    """(series done, rows, the place behind them) from a place on; the end is that of the run that began."""
    series = [(device, metric) for device in sorted(wanted.metrics) for metric in sorted(wanted.metrics[device])]
    for index, (device, metric) in enumerate(series):
        if (device, metric) < (place.device, place.metric):
            continue
        same = (device, metric) == (place.device, place.metric)
        from_ns = max(wanted.start_ns, place.time_ns) if same else wanted.start_ns
        while from_ns < place.end_ns:
            points = (await store.range(device, [metric], from_ns, place.end_ns, _PAGE))[metric]
            full = len(points) >= _PAGE
            from_ns = points[-1].time_ns + 1 if full else place.end_ns
            after = msgspec.structs.replace(place, device=device, metric=metric, time_ns=from_ns)
            yield index + 1, [row_of(device, metric, point) for point in points], after
