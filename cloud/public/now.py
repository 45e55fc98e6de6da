"""How a toilet stands now, by the newest values of its devices, and never better than they say.

A value counts as long as its device may keep silent by its profile; after that nobody knows. A stall is free only where a
good value says so: whatever is silent, absent, faulty or uncertain is unknown (未知).
"""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.clocks.calendar import WorkCalendar
from cloud.public.air import Grade, grade_of
from cloud.public.hours import Opening, opening
from cloud.public.toilet import Section, Stall, Toilet
from cloud.relational.chunks import chunks
from cloud.relational.engine import reading
from cloud.relational.tables import devices
from cloud.series.store import Point, SeriesStore
from cloud.watch.limits import UNKNOWN_S, offline_after_s
from device_profiles.model import Profile
from telemetry.clock import SECOND_NS, Clock
from telemetry.records import Quality

__all__ = ["Board", "Free", "StallNow", "StallState", "ToiletNow", "Value"]

_AHEAD_NS: Final = 300 * SECOND_NS
"""A device whose clock is further ahead than this would never grow silent: its values count for nothing."""


class StallState(StrEnum):
    """What is known of a stall."""

    FREE = "free"
    TAKEN = "taken"
    UNKNOWN = "unknown"


class StallNow(msgspec.Struct, frozen=True):
    """One stall; `good_until_ns` is when its state is unknown unless its device is heard again, 0 where it is so now."""

    stall: Stall
    state: StallState
    good_until_ns: int = 0


class Free(msgspec.Struct, frozen=True):
    """The stalls of one section."""

    section: Section
    free: int
    taken: int
    unknown: int


class Value(msgspec.Struct, frozen=True):
    """A number that holds, and when it was measured."""

    number: float
    time_ns: int


class ToiletNow(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown of one toilet, as of `at_ns`; None is "nobody knows"."""

    toilet: Toilet
    at_ns: int
    opening: Opening
    stalls: tuple[StallNow, ...]
    sections: tuple[Free, ...]
    grade: Grade
    nh3_ppm: Value | None = None
    h2s_ppm: Value | None = None
    temperature_c: Value | None = None
    visitors_today: Value | None = None
    paper_pct: Value | None = None
    soap_pct: Value | None = None

    @property
    def free(self) -> int:
        """Stalls that are free for certain."""
        return sum(each.free for each in self.sections)

    @property
    def unknown(self) -> int:
        """Stalls of which nobody knows."""
        return sum(each.unknown for each in self.sections)


class Board:
    """All toilets, looked at no more than twice a second whoever asks."""

    def __init__(
        self,
        toilets: Sequence[Toilet],
        *,
        engine: AsyncEngine,
        series: SeriesStore,
        catalog: Mapping[str, Profile],
        calendar: WorkCalendar,
        clock: Clock,
    ) -> None:
        self._toilets = tuple(toilets)
        self._engine = engine
        self._series = series
        self._catalog = catalog
        self._calendar = calendar
        self._clock = clock
        self._turn = asyncio.Lock()
        self._shown: dict[str, ToiletNow] = {}
        self._made_ns = 0

    @property
    def zone(self) -> ZoneInfo:
        """The zone of the city's clocks."""
        return self._calendar.zone

    async def look(self) -> Mapping[str, ToiletNow]:
        """Every toilet by id, at most half a second old. StoreUnavailable or DBAPIError where a store does not answer."""
        async with self._turn:
            now_ns = self._clock.wall_ns()
            if not self._shown or not 0 <= now_ns - self._made_ns < SECOND_NS // 2:
                points = await self._points(now_ns)
                self._shown = {each.id: look_at(each, points, self._calendar, now_ns) for each in self._toilets}
                self._made_ns = now_ns
        return self._shown

    async def _points(self, now_ns: int) -> "Points":
        names = sorted({device for toilet in self._toilets for device in toilet.devices})
        profiles: dict[str, str] = {}
        async with reading(self._engine) as conn:
            for some in chunks(names):
                rows = await conn.execute(select(devices.c.id, devices.c.profile).where(devices.c.id.in_(some)))
                profiles.update((row.id, row.profile) for row in rows)
        held = {name: self._catalog.get(profile) for name, profile in profiles.items()}
        limits = {name: UNKNOWN_S if profile is None else offline_after_s(profile) for name, profile in held.items()}
        # A device that is no longer registered says nothing, whatever it said before.
        return Points(await self._series.latest(list(limits)), limits, now_ns)


class Points:
    """The newest points of devices, and how long each may be silent, in seconds."""

    def __init__(self, points: Mapping[str, Mapping[str, Point]], limits_s: Mapping[str, float], now_ns: int) -> None:
        self._points = points
        self._limits_s = limits_s
        self._now_ns = now_ns

    def good_until_ns(self, device: str, metric: str) -> int:
        """Until when the newest value counts; 0 where it is not good, not there, or counts no more."""
        point = self._points.get(device, {}).get(metric)
        if point is None or point.value is None or point.quality is not Quality.GOOD:
            return 0
        until_ns = point.time_ns + round(self._limits_s.get(device, 0.0) * SECOND_NS)
        return until_ns if self._now_ns < until_ns and point.time_ns <= self._now_ns + _AHEAD_NS else 0

    def value(self, device: str, metric: str) -> Value | None:
        """The newest number, while it counts."""
        if not self.good_until_ns(device, metric):
            return None
        point = self._points[device][metric]
        return Value(float(point.value), point.time_ns) if isinstance(point.value, int | float) else None

    def stall(self, stall: Stall) -> StallNow:
        """One stall; one whose sensor is said to be gone is unknown."""
        until_ns = self.good_until_ns(stall.device, stall.metric)
        online = self._points.get(stall.device, {}).get("device_online")
        if not until_ns or (online is not None and online.value is False):
            return StallNow(stall, StallState.UNKNOWN)
        value = self._points[stall.device][stall.metric].value
        if not isinstance(value, bool):
            return StallNow(stall, StallState.UNKNOWN)
        return StallNow(stall, StallState.TAKEN if value else StallState.FREE, until_ns)


def look_at(toilet: Toilet, points: Points, calendar: WorkCalendar, now_ns: int) -> ToiletNow:
    """One toilet as its devices' points show it."""
    stalls = tuple(points.stall(stall) for stall in toilet.stalls)
    gases = {metric: points.value(toilet.air, metric) for metric in ("nh3_ppm", "h2s_ppm")}
    return ToiletNow(
        toilet=toilet,
        at_ns=now_ns,
        opening=opening(toilet, calendar, now_ns),
        stalls=stalls,
        sections=tuple(_sections(stalls)),
        grade=grade_of((metric, value.number) for metric, value in gases.items() if value is not None),
        **gases,
        temperature_c=points.value(toilet.air, "temperature_c"),
        visitors_today=_of_today(points.value(toilet.counter, "people_today"), calendar.zone, now_ns),
        paper_pct=points.value(toilet.paper, "paper_level_pct"),
        soap_pct=points.value(toilet.soap, "soap_level_pct"),
    )


def _sections(stalls: Sequence[StallNow]) -> Iterable[Free]:
    for section in Section:
        of = Counter(each.state for each in stalls if each.stall.section is section)
        if of:
            yield Free(section, of[StallState.FREE], of[StallState.TAKEN], of[StallState.UNKNOWN])


def _of_today(value: Value | None, zone: ZoneInfo, now_ns: int) -> Value | None:
    """A count of a day counts on that day only."""
    if value is None:
        return None
    then, now = (dt.datetime.fromtimestamp(each // SECOND_NS, zone).date() for each in (value.time_ns, now_ns))
    return value if then == now else None
