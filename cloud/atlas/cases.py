"""The open cases, for the pins of the map and for the search box: few beside the devices, so they are simply kept."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.alarms.acts import RANK
from cloud.atlas.crs import Crs, shown
from cloud.atlas.mercator import Tile, units
from telemetry.records import Priority

__all__ = ["MOST_PINS", "CaseRow", "OpenCases"]

MOST_PINS: Final = 5_000
"""Open cases that are shown on the map at all: the gravest, and of those the oldest."""
MOST_IN_TILE: Final = 500


class CaseRow(NamedTuple):
    """An open case."""

    id: int
    device: str | None
    priority: str
    title_zh: str
    title_en: str
    address: str
    longitude: float | None
    latitude: float | None
    opened_ns: int


class OpenCases:
    """By their numbers."""

    def __init__(self, crs: Crs) -> None:
        self._crs = crs
        self._held: dict[int, CaseRow] = {}
        self._stale = False
        self._pins: list[CaseRow] = []
        self._x = self._y = np.array([], dtype=np.uint32)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def ids(self) -> set[int]:
        """The numbers of all open cases."""
        return set(self._held)

    def get(self, number: int) -> CaseRow | None:
        return self._held.get(number)

    def put(self, rows: Iterable[CaseRow], gone: Iterable[int]) -> list[CaseRow]:
        """Take up cases that are open, and let go of those that are not any more; what is to be drawn anew."""
        changed: list[CaseRow] = []
        for row in rows:
            former = self._held.get(row.id)
            if former != row:
                changed += [row] if former is None else [former, row]
                self._held[row.id] = row
        for number in gone:
            if (over := self._held.pop(number, None)) is not None:
                changed.append(over)
        self._stale = self._stale or bool(changed)
        return changed

    def places(self, rows: Iterable[CaseRow]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Where those of the rows are that have a place, in units."""
        there = [(row.longitude, row.latitude) for row in rows if _is_placed(row)]
        at = np.array(there, dtype=np.float64).reshape(-1, 2)
        return units(*shown(self._crs, at[:, 0], at[:, 1]))

    def inside(self, tile: Tile) -> list[tuple[CaseRow, int, int]]:
        """Up to 500 cases of the tile with their units, the gravest first."""
        if self._stale:
            self._sort()
        shift = np.uint64(tile.bits)
        here = (self._x.astype(np.uint64) >> shift == tile.x) & (self._y.astype(np.uint64) >> shift == tile.y)
        found = np.flatnonzero(here)[:MOST_IN_TILE].tolist()
        return [(self._pins[place], int(self._x[place]), int(self._y[place])) for place in found]

    def search(self, text: str, limit: int) -> list[CaseRow]:
        """The newest cases with that number, or with the text in a title or the address."""
        wanted = text.casefold()
        number = text.strip().removeprefix("#")
        fitting = (
            row
            for row in sorted(self._held.values(), key=lambda row: -row.id)
            if str(row.id) == number or any(wanted in each.casefold() for each in (row.title_zh, row.title_en, row.address))
        )
        return [row for row, _ in zip(fitting, range(limit), strict=False)]

    def _sort(self) -> None:
        placed = [row for row in self._held.values() if _is_placed(row)]
        placed.sort(key=lambda row: (-RANK[Priority(row.priority)], row.opened_ns, row.id))
        self._pins = placed[:MOST_PINS]
        self._x, self._y = self.places(self._pins)
        self._stale = False


def _is_placed(row: CaseRow) -> bool:
    return row.longitude is not None and row.latitude is not None and abs(row.longitude) <= 180 and abs(row.latitude) <= 90
