"""The latest value of every metric of every device, in memory, by event time.

Values from the future, or from a clock that nobody set, are never the latest: one such value would hide all that comes
after it. Whether a time is of the future is judged by the cloud's clock, when the value comes or is read at the start.
"""

from collections.abc import Iterable, Mapping, Sequence

from cloud.series.honest import MOST_AHEAD_NS, flaws_by_row, honest, timed
from cloud.series.store import Point
from telemetry.clock import Clock, SystemClock
from telemetry.raw_frames import is_raw_frame
from telemetry.reason import Reason
from telemetry.records import Flaw, Value
from telemetry.wire import ReadingGroup, ReadingsBatch

__all__ = ["LatestValues"]

_Snapshot = tuple[int, Sequence[Value], Mapping[int, Flaw]]
_MOST_SHAPES = 4
_NO_FLAWS: Mapping[int, Flaw] = {}


class _Device:
    """Whole rows by their tuple of metrics, since a row costs one step where its values would cost ten."""

    __slots__ = ("points", "rows")

    def __init__(self) -> None:
        self.points: dict[str, Point] = {}
        self.rows: dict[tuple[str, ...], _Snapshot] = {}

    def fold(self) -> None:
        """Turn the rows into points, so that a device that changes its shape for ever stays small."""
        self.points = self.merged()
        self.rows.clear()

    def merged(self) -> dict[str, Point]:
        newest = dict(self.points)
        for metrics, (time_ns, values, flaws) in self.rows.items():
            for index, metric in enumerate(metrics):
                known = newest.get(metric)
                if known is None or known.time_ns <= time_ns:
                    newest[metric] = _point(time_ns, values[index], flaws.get(index))
        return newest


class LatestValues:
    """An older event time never replaces a newer one, in whatever order readings come."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._devices: dict[str, _Device] = {}

    def horizon_ns(self) -> int:
        """The latest event time that is believed just now."""
        return self._clock.wall_ns() + MOST_AHEAD_NS

    def learn(self, points: Iterable[tuple[str, str, Point]]) -> None:
        """Take (device, metric, point) from a store that was just opened."""
        horizon_ns = self.horizon_ns()
        for device, metric, point in points:
            if point.time_ns > horizon_ns or point.reason is Reason.CLOCK_UNSYNCED or is_raw_frame(metric):
                continue
            held = self._devices.setdefault(device, _Device()).points
            known = held.get(metric)
            if known is None or known.time_ns < point.time_ns:
                held[metric] = point

    def update(self, batch: ReadingsBatch) -> None:
        """Take a batch that was just stored."""
        if timed(batch):
            horizon_ns = self.horizon_ns()
            for group in batch.groups:
                self._update_group(group, horizon_ns)

    def get(self, device: str) -> dict[str, Point]:
        """metric -> its latest point; empty for a device never heard."""
        held = self._devices.get(device)
        return {} if held is None else held.merged()

    def _update_group(self, group: ReadingGroup, horizon_ns: int) -> None:
        metrics = group.metrics
        if metrics and is_raw_frame(metrics[0]):
            return  # frames have records of their own, and are nobody's values
        flawed = flaws_by_row(group) if group.flaws else {}
        held = [self._devices.get(device) or self._devices.setdefault(device, _Device()) for device in group.devices]
        for index, (_, device, time_ns, _, values) in enumerate(group.rows):
            if time_ns > horizon_ns:
                continue
            rows = held[device].rows
            known = rows.get(metrics)
            if known is None:
                if len(rows) >= _MOST_SHAPES:
                    held[device].fold()
            elif time_ns < known[0]:
                continue
            rows[metrics] = (time_ns, values, flawed.get(index, _NO_FLAWS))


def _point(time_ns: int, value: Value, flaw: Flaw | None) -> Point:
    value, flaw = honest(value, flaw)
    return Point(time_ns, value) if flaw is None else Point(time_ns, value, flaw.quality, flaw.reason)
