"""Which tiles are others than they were: places are collected, and made a new version of the map once a second at most."""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.atlas.mercator import WORLD_BITS, Tile

__all__ = ["FINEST", "MOST_TOLD", "Box", "Dirty"]

FINEST: Final = 16
"""The last zoom that maps ask tiles of; they draw deeper ones from these."""
MOST_TOLD: Final = 256
"""Tiles named in one event; where more changed, all are meant."""
_KEPT: Final = 120
"""Versions that are remembered: who is further behind is told that all changed."""
_HALF: Final = np.uint64(32)

Units = NDArray[np.uint32]


class Box(NamedTuple):
    """A part of the map in units, its borders in it; where west is above east it goes across 180 degrees."""

    west: int
    south: int
    east: int
    north: int

    def spans(self) -> Iterator[tuple[int, int]]:
        """From west to east, in one or two parts."""
        if self.west <= self.east:
            yield self.west, self.east
        else:
            yield self.west, (1 << WORLD_BITS) - 1
            yield 0, self.east

    def holds(self, x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which of the places are in it."""
        within = (y >= self.north) & (y <= self.south)
        if self.west <= self.east:
            return within & (x >= self.west) & (x <= self.east)
        return within & ((x >= self.west) | (x <= self.east))


class Dirty:
    """`version` is higher after every `commit` that had something."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._pending: list[NDArray[np.uint64]] = []
        self._kept: deque[tuple[int, NDArray[np.uint64]]] = deque(maxlen=_KEPT)
        self._oldest = version
        self._news = asyncio.Event()

    def touch(self, x: Units, y: Units) -> None:
        """What is at these places is another now."""
        shift = np.uint32(WORLD_BITS - FINEST)
        found = (y >> shift).astype(np.uint64) << _HALF | (x >> shift).astype(np.uint64)
        self._pending.append(np.unique(found) if len(found) > 1 else found)

    def commit(self) -> NDArray[np.uint64]:
        """Make what was touched a new version, where there was anything; the finest tiles that it changed."""
        if not self._pending:
            return np.array([], dtype=np.uint64)
        changed = np.unique(np.concatenate(self._pending))
        self._pending.clear()
        self.version += 1
        if len(self._kept) == _KEPT:
            self._oldest = self._kept[0][0]
        self._kept.append((self.version, changed))
        news, self._news = self._news, asyncio.Event()
        news.set()
        return changed

    async def wait(self, version: int) -> int:
        """The version of the map as soon as it is above `version`."""
        while self.version <= version:
            await self._news.wait()
        return self.version

    def since(self, version: int, zoom: int, box: Box | None = None) -> list[Tile] | None:
        """The tiles of that zoom (of the finest where it is deeper), in the box, that changed after `version`.

        None where that is not known any more, or where they are more than 256.
        """
        if version < self._oldest or version > self.version:
            return None
        zoom = min(zoom, FINEST)
        parts = [part for made, part in self._kept if made > version]
        if not parts:
            return []
        tiles = tiles_of(np.concatenate(parts), zoom)
        tiles = tiles if box is None else tiles[_meets(tiles, zoom, box)]
        if len(tiles) > MOST_TOLD:
            return None
        return [Tile(zoom, number & 0xFFFFFFFF, number >> 32) for number in tiles.tolist()]


def tiles_of(finest: NDArray[np.uint64], zoom: int) -> NDArray[np.uint64]:
    """The tiles of a zoom that these finest ones lie in, each once; y in the high half, x in the low one."""
    shift = np.uint64(FINEST - zoom)
    x, y = finest & np.uint64(0xFFFFFFFF), finest >> _HALF
    return np.unique((y >> shift) << _HALF | x >> shift)


def _meets(tiles: NDArray[np.uint64], zoom: int, box: Box) -> NDArray[np.bool_]:
    bits = WORLD_BITS - zoom
    x, y = tiles & np.uint64(0xFFFFFFFF), tiles >> _HALF
    columns = [(x >= west >> bits) & (x <= east >> bits) for west, east in box.spans()]
    rows: NDArray[np.bool_] = (y >= box.north >> bits) & (y <= box.south >> bits)
    either: NDArray[np.bool_] = np.logical_or.reduce(columns)
    return rows & either
