"""How many devices of each state are in each cell of the map, for every zoom, kept up to date by what changes.

A tile has 8 x 8 cells, so a cell of zoom z is what a tile of zoom z + 3 covers: a node of depth z + 3 of one quadtree. A
node knows its children, so a tile's cells are found by three steps from its own node; and its parent, so a device that
changes its state is counted anew in the fifteen cells that it lies in, and nowhere else.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.atlas.grown import Grown
from cloud.atlas.mercator import WORLD_BITS, Tile

__all__ = ["CELLS", "DEEPEST", "NOWHERE", "STATES", "Cells", "Pyramid"]

STATES: Final = 5
DEEPEST: Final = 14
"""The last zoom that has cells."""
CELLS: Final = 3
"""A tile has 2^3 by 2^3 cells."""
NOWHERE: Final = -1
_DEPTH: Final = DEEPEST + CELLS
_CHILDREN: Final = 4
# In the type of what it is added to: NumPy's unbuffered addition is a hundred times slower where it has to convert.
_ONE: Final = np.int32(1)

Numbers = NDArray[np.int64]


class Cells(NamedTuple):
    """The cells of a tile that have a device: how many in each state, their mean position in units, and, where a cell has one
    device, which one (else NOWHERE)."""

    counts: NDArray[np.int32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    only: Numbers


class Pyramid:
    """Devices are numbers; the caller remembers each one's leaf, which `add` gives."""

    def __init__(self) -> None:
        self._nodes = Grown(
            child=((np.int32, _CHILDREN), NOWHERE),
            parent=(np.int32, NOWHERE),
            counts=((np.int32, STATES), 0),
            x=(np.int64, 0),
            y=(np.int64, 0),
            # The sum of the numbers of its devices: the number itself where there is one.
            who=(np.int64, 0),
        )
        self._nodes.add(1)

    def __len__(self) -> int:
        """How many nodes there are."""
        return self._nodes.count

    def add(self, device: Numbers, x: NDArray[np.uint32], y: NDArray[np.uint32], state: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Count devices at their places; the leaf of each."""
        leaf = self._leaves(x, y)
        self._sum(leaf, state, (x, y, device), 1)
        return leaf

    def remove(
        self, leaf: NDArray[np.int32], device: Numbers, x: NDArray[np.uint32], y: NDArray[np.uint32], state: NDArray[np.uint8]
    ) -> None:
        """Count them no longer; everything as it was when they were added, or changed since."""
        self._sum(leaf, state, (x, y, device), -1)

    def change(self, leaf: NDArray[np.int32], old: NDArray[np.uint8], new: NDArray[np.uint8]) -> None:
        """Devices of these leaves went from one state to another."""
        counts, parent = self._flat(), self._nodes.column("parent")
        node = leaf.astype(np.int64)
        for _ in range(_DEPTH + 1):
            place = node * STATES
            np.subtract.at(counts, place + old, _ONE)
            np.add.at(counts, place + new, _ONE)
            node = parent[node].astype(np.int64)

    def cells(self, tile: Tile) -> Cells:
        """Of a tile of zoom 0 to `DEEPEST`."""
        nodes = self._below(self._find(tile))
        counts = self._nodes.column("counts")[nodes]
        total = counts.sum(axis=1)
        held = total > 0
        nodes, counts, total = nodes[held], counts[held], total[held]
        x, y, who = (self._nodes.column(name)[nodes] for name in ("x", "y", "who"))
        return Cells(counts, x / total, y / total, np.where(total == 1, who, NOWHERE))

    def totals(self) -> NDArray[np.int32]:
        """How many devices are in each state, on the whole map."""
        totals: NDArray[np.int32] = self._nodes.column("counts")[0].copy()
        return totals

    def _leaves(self, x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Find the leaf of each place, and make what is missing on the way to it."""
        node = np.zeros(len(x), dtype=np.int64)
        for depth in range(1, _DEPTH + 1):
            edge = node * _CHILDREN + _quadrant(x, y, depth)
            child = self._edges()[edge]
            missing = child == NOWHERE
            if missing.any():
                self._grow(np.unique(edge[missing]))
                child = self._edges()[edge]
            node = child.astype(np.int64)
        return node.astype(np.int32)

    def _grow(self, edges: Numbers) -> None:
        first = self._nodes.add(len(edges))
        made = np.arange(first, first + len(edges), dtype=np.int32)
        self._nodes.column("parent")[made] = edges // _CHILDREN
        self._edges()[edges] = made

    def _sum(self, leaf: NDArray[np.int32], state: NDArray[np.uint8], summed: tuple[NDArray[Any], ...], sign: int) -> None:
        parent = self._nodes.column("parent")
        named = zip(("x", "y", "who"), summed, strict=True)
        sums = [(self._nodes.column(name), sign * values.astype(np.int64)) for name, values in named]
        one, counts, node = np.int32(sign), self._flat(), leaf.astype(np.int64)
        for _ in range(_DEPTH + 1):
            np.add.at(counts, node * STATES + state, one)
            for column, values in sums:
                np.add.at(column, node, values)
            node = parent[node].astype(np.int64)

    def _find(self, tile: Tile) -> int:
        node = 0
        for depth in range(1, tile.z + 1):
            shift = tile.z - depth
            quadrant = (tile.x >> shift & 1) | (tile.y >> shift & 1) << 1
            node = int(self._edges()[node * _CHILDREN + quadrant])
            if node == NOWHERE:
                break
        return node

    def _below(self, node: int) -> Numbers:
        nodes = np.array([node] if node != NOWHERE else [], dtype=np.int64)
        child = self._nodes.column("child")
        for _ in range(CELLS):
            found = child[nodes].ravel()
            nodes = found[found != NOWHERE].astype(np.int64)
        return nodes

    def _edges(self) -> NDArray[np.int32]:
        edges: NDArray[np.int32] = self._nodes.column("child").reshape(-1)
        return edges

    def _flat(self) -> NDArray[np.int32]:
        flat: NDArray[np.int32] = self._nodes.column("counts").reshape(-1)
        return flat


def _quadrant(x: NDArray[np.uint32], y: NDArray[np.uint32], depth: int) -> Numbers:
    shift = np.uint32(WORLD_BITS - depth)
    found: Numbers = ((x >> shift & np.uint32(1)) | (y >> shift & np.uint32(1)) << np.uint32(1)).astype(np.int64)
    return found
