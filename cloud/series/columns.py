"""Batches as columns: what a column store is fed with, value by value only where types are mixed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from cloud.series.honest import MAX_TEXT, flaws_by_row, honest
from telemetry.records import Flaw, Value
from telemetry.wire import ReadingGroup, ReadingsBatch

__all__ = ["GOOD", "Columns", "Numbering"]

GOOD: Final = 0
"""The flaw number of a value that has none."""

_Ints = npt.NDArray[np.int64]


class Numbering(Protocol):
    """Small numbers for names, given out once and for good."""

    def device(self, name: str) -> int: ...

    def metric(self, name: str) -> int: ...

    def flaw(self, flaw: Flaw) -> int: ...


class _Table:
    """The chunks of one table, each the same length in every column."""

    def __init__(self) -> None:
        self._chunks: list[tuple[npt.NDArray[Any], ...]] = []

    def add(self, *columns: npt.NDArray[Any]) -> None:
        self._chunks.append(columns)

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """The columns whole; no column at all where nothing was added."""
        return tuple(np.concatenate(parts) for parts in zip(*self._chunks, strict=True))


class Columns:
    """Values by how they are kept, columns (device, metric, time_ns, value, flaw) each.

    `floats` are float64, `wholes` int64, `truths` int64 0 or 1, `texts` str or None (None: there was no value).
    """

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering
        self.floats, self.wholes, self.truths, self.texts = _Table(), _Table(), _Table(), _Table()

    def add(self, batch: ReadingsBatch) -> None:
        """Take every value of a batch whose times are sound."""
        for group in batch.groups:
            if group.rows:
                self._add_group(group)

    def _add_group(self, group: ReadingGroup) -> None:
        rows = group.rows
        numbers = np.array([self._numbering.device(name) for name in group.devices], dtype=np.int32)
        devices = numbers[np.array([row[1] for row in rows], dtype=np.intp)]
        times = np.array([row[2] for row in rows], dtype=np.int64)
        flaws = _flaws_by_metric(group)
        for index, values in enumerate(zip(*[row[4] for row in rows], strict=True)):
            metric = self._numbering.metric(group.metrics[index])
            self._add_values(devices, metric, times, values, flaws.get(index, {}))

    def _add_values(
        self,
        devices: npt.NDArray[np.int32],
        metric: int,
        times: _Ints,
        values: Sequence[Value],
        flaws: Mapping[int, Flaw],
    ) -> None:
        even = _even(values)
        if even is None:
            self._add_mixed(devices, metric, times, values, flaws)
            return
        kind, column = even
        marks = np.zeros(len(values), dtype=np.int16)
        for row, flaw in flaws.items():
            marks[row] = self._numbering.flaw(flaw)
        self._table(kind).add(devices, np.full(len(values), metric, dtype=np.int32), times, column, marks)

    def _add_mixed(
        self,
        devices: npt.NDArray[np.int32],
        metric: int,
        times: _Ints,
        values: Sequence[Value],
        flaws: Mapping[int, Flaw],
    ) -> None:
        """Sort the values of one metric by kind, each kept as what it is."""
        kinds: dict[type, list[tuple[int, Value, int]]] = {}
        for row, raw in enumerate(values):
            value, flaw = honest(raw, flaws.get(row))
            mark = GOOD if flaw is None else self._numbering.flaw(flaw)
            kinds.setdefault(str if value is None else type(value), []).append((row, value, mark))
        for kind, members in kinds.items():
            rows = np.array([row for row, _, _ in members], dtype=np.intp)
            column = np.array([value for _, value, _ in members], dtype=_DTYPES[kind])
            marks = np.array([mark for _, _, mark in members], dtype=np.int16)
            self._table(kind).add(devices[rows], np.full(len(rows), metric, dtype=np.int32), times[rows], column, marks)

    def _table(self, kind: type) -> _Table:
        return {float: self.floats, int: self.wholes, bool: self.truths, str: self.texts}[kind]


_DTYPES: Final[Mapping[type, Any]] = {float: np.float64, int: np.int64, bool: np.int64, str: object}


def _even(values: Sequence[Value]) -> tuple[type, npt.NDArray[Any]] | None:
    """The kind and column of values that are all of one kind and all can be kept; None otherwise."""
    kinds = set(map(type, values))
    if len(kinds) != 1 or (kind := kinds.pop()) not in _CHECKS:
        return None
    try:
        column = np.array(values, dtype=_DTYPES[kind])
    except OverflowError:
        return None
    return (kind, column) if _CHECKS[kind](column) else None


_CHECKS: Final[Mapping[type, Callable[[npt.NDArray[Any]], bool]]] = {
    float: lambda column: bool(np.isfinite(column).all()),
    int: lambda _: True,
    bool: lambda _: True,
    str: lambda column: max(map(len, column)) <= MAX_TEXT,
}


def _flaws_by_metric(group: ReadingGroup) -> dict[int, dict[int, Flaw]]:
    """metric index -> row index -> flaw."""
    found: dict[int, dict[int, Flaw]] = {}
    if group.flaws:
        for row, flaws in flaws_by_row(group).items():
            for metric, flaw in flaws.items():
                found.setdefault(metric, {})[row] = flaw
    return found
