"""A tile of the map as bytes: counts by cell up to zoom 14, every device from 15 on, and the open cases over both."""

import hashlib
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.atlas.cases import CaseRow, OpenCases
from cloud.atlas.dirty import FINEST, tiles_of
from cloud.atlas.index import DeviceIndex
from cloud.atlas.mercator import Tile
from cloud.atlas.mvt import EXTENT, Layer, Scalar
from cloud.atlas.points import Points
from cloud.atlas.pyramid import CELLS, DEEPEST, NOWHERE, STATES, Cells, Pyramid
from cloud.atlas.state import STATE_WORDS, State
from telemetry.clock import SECOND_NS

__all__ = ["MOST_POINTS", "Filter", "Made", "TileMaker"]

MOST_POINTS: Final = 16_384
"""Devices in one tile: MapLibre takes twice as many symbols. Where there are more, those in the worse states are shown."""
_KEPT: Final = 2_048
_FRESH_NS: Final = 60 * SECOND_NS
"""How long a tile is good by itself: the ages of cases in it grow."""
_HOUR_NS: Final = 3_600 * SECOND_NS
# The order of the counts in a cell's properties, after `n`.
_COUNTED: Final = (State.CRITICAL, State.ALARM, State.NORMAL, State.OFFLINE, State.UNKNOWN)
# The columns behind the fields of a `Filter`.
_FILTERED: Final = ("kind", "state", "district", "gateway")
_CELL_KEYS: Final = ("n", *(STATE_WORDS[state] for state in _COUNTED), "id", "name", "kind")
_DEVICE_KEYS: Final = ("id", "name", "kind", "state", "cases", "order")
_CASE_KEYS: Final = ("id", "priority", "device", "age_h", "title_zh", "title_en")

Numbers = NDArray[np.int64]


class Filter(NamedTuple):
    """Which devices, by the numbers of the index; empty means all. `districts` has -1 for those in none."""

    kinds: frozenset[int] = frozenset()
    states: frozenset[int] = frozenset()
    districts: frozenset[int] = frozenset()
    gateways: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return any(self)

    def mask(self, index: DeviceIndex, numbers: Numbers | None = None) -> NDArray[np.bool_]:
        """Which of these devices, or of all, it lets through."""
        count = len(index) if numbers is None else len(numbers)
        passed = np.ones(count, dtype=np.bool_)
        for name, wanted in (
            ("state", self.states),
            ("kind", self.kinds),
            ("district", self.districts),
            ("gateway", self.gateways),
        ):
            if wanted:
                values = index.column(name) if numbers is None else index.column(name)[numbers]
                passed &= np.logical_or.reduce([values == each for each in wanted])
        return passed


class Made(NamedTuple):
    """A tile's bytes, and the word for exactly these."""

    content: bytes
    tag: str


