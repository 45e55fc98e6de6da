"""Trying one rule on the recorded readings of many devices, one after the other: the memory is that of one device."""

import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.clocks.civil import local_date
from cloud.health.tally import Tally
from cloud.relational.engine import reading
from cloud.relational.tables import devices, transitions
from cloud.series.store import SeriesStore
from cloud.trial.device import DeviceTrial, Question, try_device
from cloud.trial.engine import Engine
from cloud.trial.gaps import joined_ns
from cloud.trial.occurrences import Occurrence
from cloud.trial.result import DayCount, Listed, TrialResult, caveats
from cloud.trial.rule import memory_s
from cloud.watch.limits import offline_after_s
from device_profiles.model import AlarmRule, Profile
from telemetry.clock import SECOND_NS
from telemetry.records import Cause, Origin, Transition

__all__ = ["Progress", "Trial", "devices_of"]

_DAY_NS: Final = 86_400 * SECOND_NS
_CHINA: Final = ZoneInfo("Asia/Shanghai")
_MOST_OF_DEVICE: Final = 20_000
_MOST_LISTED: Final = 1_000
_MOST_GAPS: Final = 200


class Progress(msgspec.Struct, frozen=True):
    """How far it is: `done` devices out of `total`, and how many readings were judged."""

    done: int
    total: int
    readings: int


async def devices_of(engine: AsyncEngine, profile: str) -> list[str]:
    """The devices of a profile, by id."""
    async with reading(engine) as conn:
        found = await conn.scalars(select(devices.c.id).where(devices.c.profile == profile).order_by(devices.c.id))
        return list(found.all())


class Trial:
    """`run` it, and ask for the `result`, also where it was cancelled on the way: it then tells of what was judged so far."""

    def __init__(
        self,
        profile: Profile,
        rule: AlarmRule,
        engine: Engine,
        *,
        names: Sequence[str],
        now_ns: int,
        days: int = 30,
        zone: ZoneInfo = _CHINA,
        tell: Callable[[Sequence[Transition]], None] = lambda steps: None,
    ) -> None:
        self._engine, self._zone = engine, zone
        self._names = tuple(dict.fromkeys(names))
        start_ns, today = now_ns - days * _DAY_NS, profile.alarms.get(rule.name)
        before_ns = max(_DAY_NS, round(2 * memory_s(rule, profile) * SECOND_NS))
        self._asked = Question(
            profile=profile,
            rule=rule,
            today=today if today != rule else None,
            from_ns=max(1, start_ns - before_ns),
            start_ns=start_ns,
            end_ns=now_ns,
            quiet_ns=round(offline_after_s(profile) * SECOND_NS),
            most=_MOST_OF_DEVICE,
            tell=tell,
        )
        self._has_today = today is not None
        self._sums = _Sums()
        self._tally = Tally()
        self._by_day: Counter[str] = Counter()
        self._is_complete = False

    async def run(self, engine: AsyncEngine, store: SeriesStore, progress: Callable[[Progress], Awaitable[bool]]) -> None:
        """Try it on every device, until `progress` says that nobody waits for it. StoreUnavailable as the store says."""
        sums = self._sums
        for done, name in enumerate(self._names):
            if not await progress(Progress(done, len(self._names), sums.readings)):
                return
            self._add(name, await try_device(store, self._engine, self._asked, name))
            sums.logged += await self._logged(engine, name)
        self._is_complete = True
        await progress(Progress(len(self._names), len(self._names), sums.readings))

    def result(self) -> TrialResult:
        """What was found so far."""
        sums, asked = self._sums, self._asked
        span_ns = (asked.end_ns - asked.start_ns) * sums.judged
        days = sorted(self._by_day)
        return TrialResult(
            profile=asked.profile.name,
            rule=asked.rule.name,
            start_ns=asked.start_ns,
            end_ns=asked.end_ns,
            complete=self._is_complete,
            devices=len(self._names),
            devices_judged=sums.judged,
            devices_heard=sums.heard,
            readings=sums.readings,
            raised=sums.raised,
            carried=sums.carried,
            by_day=tuple(DayCount(day, self._by_day[day]) for day in days),
            today_raised=self._today_raised(),
            also_today=sums.also_today if self._has_today else None,
            logged=sums.logged,
            chattering=tuple(self._tally.chattering()[:_MOST_GAPS]),
            occurrences=tuple(sums.occurrences),
            gaps=tuple(sums.gaps),
            gap_count=sums.gap_count,
            judged_pct=100 * (1 - sums.blind_ns / span_ns) if span_ns else None,
            unfinished=tuple(sums.unfinished),
            caveats=caveats(asked.rule, asked.profile),
        )

    def _today_raised(self) -> int | None:
        if not self._has_today:
            return None
        return self._sums.raised if self._asked.today is None else self._sums.today_raised

    def _add(self, device: str, found: DeviceTrial) -> None:
        sums, start_ns, end_ns = self._sums, self._asked.start_ns, self._asked.end_ns
        sums.judged += 1
        sums.heard += found.readings > 0
        sums.readings += found.readings
        if found.is_full:
            sums.unfinished.append(device)
        for each in found.occurrences:
            if each.raised_ns >= start_ns:
                self._raise(each)
            elif each.returned_ns is None or each.returned_ns >= start_ns:
                sums.carried += 1
        sums.today_raised += sum(each.raised_ns >= start_ns for each in found.today or ())
        sums.blind_ns += joined_ns(found.gaps, start_ns, end_ns)
        sums.gap_count += len(found.gaps)
        listed = (Listed(device, gap.start_ns, gap.end_ns, gap.kind) for gap in found.gaps)
        sums.gaps = heapq.nlargest(_MOST_GAPS, chain(sums.gaps, listed), key=lambda gap: gap.end_ns - gap.start_ns)

    def _raise(self, each: Occurrence) -> None:
        sums = self._sums
        sums.raised += 1
        sums.also_today += each.also_today is True
        self._by_day[local_date(each.raised_ns, self._zone).isoformat()] += 1
        self._tally.add(each.alarm.rpartition("/")[0], each.raised_ns)
        if len(sums.occurrences) < _MOST_LISTED:
            sums.occurrences.append(each)

    async def _logged(self, engine: AsyncEngine, device: str) -> int:
        """How often the gateway raised a rule of that name in the time."""
        asked, step = self._asked, transitions.c
        raises = select(func.count()).where(step.device == device, step.rule == asked.rule.name, step.origin == Origin.EDGE.value)
        raises = raises.where(step.cause == Cause.RAISE.value)
        async with reading(engine) as conn:
            within = raises.where(step.event_time_ns >= asked.start_ns, step.event_time_ns < asked.end_ns)
            return await conn.scalar(within) or 0


class _Sums(msgspec.Struct):
    judged: int = 0
    heard: int = 0
    readings: int = 0
    raised: int = 0
    carried: int = 0
    also_today: int = 0
    today_raised: int = 0
    logged: int = 0
    blind_ns: int = 0
    gap_count: int = 0
    occurrences: list[Occurrence] = []
    gaps: list[Listed] = []
    unfinished: list[str] = []
