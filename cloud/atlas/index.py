"""What is known of every device, a column each: small enough for a million, quick enough to be asked as a whole.

A device has a number, its row. Rows come and change one by one or in thousands, at the same cost each; a row whose device is
registered no longer stays behind, not `alive`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.atlas.crs import Crs, shown
from cloud.atlas.grown import Grown
from cloud.atlas.mercator import units
from cloud.atlas.pyramid import NOWHERE, Pyramid
from cloud.atlas.state import State, judge

__all__ = ["NEVER", "DeviceIndex", "DeviceRow", "Words"]

NEVER: Final = -1
"""The time of a reading that there never was."""
_FOR_EVER: Final = 2**63 - 1

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


class DeviceRow(NamedTuple):
    """A device as the register has it; `heard_ns` is the time of its last reading."""

    id: str
    name: str
    code: str
    kind: str
    gateway: str
    profile: str
    longitude: float | None
    latitude: float | None
    heard_ns: int | None


class Words(dict[str, int]):
    """Words that many rows share, numbered as they come: `words[word]` is the number, also of a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self.all)
        self.all.append(word)
        return number

    def find(self, word: str) -> int:
        """Of a word; -1 where no row ever had it."""
        return self.get(word, -1)


class DeviceIndex:
    """Numbers are given in the order in which devices come."""

    def __init__(
        self,
        pyramid: Pyramid,
        crs: Crs,
        *,
        district: Callable[[Floats, Floats], Numbers],
        silence_ns: Callable[[str], int],
        roams: Callable[[str], bool],
        touched: Callable[[NDArray[np.uint32], NDArray[np.uint32]], None],
    ) -> None:
        """`district` gives the numbers of the districts of positions, `silence_ns` and `roams` say after which silence a
        profile's devices are offline and whether they move; `touched` is told every place where something is another now."""
        self.ids: list[str] = []
        self.names: list[str] = []
        self.codes: list[str] = []
        self.kinds = Words()
        self.gateways = Words()
        self.profiles = Words()
        self._numbers: dict[str, int] = {}
        self._pyramid = pyramid
        self._crs = crs
        self._district = district
        self._silence_ns = silence_ns
        self._roams = roams
        self._touched = touched
        self._silences: list[int] = []
        self._roaming: list[bool] = []
        self._columns = Grown(
            alive=(np.bool_, False),
            longitude=(np.float64, np.nan),
            latitude=(np.float64, np.nan),
            x=(np.uint32, 0),
            y=(np.uint32, 0),
            leaf=(np.int32, NOWHERE),
            kind=(np.int32, 0),
            gateway=(np.int32, 0),
            profile=(np.int32, 0),
            district=(np.int32, -1),
            state=(np.uint8, State.UNKNOWN),
            heard=(np.int64, NEVER),
            silent=(np.int64, _FOR_EVER),
            alarms=(np.int32, 0),
            critical=(np.int32, 0),
            cases=(np.int32, 0),
            roams=(np.bool_, False),
            moved=(np.bool_, False),
        )

    def __len__(self) -> int:
        """How many rows there are, those that are not alive too."""
        return self._columns.count

    def column(self, name: str) -> NDArray[Any]:
        """One of the columns, by number of device; do not keep it, do not write it."""
        return self._columns.column(name)

    def find(self, device: str) -> int:
        """A device's number; NOWHERE where it is not known."""
        number = self._numbers.get(device, NOWHERE)
        return number if number != NOWHERE and self._columns.column("alive")[number] else NOWHERE

    def numbers(self, devices: Iterable[str]) -> Numbers:
        """The numbers of those that are known."""
        found = (self.find(device) for device in devices)
        return np.array([number for number in found if number != NOWHERE], dtype=np.int64)

    def put(self, rows: Sequence[DeviceRow], now_ns: int) -> Numbers:
        """Take up devices that are new, or are another now; the numbers of those. No device may be there twice."""
        rows = [row for row in rows if row.id not in self._numbers or not self._same(row)]
        if not rows:
            return np.array([], dtype=np.int64)
        # Column by column: a step for each row and column is what a million rows would take too long for.
        texts = ids, _, _, kinds, gateways, profiles, longitudes, latitudes, heards = tuple(zip(*rows, strict=True))
        numbers = self._numbered(ids, *texts[1:3])
        self._lift(numbers)
        column = self._columns.column
        column("alive")[numbers] = True
        column("kind")[numbers] = list(map(self.kinds.__getitem__, kinds))
        column("gateway")[numbers] = list(map(self.gateways.__getitem__, gateways))
        profile = np.array(list(map(self.profiles.__getitem__, profiles)))
        self._learn_profiles()
        column("profile")[numbers] = profile
        column("roams")[numbers] = np.array(self._roaming)[profile]
        self._hear(numbers, np.array([NEVER if heard is None else heard for heard in heards]))
        # None becomes what is not a number.
        longitude, latitude = np.array(longitudes, dtype=np.float64), np.array(latitudes, dtype=np.float64)
        # A vehicle is where it said it is, not where it was registered.
        resting = ~column("moved")[numbers]
        self._stand(numbers[resting], longitude[resting], latitude[resting])
        column("state")[numbers] = self._judged(numbers, now_ns)
        self._drop(numbers)
        return numbers

    def forget(self, devices: Iterable[str]) -> Numbers:
        """Devices that are registered no longer; the numbers of those that were known."""
        numbers = self.numbers(devices)
        self._lift(numbers)
        self._columns.column("alive")[numbers] = False
        self._columns.column("leaf")[numbers] = NOWHERE
        return numbers

    def move(self, numbers: Numbers, longitude: Floats, latitude: Floats) -> Numbers:
        """Devices said where they are; the numbers of those that moved. Each number once."""
        column = self._columns.column
        other = (column("longitude")[numbers] != longitude) | (column("latitude")[numbers] != latitude)
        numbers, longitude, latitude = numbers[other], longitude[other], latitude[other]
        if len(numbers):
            self._lift(numbers)
            column("moved")[numbers] = True
            self._stand(numbers, longitude, latitude)
            self._drop(numbers)
        return numbers

    def hear(self, numbers: Numbers, heard_ns: Numbers, now_ns: int) -> Numbers:
        """Devices were heard; the numbers of those whose state is another now. Each number once."""
        self._hear(numbers, heard_ns)
        return self.settle(numbers, now_ns)

    def count(self, numbers: Numbers, now_ns: int, **counts: Numbers) -> Numbers:
        """Devices have so many open `alarms`, `critical` ones among them, or `cases`; the numbers of those that are another."""
        column = self._columns.column
        other = np.zeros(len(numbers), dtype=np.bool_)
        for name, values in counts.items():
            other |= column(name)[numbers] != values
            column(name)[numbers] = values
        self._touch(numbers[other])
        self.settle(numbers[other], now_ns)
        return numbers[other]

    def settle(self, numbers: Numbers, now_ns: int) -> Numbers:
        """Judge these devices' states anew; the numbers of those that changed. Each number once."""
        state = self._columns.column("state")
        old, new = state[numbers], self._judged(numbers, now_ns)
        other = old != new
        numbers, old, new = numbers[other], old[other], new[other]
        state[numbers] = new
        leaf = self._columns.column("leaf")[numbers]
        placed = leaf != NOWHERE
        self._pyramid.change(leaf[placed], old[placed], new[placed])
        self._touch(numbers)
        return numbers

    def overdue(self, now_ns: int) -> Numbers:
        """The numbers of devices whose silence made them offline since they were last judged, or no longer does."""
        state, silent = self._columns.column("state"), self._columns.column("silent") < now_ns
        wrong = ((state == State.NORMAL) & silent) | ((state == State.OFFLINE) & ~silent)
        return np.flatnonzero(wrong & self._columns.column("alive"))

    def _same(self, row: DeviceRow) -> bool:
        """Whether the row is known as it is; a later reading is taken note of by `hear`."""
        number = self._numbers.get(row.id, NOWHERE)
        if number == NOWHERE or self.names[number] != row.name or self.codes[number] != row.code:
            return False
        column = self._columns.column
        words = (("kind", self.kinds, row.kind), ("gateway", self.gateways, row.gateway), ("profile", self.profiles, row.profile))
        if not column("alive")[number] or any(column(name)[number] != held.find(word) for name, held, word in words):
            return False
        if (NEVER if row.heard_ns is None else row.heard_ns) > column("heard")[number]:
            return False
        here = (column("longitude")[number], column("latitude")[number])
        there = (row.longitude, row.latitude)
        return bool(column("moved")[number]) or all(_equal(mine, other) for mine, other in zip(here, there, strict=True))

    def _numbered(self, ids: Sequence[str], names: Sequence[str], codes: Sequence[str]) -> Numbers:
        """The numbers of devices, new or known, their texts kept."""
        known = [self._numbers.get(device, NOWHERE) for device in ids]
        for place, number in enumerate(known):
            if number == NOWHERE:
                known[place] = self._numbers[ids[place]] = len(self.ids)
                self.ids.append(ids[place])
                self.names.append(names[place])
                self.codes.append(codes[place])
            else:
                self.names[number], self.codes[number] = names[place], codes[place]
        self._columns.add(len(self.ids) - self._columns.count)
        return np.array(known, dtype=np.int64)

    def _learn_profiles(self) -> None:
        for name in self.profiles.all[len(self._silences) :]:
            self._silences.append(self._silence_ns(name))
            self._roaming.append(self._roams(name))

    def _hear(self, numbers: Numbers, heard_ns: Numbers) -> None:
        column = self._columns.column
        latest = np.maximum(column("heard")[numbers], heard_ns)
        column("heard")[numbers] = latest
        limit = np.array(self._silences, dtype=np.int64)[column("profile")[numbers]]
        column("silent")[numbers] = np.where(latest == NEVER, _FOR_EVER, latest + limit)

    def _judged(self, numbers: Numbers, now_ns: int) -> NDArray[np.uint8]:
        column = self._columns.column
        return judge(
            critical=column("critical")[numbers] > 0,
            alarm=column("alarms")[numbers] > 0,
            heard=column("heard")[numbers] != NEVER,
            silent=column("silent")[numbers] < now_ns,
        )

    def _stand(self, numbers: Numbers, longitude: Floats, latitude: Floats) -> None:
        """Keep positions; where one is none, the device has no place on the map."""
        column = self._columns.column
        known = _on_earth(longitude, latitude)
        column("longitude")[numbers] = np.where(known, longitude, np.nan)
        column("latitude")[numbers] = np.where(known, latitude, np.nan)
        column("leaf")[numbers] = NOWHERE
        column("district")[numbers] = -1
        numbers, longitude, latitude = numbers[known], longitude[known], latitude[known]
        column("district")[numbers] = self._district(longitude, latitude)
        column("x")[numbers], column("y")[numbers] = units(*shown(self._crs, longitude, latitude))

    def _lift(self, numbers: Numbers) -> None:
        """Take devices off the map."""
        held, leaf, *rest = self._placed(numbers)
        self._pyramid.remove(leaf, held, *rest)
        self._touch(numbers)

    def _drop(self, numbers: Numbers) -> None:
        """Put devices onto the map where they are."""
        column = self._columns.column
        held = numbers[~np.isnan(column("longitude")[numbers])]
        column("leaf")[held] = self._pyramid.add(held, column("x")[held], column("y")[held], column("state")[held])
        self._touch(numbers)

    def _touch(self, numbers: Numbers) -> None:
        _, _, x, y, _ = self._placed(numbers)
        if len(x):
            self._touched(x, y)

    def _placed(self, numbers: Numbers) -> tuple[Numbers, NDArray[np.int32], Any, Any, Any]:
        column = self._columns.column
        held = numbers[column("leaf")[numbers] != NOWHERE]
        return held, column("leaf")[held], column("x")[held], column("y")[held], column("state")[held]


def _on_earth(longitude: Floats, latitude: Floats) -> NDArray[np.bool_]:
    # Comparisons with what is not a number are false.
    return (np.abs(longitude) <= 180) & (np.abs(latitude) <= 90)


def _equal(mine: float, other: float | None) -> bool:
    return bool(np.isnan(mine)) if other is None or not np.isfinite(other) else mine == other