class TileMaker:
    """Keeps the tiles that were asked last while nothing in them changes."""

    def __init__(self, index: DeviceIndex, pyramid: Pyramid, points: Points, cases: OpenCases) -> None:
        self._index = index
        self._pyramid = pyramid
        self._points = points
        self._cases = cases
        self._kept: OrderedDict[tuple[Tile, Filter], tuple[int, Made]] = OrderedDict()

    def tile(self, tile: Tile, wanted: Filter, now_ns: int) -> Made:
        """The tile as it is now."""
        key = (tile, wanted)
        known = self._kept.get(key)
        if known is not None and 0 <= now_ns - known[0] < _FRESH_NS:
            self._kept.move_to_end(key)
            return known[1]
        content = self._encode(tile, wanted, now_ns)
        made = Made(content, hashlib.blake2b(content, digest_size=12).hexdigest())
        self._kept[key] = now_ns, made
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return made

    def drop(self, finest: NDArray[np.uint64]) -> None:
        """Let go of what lies in these finest tiles, or what they lie in."""
        zooms = {min(tile.z, FINEST) for tile, _ in self._kept}
        changed = {zoom: set(tiles_of(finest, zoom).tolist()) for zoom in zooms}
        for key in [key for key in self._kept if _number(key[0]) in changed[min(key[0].z, FINEST)]]:
            del self._kept[key]

    def _encode(self, tile: Tile, wanted: Filter, now_ns: int) -> bytes:
        devices = self._device_layer(tile, wanted) if tile.z > DEEPEST else self._cell_layer(tile, wanted)
        return devices.encoded() + self._case_layer(tile, wanted, now_ns).encoded()

    def _cell_layer(self, tile: Tile, wanted: Filter) -> Layer:
        cells = self._filtered(tile, wanted) if wanted else self._pyramid.cells(tile)
        layer, index = Layer("cells", _CELL_KEYS), self._index
        xs, ys = _pixels(cells.x, tile.x, tile), _pixels(cells.y, tile.y, tile)
        for x, y, counts, only in zip(xs, ys, cells.counts.tolist(), cells.only.tolist(), strict=True):
            shown: list[tuple[int, Scalar]] = [(0, sum(counts))]
            shown += [(place, counts[state]) for place, state in enumerate(_COUNTED, 1) if counts[state]]
            if only != NOWHERE:
                kind = index.kinds.all[index.column("kind")[only]]
                shown += [(6, index.ids[only]), (7, index.names[only]), (8, kind)]
            layer.add(x, y, shown)
        return layer

    def _filtered(self, tile: Tile, wanted: Filter) -> Cells:
        """The same as the pyramid has, counted from the devices themselves."""
        numbers = self._points.inside(tile)
        numbers = numbers[wanted.mask(self._index, numbers)]
        x, y = self._index.column("x")[numbers], self._index.column("y")[numbers]
        shift, low = np.uint32(tile.bits - CELLS), np.uint32((1 << CELLS) - 1)
        cell = ((y >> shift & low) << np.uint32(CELLS) | x >> shift & low).astype(np.int64)
        size = 1 << 2 * CELLS
        counts = np.bincount(cell * STATES + self._index.column("state")[numbers], minlength=size * STATES)
        counts = counts.reshape(size, STATES)
        total = counts.sum(axis=1)
        held = total > 0
        sums = [np.bincount(cell, weights=values, minlength=size)[held] / total[held] for values in (x, y, numbers)]
        only = np.where(total[held] == 1, sums[2], NOWHERE).astype(np.int64)
        return Cells(counts[held].astype(np.int32), sums[0], sums[1], only)

    def _device_layer(self, tile: Tile, wanted: Filter) -> Layer:
        index = self._index
        numbers = self._points.inside(tile)
        if wanted:
            numbers = numbers[wanted.mask(index, numbers)]
        state = index.column("state")[numbers]
        # The worst last, so that they are drawn over the others.
        order = np.lexsort((numbers, state))[-MOST_POINTS:]
        numbers, state = numbers[order], state[order]
        columns: tuple[Any, ...] = (
            _pixels(index.column("x")[numbers], tile.x, tile),
            _pixels(index.column("y")[numbers], tile.y, tile),
            numbers.tolist(),
            index.column("kind")[numbers].tolist(),
            state.tolist(),
            index.column("cases")[numbers].tolist(),
        )
        layer, kinds = Layer("devices", _DEVICE_KEYS), index.kinds.all
        for x, y, number, kind, stands, cases in zip(*columns, strict=True):
            shown = ((0, index.ids[number]), (1, index.names[number]), (2, kinds[kind]), (3, STATE_WORDS[stands]))
            layer.add(x, y, (*shown, (4, cases), (5, stands)))
        return layer

    def _case_layer(self, tile: Tile, wanted: Filter, now_ns: int) -> Layer:
        layer = Layer("cases", _CASE_KEYS)
        for case, x, y in self._cases.inside(tile):
            if wanted and not self._lets_through(case, wanted):
                continue
            age_h = max(0, now_ns - case.opened_ns) // _HOUR_NS
            shown: list[tuple[int, Scalar]] = [
                (0, case.id),
                (1, case.priority),
                (3, age_h),
                (4, case.title_zh),
                (5, case.title_en),
            ]
            shown += [(2, case.device)] if case.device else []
            layer.add(_pixel(x, tile.x, tile), _pixel(y, tile.y, tile), shown)
        return layer

    def _lets_through(self, case: CaseRow, wanted: Filter) -> bool:
        """A case is shown with its device, so that a filtered map has no pins of what it does not show."""
        number = self._index.find(case.device) if case.device else NOWHERE
        return number != NOWHERE and bool(wanted.mask(self._index, np.array([number]))[0])


def _pixels(values: NDArray[Any], corner: int, tile: Tile) -> list[int]:
    """Units as the tile's own, 0 to 4095."""
    found: list[int] = np.floor((values - float(corner << tile.bits)) * (EXTENT / (1 << tile.bits))).astype(np.int64).tolist()
    return found


def _pixel(value: int, corner: int, tile: Tile) -> int:
    return (value - (corner << tile.bits)) * EXTENT >> tile.bits


def _number(tile: Tile) -> int:
    """The tile, or for a deeper one the finest that it lies in, as `tiles_of` gives it."""
    shift = max(0, tile.z - FINEST)
    return tile.y >> shift << 32 | tile.x >> shift
