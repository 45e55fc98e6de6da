"""The atlas: every device, its place and its state, kept up to date in memory by one task.

What it knows is read from the stores at the start, in portions. After that it hears of everything that is published in this
process, notes whose row that was, and every quarter of a second asks the store for all of these together; readings tell it
themselves whose they are. Once a second it looks who fell silent, and makes what changed a new version of the map. What other
processes wrote, and anything that was missed, is found by reading the open alarms and cases again every half minute, and all
devices every ten minutes.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.atlas import read
from cloud.atlas.cases import CaseRow, OpenCases
from cloud.atlas.crs import Crs, shown
from cloud.atlas.dirty import Box, Dirty
from cloud.atlas.index import NEVER, DeviceIndex, DeviceRow
from cloud.atlas.mercator import Tile, degrees, units
from cloud.atlas.points import Points
from cloud.atlas.pyramid import NOWHERE, Pyramid
from cloud.atlas.search import Texts
from cloud.atlas.state import STATE_WORDS, state_of
from cloud.atlas.tiles import Filter, Made, TileMaker
from cloud.cases.desk import Desk
from cloud.feed import Feed, FeedItem
from cloud.relational.engine import reading
from cloud.series.store import Point, SeriesStore, StoreUnavailable
from cloud.watch.limits import UNKNOWN_S, offline_after_s
from device_profiles.model import LATITUDE, LONGITUDE
from telemetry.clock import SECOND_NS, Clock
from telemetry.records import Quality

__all__ = ["Atlas", "Summary"]

_log = logging.getLogger(__name__)

_TURN_S: Final = 0.25
_SECOND: Final = 4
"""Turns from one version of the map to the next."""
_OFTEN_NS: Final = 30 * SECOND_NS
_SELDOM_NS: Final = 600 * SECOND_NS
_REST_S: Final = 2.0
_MOST_ASKED: Final = 500
_TOLD_EVERY: Final = 100_000
_NO_DISTRICT: Final = -2
# The view of a whole city leaves out the few that lie far from all others, for instance at 0, 0.
_VIEW: Final = (0.005, 0.995)
_SAMPLE: Final = 20_000


class Summary(NamedTuple):
    """The whole map in figures. `bounds` are (west, south, east, north) in the map's own system, degrees; None without places."""

    version: int
    devices: int
    states: dict[str, int]
    kinds: dict[str, int]
    bounds: tuple[float, float, float, float] | None
    lag_s: float


