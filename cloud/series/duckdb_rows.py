"""Questions to the embedded store's tables, raw and tiers, with the answers as rows that add up."""

# ruff: noqa: S608 - every name that is put into a statement is one of the tables; values are numbers

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt

from cloud.series.duckdb_tiers import MERGED_TEXT, RAW_TABLES, TIER_TABLES, merged
from cloud.series.rollups import ROW, Kind, Rows, rows_of
from cloud.series.store import Tier
from cloud.series.tiers import Part

__all__ = ["DuckRows"]

_NUMBERS: Final = tuple(name for name in ROW.names or () if name not in {"start_ns", "kind", "text"})


class DuckRows:
    """Asks on a connection of the reading thread's own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def read(
        self, device: int, metrics: Sequence[int], parts: Sequence[Part], grid: tuple[int, int] | None, bad: Sequence[int]
    ) -> dict[int, Rows]:
        """metric number -> rows of all parts. `bad` are the flaws whose values never count."""
        found: dict[int, list[Rows]] = defaultdict(list)
        for part in parts:
            if part.tier is Tier.RAW:
                self._read_raw(device, metrics, part, bad, found)
            else:
                self._read_tier(device, metrics, part, grid, found)
        return {metric: np.concatenate(pieces) for metric, pieces in found.items()}

    def _read_raw(
        self, device: int, metrics: Sequence[int], part: Part, bad: Sequence[int], found: Mapping[int, list[Rows]]
    ) -> None:
        flaws = ", ".join(map(str, [-1, *bad]))
        for kind, table in RAW_TABLES.items():
            answer = self._connection.execute(
                f"SELECT metric, time_ns, value FROM {table} WHERE {_where(device, metrics, 'time_ns', part)} "
                f"AND flaw NOT IN ({flaws}) AND value IS NOT NULL"
            ).fetchnumpy()
            for metric, (times, values) in _by_metric(answer["metric"], answer["time_ns"], answer["value"]):
                once, first = np.unique(times, return_index=True)
                found[metric].append(rows_of(once, values[first], kind))

    def _read_tier(
        self, device: int, metrics: Sequence[int], part: Part, grid: tuple[int, int] | None, found: Mapping[int, list[Rows]]
    ) -> None:
        if grid is not None and grid[0] == part.tier.width_ns:
            grid = None  # as they lie
        wanted, grouped = (", ".join(_NUMBERS), "") if grid is None else merged(*grid)
        start = "start_ns" if grid is None else "min(start_ns) AS start_ns"
        rest = f"FROM {TIER_TABLES[part.tier]} WHERE {_where(device, metrics, 'start_ns', part)} {grouped}"
        answer = self._connection.execute(f"SELECT metric, kind, {start}, {wanted} {rest}").fetchnumpy()
        if Kind.TEXT in answer["kind"]:
            # A column of texts costs as much as all the others, and hardly anybody has any.
            held = "text" if grid is None else MERGED_TEXT
            answer = self._connection.execute(f"SELECT metric, kind, {start}, {wanted}, {held} {rest}").fetchnumpy()
        rows = np.zeros(len(answer["metric"]), dtype=ROW)
        rows["text"] = None
        for name in answer.keys() & set(ROW.names or ()):
            column = answer[name]
            if isinstance(column, np.ma.MaskedArray):
                column = column.filled({"f": np.nan, "O": None}.get(ROW[name].kind, 0))
            rows[name] = column
        for metric, (members,) in _by_metric(answer["metric"], rows):
            found[metric].append(members)


def _where(device: int, metrics: Sequence[int], column: str, part: Part) -> str:
    numbers = ", ".join(map(str, metrics))
    interval = f"{column} >= {part.start_ns} AND {column} < {part.end_ns}"
    return f"device = {device} AND metric IN ({numbers}) AND {interval}"


def _by_metric(metrics: npt.NDArray[np.int32], *columns: npt.NDArray[Any]) -> list[tuple[int, list[npt.NDArray[Any]]]]:
    """(metric, its share of each column), one for each metric that is there."""
    return [(int(metric), [column[metrics == metric] for column in columns]) for metric in np.unique(metrics)]
