"""The newest minutes in memory: what was just written, laid out in columns, and what it amounts to once a minute has closed.

For stores that cannot make the tiers themselves: reading three million values of a minute back from a server would cost more
than writing them did. Here a minute of them costs about a second of one core, in a thread.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cloud.series.columns import Columns
from cloud.series.rollups import ROW, Kind, Rows, add_up
from cloud.series.tiers import MINUTE_NS
from telemetry.records import Flaw, Quality
from telemetry.wire import ReadingsBatch

__all__ = ["MOST_HELD", "LiveEdge", "Piece", "Rolls", "minutes_of"]

MOST_HELD: Final = 6_000_000
"""Values, of 26 bytes each: two minutes at 50,000 a second."""

_BAD: Final = 1
_DOUBTED: Final = 2

Piece = tuple[Kind, tuple[npt.NDArray[Any], ...]]
"""Values of one kind as columns (device, metric, time_ns, value, flaw); the flaw is 1 where a value is bad."""

Rolls = tuple[npt.NDArray[np.int64], Rows]
"""Rows in order, and the key of each: the device's number times 2**32 plus the metric's."""


class _Numbers:
    """Numbers of names, for as long as the process lives."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def device(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
        return number

    metric = device

    @staticmethod
    def flaw(flaw: Flaw) -> int:
        return _BAD if flaw.quality is Quality.BAD else _DOUBTED


class LiveEdge:
    """What was written of the minutes from `since_ns` on; anything earlier must be asked for from the store.

    Never holds more than `most` values: when there would be more it forgets all, and begins again with the next minute.
    """

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._numbers = _Numbers()
        self._pieces: list[Piece] = []
        self._held = 0
        self.since_ns = 0
        self.overflows = 0

    def begin(self, now_ns: int) -> None:
        """Know of nothing before the minute after next: what is being written just now may belong to this one or the next."""
        self._pieces, self._held = [], 0
        self.since_ns = (now_ns // MINUTE_NS + 2) * MINUTE_NS

    def add(self, batches: Iterable[ReadingsBatch], now_ns: int) -> None:
        """Take batches that were written."""
        columns = Columns(self._numbers)
        for batch in batches:
            columns.add(batch)
        kinds = {Kind.FLOAT: columns.floats, Kind.WHOLE: columns.wholes, Kind.TRUTH: columns.truths, Kind.TEXT: columns.texts}
        for kind, table in kinds.items():
            if arrays := table.arrays():
                self._pieces.append((kind, arrays))
                self._held += len(arrays[0])
        if self._held > self._most:
            self.overflows += 1
            self.begin(now_ns)

    def take(self, until_ns: int) -> list[Piece]:
        """What is held of the time from `since_ns` to `until_ns`; it is not held any more."""
        taken: list[Piece] = []
        kept: list[Piece] = []
        for kind, arrays in self._pieces:
            times = arrays[2]
            old = times < until_ns
            if not old.all():
                kept.append((kind, tuple(column[~old] for column in arrays)))
            wanted = old & (times >= self.since_ns)
            if wanted.any():
                taken.append((kind, tuple(column[wanted] for column in arrays)))
        self._pieces, self._held = kept, sum(len(arrays[0]) for _, arrays in kept)
        self.since_ns = max(self.since_ns, until_ns)
        return taken

    def name(self, number: int) -> str:
        """The device or metric of a number."""
        return self._numbers.names[number]


def minutes_of(pieces: Iterable[Piece]) -> Rolls:
    """What values amount to in each minute, each time of a device's metric once and bad ones never."""
    kinds: dict[Kind, list[tuple[npt.NDArray[Any], ...]]] = {}
    for kind, arrays in pieces:
        kinds.setdefault(kind, []).append(arrays)
    found = [_of_kind(kind, [np.concatenate(column) for column in zip(*parts, strict=True)]) for kind, parts in kinds.items()]
    keys = np.concatenate([np.zeros(0, dtype=np.int64), *(keys for keys, _ in found)])
    rows = np.concatenate([np.zeros(0, dtype=ROW), *(rows for _, rows in found)])
    if len(found) < 2 or not len(rows):
        return keys, rows
    # A metric may have had values of two kinds within one minute.
    order = np.lexsort((rows["last_ns"], rows["start_ns"], keys))
    keys, rows = keys[order], rows[order]
    first = _runs(keys, rows["start_ns"])
    return keys[first], add_up(rows, first)


def _of_kind(kind: Kind, columns: Sequence[npt.NDArray[Any]]) -> Rolls:
    devices, metrics, times, values, flaws = columns
    keys = (devices.astype(np.int64) << 32) + metrics
    counted = flaws != _BAD
    if kind is Kind.TEXT:
        counted &= np.array([value is not None for value in values.tolist()], dtype=bool)
    keys, times, values = keys[counted], times[counted], values[counted]
    order = np.lexsort((times, keys))
    keys, times, values = keys[order], times[order], values[order]
    once = _runs(keys, times)
    keys, times, values = keys[once], times[once], values[once]
    minutes = times - times % MINUTE_NS
    first = _runs(keys, minutes)
    last = np.append(first[1:], len(keys))[: len(first)] - 1
    rows = np.zeros(len(first), dtype=ROW)
    rows["start_ns"], rows["kind"], rows["n"] = minutes[first], kind, last - first + 1
    rows["first_ns"], rows["last_ns"], rows["text"] = times[first], times[last], None
    for name in ("low", "high", "first", "last"):
        rows[name] = np.nan
    if not len(first):
        return keys, rows
    if kind is Kind.TEXT:
        rows["low_ns"], rows["high_ns"], rows["text"] = times[first], times[first], values[last]
        return keys[first], rows
    group = np.repeat(np.arange(len(first)), last - first + 1)
    for name, best in (("low", np.minimum.reduceat(values, first)), ("high", np.maximum.reduceat(values, first))):
        hit = np.flatnonzero(values == best[group])
        places, at = np.unique(group[hit], return_index=True)
        rows[name][places], rows[f"{name}_ns"][places] = best, times[hit[at]]
    rows["total"] = np.add.reduceat(values.astype(np.float64), first)
    rows["first"], rows["last"] = values[first], values[last]
    if kind is not Kind.FLOAT:
        rows["exact"] = values[last]
    return keys[first], rows


def _runs(*columns: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Where a new combination begins, in columns sorted by it."""
    if not len(columns[0]):
        return np.zeros(0, dtype=np.intp)
    changed = np.zeros(len(columns[0]), dtype=bool)
    changed[0] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)
