"""Which devices are in a tile: their places sorted along a curve that goes through all of one tile before the next.

Sorting a million takes a while, so what came or moved since is kept apart, and looked at one by one, until it is sorted anew.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud.atlas.index import DeviceIndex
from cloud.atlas.mercator import Tile, morton
from cloud.atlas.pyramid import NOWHERE

__all__ = ["Points"]

Numbers = NDArray[np.int64]

_MOST_APART: Final = 20_000
_NONE: Final = np.array([], dtype=np.int64)


class Points:
    """`note` what changed its place; `sort` when it is `due`."""

    def __init__(self, index: DeviceIndex) -> None:
        self._index = index
        self._codes = np.array([], dtype=np.uint64)
        self._order: Numbers = _NONE
        self._apart: set[int] = set()
        self._since: set[int] = set()

    @property
    def due(self) -> bool:
        """Whether too many are kept apart."""
        return len(self._apart) > _MOST_APART

    def note(self, numbers: Numbers) -> None:
        """Devices that came, moved or went."""
        changed = numbers.tolist()
        self._apart.update(changed)
        self._since.update(changed)

    def inside(self, tile: Tile) -> Numbers:
        """The numbers of the devices in the tile."""
        shift = np.uint64(2 * tile.bits)
        corner = morton(np.array([tile.x], dtype=np.uint32), np.array([tile.y], dtype=np.uint32))[0]
        if tile.z:
            # The end of the very last tile has no number of 64 bits: its last place is asked for.
            first, last = corner << shift, (corner << shift) + ((np.uint64(1) << shift) - np.uint64(1))
            start, end = np.searchsorted(self._codes, first, "left"), np.searchsorted(self._codes, last, "right")
            held = self._order[start:end]
        else:
            held = self._order
        if not self._apart:
            return held
        apart = np.fromiter(self._apart, dtype=np.int64, count=len(self._apart))
        sorted_still = np.ones(len(self._index), dtype=np.bool_)
        sorted_still[apart] = False
        return np.concatenate((held[sorted_still[held]], apart[self._is_in(apart, tile)]))

    def snapshot(self) -> tuple[Numbers, NDArray[np.uint32], NDArray[np.uint32]]:
        """What `sort` needs, taken in the thread of the index; what is noted from now on will be apart."""
        self._since = set()
        placed = np.flatnonzero(self._index.column("leaf") != NOWHERE)
        return placed, self._index.column("x")[placed], self._index.column("y")[placed]

    @staticmethod
    def sort(
        snapshot: tuple[Numbers, NDArray[np.uint32], NDArray[np.uint32]],
    ) -> tuple[NDArray[np.uint64], Numbers]:
        """The slow part, for any thread."""
        placed, x, y = snapshot
        codes = morton(x, y)
        order = np.argsort(codes)
        return codes[order], placed[order]

    def take(self, done: tuple[NDArray[np.uint64], Numbers]) -> None:
        """The result of `sort`, in the thread of the index."""
        self._codes, self._order = done
        self._apart, self._since = self._since, set()

    def _is_in(self, numbers: Numbers, tile: Tile) -> NDArray[np.bool_]:
        column = self._index.column
        if not tile.z:
            found: NDArray[np.bool_] = column("leaf")[numbers] != NOWHERE
            return found
        shift = np.uint32(tile.bits)
        here: NDArray[np.bool_] = (column("x")[numbers] >> shift == tile.x) & (column("y")[numbers] >> shift == tile.y)
        here &= column("leaf")[numbers] != NOWHERE
        return here