class Atlas:
    """`run` keeps it; `ready` is set when it knows everything. Everything but `run` is for the thread of the loop."""

    def __init__(self, *, engine: AsyncEngine, series: SeriesStore, desk: Desk, feed: Feed, clock: Clock, crs: Crs) -> None:
        self.crs: Final = crs
        self.ready: Final = asyncio.Event()
        self._engine = engine
        self._series = series
        self._desk = desk
        self._clock = clock
        # Only grows, also over a restart: a page that comes back with a version of before is told that all changed.
        self.dirty: Final = Dirty(clock.wall_ns() // 1_000_000)
        self._pyramid = Pyramid()
        self.index: Final = DeviceIndex(
            self._pyramid,
            crs,
            district=desk.duty.districts_at,
            silence_ns=self._silence_ns,
            roams=self._roams,
            touched=self._touch,
        )
        self._points = Points(self.index)
        self._texts = Texts(self.index)
        self.cases: Final = OpenCases(crs)
        self._maker = TileMaker(self.index, self._pyramid, self._points, self.cases)
        self._rows_due: set[str] = set()
        self._alarms_due: set[str] = set()
        self._cases_due: set[int] = set()
        self._heard: dict[str, int] = {}
        self._lag_s = 0.0
        self._often_ns = self._seldom_ns = 0
        feed.listen(self._hear_news)

    async def run(self) -> None:
        """Until cancelled. While a store does not answer, the map stays as it was."""
        turn = 0
        async with asyncio.TaskGroup() as tasks:
            await self._insist()
            tasks.create_task(self._keep_sorted())
            while True:
                await asyncio.sleep(_TURN_S)
                turn += 1
                try:
                    await self.catch_up()
                    await self._look_again()
                except (DBAPIError, OSError, StoreUnavailable) as error:
                    _log.warning("the map waits for the store: %s", error, extra={"event": "atlas.waits"})
                    await asyncio.sleep(_REST_S)
                if turn % _SECOND == 0:
                    self.tick()

    def heard(self, latest: Mapping[str, int]) -> None:
        """Readings were stored: device -> the time of the latest one."""
        if latest:
            self._lag_s = max(0.0, (self._clock.wall_ns() - max(latest.values())) / SECOND_NS)
            for device, time_ns in latest.items():
                if time_ns > self._heard.get(device, 0):
                    self._heard[device] = time_ns

    async def load(self) -> None:
        """Read everything, in portions, and see what is another than before."""
        now_ns, seen = self._clock.wall_ns(), 0
        known: set[str] = set()
        first = not self.ready.is_set()
        async for rows in read.all_devices(self._engine):
            self._put(rows, note=not first)
            known.update(row.id for row in rows)
            if len(known) // _TOLD_EVERY > seen:
                seen = len(known) // _TOLD_EVERY
                _log.info("%d devices on the map", len(known), extra={"event": "atlas.loading", "devices": len(known)})
            await asyncio.sleep(0)
        if len(known) < np.count_nonzero(self.index.column("alive")):
            self._forget([device for device in self.index.ids if device not in known])
        await self._read_open(now_ns)
        if first:
            roaming = np.flatnonzero(self.index.column("roams") & self.index.column("alive"))
            await self._follow([self.index.ids[number] for number in roaming.tolist()], note=False)
        self._seldom_ns = now_ns + _SELDOM_NS
        if first:
            self._points.take(await asyncio.to_thread(self._points.sort, self._points.snapshot()))
            self._texts.take(await asyncio.to_thread(self._texts.write, self._texts.begin()))
            self.ready.set()

    async def catch_up(self) -> None:
        """Read what was told of since the last time. Raises what the stores raise; then it is read the next time."""
        rows, self._rows_due = self._rows_due, set()
        alarmed, self._alarms_due = self._alarms_due, set()
        cases, self._cases_due = self._cases_due, set()
        heard, self._heard = self._heard, {}
        try:
            if rows or alarmed or cases:
                async with reading(self._engine) as conn:
                    await self._read_rows(conn, rows)
                    await self._read_alarms(conn, alarmed)
                    await self._read_cases(conn, cases)
            await self._take_heard(heard)
        except BaseException:
            self._rows_due |= rows
            self._alarms_due |= alarmed
            self._cases_due |= cases
            self._heard = heard | self._heard
            raise

    def tick(self) -> None:
        """See who fell silent by now, and make what changed a version of the map."""
        now_ns = self._clock.wall_ns()
        self.index.settle(self.index.overdue(now_ns), now_ns)
        self._maker.drop(self.dirty.commit())

    def tile(self, tile: Tile, wanted: Filter = Filter()) -> Made:  # noqa: B008 - never changed
        """The tile as it is now."""
        return self._maker.tile(tile, wanted, self._clock.wall_ns())

    def filter(
        self,
        *,
        kinds: Iterable[str] = (),
        states: Iterable[str] = (),
        districts: Iterable[str] = (),
        gateways: Iterable[str] = (),
    ) -> Filter:
        """By the API's words; a word that no device has lets none through."""
        named = {district.name: place for place, district in enumerate(self._desk.duty.districts)}
        return Filter(
            kinds=frozenset(map(self.index.kinds.find, kinds)),
            states=frozenset(map(state_of, states)),
            districts=frozenset(named.get(word, _NO_DISTRICT) for word in districts),
            gateways=frozenset(map(self.index.gateways.find, gateways)),
        )

    async def page(
        self, wanted: Filter, inside: NDArray[np.bool_] | None, text: str | None, after: str | None, limit: int
    ) -> list[str]:
        """The ids of up to `limit` devices in order, after the id `after`; `inside` comes from `box` or `area`."""
        mask = wanted.mask(self.index) if wanted else None
        if inside is not None:
            mask = inside if mask is None else mask & inside
        return [self.index.ids[number] for number in await self._texts.page(mask, text, after, limit)]

    def box(self, west: float, south: float, east: float, north: float, *, displayed: bool) -> Box:
        """A box of degrees in units, given in the map's own system or in WGS-84; exact in the first, near in the second."""
        corners = np.array([west, east]), np.array([south, north])
        x, y = units(*(corners if displayed else shown(self.crs, *corners)))
        return Box(int(x[0]), int(y[0]), int(x[1]), int(y[1]))

    def displayed(self, box: Box) -> NDArray[np.bool_]:
        """Which devices are in a box of the map, by number."""
        held = box.holds(self.index.column("x"), self.index.column("y"))
        held &= self.index.column("leaf") != NOWHERE
        return held

    def area(self, west: float, south: float, east: float, north: float) -> NDArray[np.bool_]:
        """Which devices are in a box of WGS-84 degrees, by number; where west is above east it goes across 180 degrees."""
        longitude, latitude = self.index.column("longitude"), self.index.column("latitude")
        within: NDArray[np.bool_] = (latitude >= south) & (latitude <= north)
        if west <= east:
            return within & (longitude >= west) & (longitude <= east)
        return within & ((longitude >= west) | (longitude <= east))

    def concerns(self, item: FeedItem, box: Box) -> bool:
        """Whether news of a device, an alarm or a case are of something in a box of the map."""
        number = self.index.find(device) if (device := _device_of(item)) else NOWHERE
        if number != NOWHERE:
            there = np.array([number])
            if self.index.column("leaf")[number] == NOWHERE:
                return False
            return bool(box.holds(self.index.column("x")[there], self.index.column("y")[there])[0])
        case = self.cases.get(item.data["id"]) if item.kind == "case" else None
        return case is not None and bool(box.holds(*self.cases.places([case])).any())

    def summary(self, wanted: Filter = Filter()) -> Summary:  # noqa: B008 - never changed
        """The map in figures: counts of what the filter lets through, bounds of the whole."""
        alive = self.index.column("alive")
        alive = alive & wanted.mask(self.index) if wanted else alive
        states = np.bincount(self.index.column("state")[alive], minlength=len(STATE_WORDS)).tolist()
        kinds = np.bincount(self.index.column("kind")[alive], minlength=len(self.index.kinds.all)).tolist()
        return Summary(
            version=self.dirty.version,
            devices=int(np.count_nonzero(alive)),
            states=dict(zip(STATE_WORDS, states, strict=True)),
            kinds={kind: count for kind, count in zip(self.index.kinds.all, kinds, strict=True) if count},
            bounds=self._bounds(),
            lag_s=round(self._lag_s, 3),
        )

    def district(self, device: str) -> str:
        """The name of the district that a device is in; "" where it is in none, or not known."""
        number = self.index.find(device)
        place = -1 if number == NOWHERE else int(self.index.column("district")[number])
        return "" if place < 0 else self._desk.duty.districts[place].name

    def last_heard(self, device: str, stored_ns: int | None) -> int | None:
        """When a device was last heard, by its own time; what the store has may be a while behind."""
        number = self.index.find(device)
        known = NEVER if number == NOWHERE else int(self.index.column("heard")[number])
        latest = max(known, self._heard.get(device, NEVER), NEVER if stored_ns is None else stored_ns)
        return None if latest == NEVER else latest

    async def _insist(self) -> None:
        while True:
            try:
                return await self.load()
            except (DBAPIError, OSError, StoreUnavailable) as error:
                _log.warning("the map waits for the store: %s", error, extra={"event": "atlas.waits"})
                await asyncio.sleep(_REST_S)

    async def _keep_sorted(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self._points.due:
                self._points.take(await asyncio.to_thread(self._points.sort, self._points.snapshot()))
            if self._texts.due:
                self._texts.take(await asyncio.to_thread(self._texts.write, self._texts.begin()))

    async def _look_again(self) -> None:
        now_ns = self._clock.wall_ns()
        if now_ns >= self._seldom_ns:
            await self.load()
        elif now_ns >= self._often_ns:
            await self._read_open(now_ns)

    async def _read_open(self, now_ns: int) -> None:
        """All open alarms and cases, whoever wrote them."""
        async with reading(self._engine) as conn:
            alarmed = await read.open_alarms(conn)
            counts = await read.case_counts(conn)
            cases = await read.open_cases(conn)
        self._draw(self.cases.put(cases.values(), self.cases.ids - cases.keys()))
        column = self.index.column
        held = np.flatnonzero((column("alarms") > 0) | (column("cases") > 0)).tolist()
        devices = {self.index.ids[number] for number in held} | alarmed.keys() | counts.keys()
        self._count(devices, alarmed, counts)
        self._often_ns = now_ns + _OFTEN_NS

    async def _read_rows(self, conn: AsyncConnection, devices: set[str]) -> None:
        if devices:
            rows = await read.devices_of(conn, devices)
            self._put(rows, note=True)
            self._forget(devices - {row.id for row in rows})
            self._count([row.id for row in rows], await read.open_alarms(conn, devices), await read.case_counts(conn, devices))

    async def _read_alarms(self, conn: AsyncConnection, devices: set[str]) -> None:
        if devices:
            self._count(devices, await read.open_alarms(conn, devices), await read.case_counts(conn, devices))

    async def _read_cases(self, conn: AsyncConnection, cases: set[int]) -> None:
        if cases:
            still = await read.open_cases(conn, cases)
            self._draw(self.cases.put(still.values(), cases - still.keys()))

    async def _take_heard(self, heard: Mapping[str, int]) -> None:
        numbers = self.index.numbers(heard)
        times = np.array([heard[self.index.ids[number]] for number in numbers.tolist()], dtype=np.int64)
        self.index.hear(numbers, times, self._clock.wall_ns())
        roaming = numbers[self.index.column("roams")[numbers]].tolist()
        await self._follow([self.index.ids[number] for number in roaming], note=True)

    async def _follow(self, devices: Sequence[str], *, note: bool) -> None:
        """See where devices say that they are."""
        for start in range(0, len(devices), _MOST_ASKED):
            latest = await self._series.latest(devices[start : start + _MOST_ASKED])
            said = {device: place for device, points in latest.items() if (place := _place(points)) is not None}
            numbers = self.index.numbers(said)
            places = np.array([said[self.index.ids[number]] for number in numbers.tolist()], dtype=np.float64).reshape(-1, 2)
            moved = self.index.move(numbers, places[:, 0], places[:, 1])
            if note:
                self._points.note(moved)

    def _put(self, rows: Sequence[DeviceRow], *, note: bool) -> None:
        changed = self.index.put(rows, self._clock.wall_ns())
        if note:
            self._points.note(changed)
            self._texts.note(changed)

    def _forget(self, devices: Iterable[str]) -> None:
        gone = self.index.forget(devices)
        self._points.note(gone)
        self._texts.note(gone)

    def _count(self, devices: Iterable[str], alarmed: Mapping[str, tuple[int, int]], cases: Mapping[str, int]) -> None:
        numbers = self.index.numbers(devices)
        ids = [self.index.ids[number] for number in numbers.tolist()]
        found = np.array([alarmed.get(device, (0, 0)) for device in ids], dtype=np.int64).reshape(-1, 2)
        held = np.array([cases.get(device, 0) for device in ids], dtype=np.int64)
        self.index.count(numbers, self._clock.wall_ns(), alarms=found[:, 0], critical=found[:, 1], cases=held)

    def _draw(self, changed: Sequence[CaseRow]) -> None:
        x, y = self.cases.places(changed)
        if len(x):
            self._touch(x, y)

    def _hear_news(self, item: FeedItem) -> None:
        data, device = item.data, _device_of(item)
        match item.kind:
            case "device" if device and isinstance(data.get("last_reading_ns"), int):
                self._heard[device] = max(self._heard.get(device, 0), data["last_reading_ns"])
            case "device" if device:
                self._rows_due.add(device)
            case "alarm" | "transition" if device:
                self._alarms_due.add(device)
            case "case":
                self._cases_due.add(data["id"])
                if device:
                    self._alarms_due.add(device)
            case _:
                pass

    def _touch(self, x: NDArray[np.uint32], y: NDArray[np.uint32]) -> None:
        if self.ready.is_set():  # before, nobody has seen anything that could change
            self.dirty.touch(x, y)

    def _silence_ns(self, profile: str) -> int:
        found = self._desk.catalog.get(profile)
        return round((UNKNOWN_S if found is None else offline_after_s(found)) * SECOND_NS)

    def _roams(self, profile: str) -> bool:
        found = self._desk.catalog.get(profile)
        return found is not None and {LONGITUDE, LATITUDE} <= found.metrics.keys()

    def _bounds(self) -> tuple[float, float, float, float] | None:
        placed = np.flatnonzero(self.index.column("leaf") != NOWHERE)
        if not len(placed):
            return None
        some = placed[:: max(1, len(placed) // _SAMPLE)]
        few = len(some) < 1 / _VIEW[0]
        x, y = (np.quantile(self.index.column(name)[some], (0.0, 1.0) if few else _VIEW) for name in ("x", "y"))
        west, south = degrees(float(x[0]), float(y[1]))
        east, north = degrees(float(x[1]), float(y[0]))
        return west, south, east, north


def _device_of(item: FeedItem) -> str | None:
    found: Any = item.data.get("id" if item.kind == "device" else "device")
    return found if isinstance(found, str) else None


def _place(points: Mapping[str, Point]) -> tuple[float, float] | None:
    """Where a device says that it is; None where it does not, or where its gateway does not believe it."""
    found = [points.get(LONGITUDE), points.get(LATITUDE)]
    values = [point.value for point in found if point is not None and point.quality is not Quality.BAD]
    if len(values) == 2 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        longitude, latitude = (float(value) for value in values if not isinstance(value, str | None))
        return longitude, latitude
    return None
