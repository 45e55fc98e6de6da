"""When a rule could not be judged, for what it is about was not known."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from telemetry.records import Quality, Reading

__all__ = ["Gap", "GapKind", "Gaps", "joined_ns"]

_MOST = 20_000


class GapKind(StrEnum):
    """Why it was not known."""

    SILENT = "silent"
    """The device said nothing for longer than its profile expects; what happened meanwhile nobody saw."""
    BAD = "bad"
    """What it said could not be believed."""
    UNHEARD = "unheard"
    """It had not yet said this metric at all."""


class Gap(msgspec.Struct, frozen=True):
    start_ns: int
    end_ns: int
    kind: GapKind


class Gaps:
    """Of one device: metrics that are unknown. Of very many short gaps the last are drawn together into longer ones."""

    def __init__(self, metrics: Iterable[str], start_ns: int) -> None:
        self.found: list[Gap] = []
        self._metrics = frozenset(metrics)
        self._unknown = dict.fromkeys(self._metrics, (start_ns, GapKind.UNHEARD))

    def reading(self, reading: Reading) -> None:
        """The next one by event time."""
        for metric in self._metrics & reading.values.keys():
            known = reading.values[metric] is not None and reading.quality(metric) is not Quality.BAD
            if known and metric in self._unknown:
                self._close(metric, reading.time_ns)
            elif not known and metric not in self._unknown:
                self._unknown[metric] = reading.time_ns, GapKind.BAD

    def finish(self, end_ns: int) -> None:
        for metric in list(self._unknown):
            self._close(metric, end_ns)

    def _close(self, metric: str, end_ns: int) -> None:
        start_ns, kind = self._unknown.pop(metric)
        if len(self.found) < _MOST:
            self.found.append(Gap(start_ns, end_ns, kind))
        else:
            last = self.found[-1]
            self.found[-1] = Gap(min(last.start_ns, start_ns), max(last.end_ns, end_ns), kind)


def joined_ns(gaps: Sequence[Gap], start_ns: int, end_ns: int) -> int:
    """How many nanoseconds from start to end lie in any of the gaps."""
    total, reached_ns = 0, start_ns
    for gap in sorted(gaps, key=lambda gap: gap.start_ns):
        since_ns, until_ns = max(gap.start_ns, reached_ns), min(gap.end_ns, end_ns)
        if until_ns > since_ns:
            total += until_ns - since_ns
            reached_ns = until_ns
    return total
