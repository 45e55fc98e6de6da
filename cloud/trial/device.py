"""Trying a rule on one device: every reading of the time once, in the order of event time, by the rule and by today's."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from cloud.series.store import SeriesStore
from cloud.trial.engine import Engine, Judge
from cloud.trial.gaps import Gap, GapKind, Gaps
from cloud.trial.occurrences import Occurrence, Occurrences, overlapping
from cloud.trial.readings import pages
from cloud.trial.rule import metrics_of, only, wanted
from device_profiles.model import AlarmRule, Profile, Stale, leaves
from telemetry.clock import SECOND_NS
from telemetry.records import Reading, Transition

__all__ = ["DeviceTrial", "Question", "try_device"]

_PAUSE: Final = 250
"""Readings judged in one go, some milliseconds: the cloud has other things to do."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is tried. `today` is the profile's rule of the same name where it is another one; `from_ns` lies before `start_ns`,
    so that the engine has in mind at the start what it would have. More than `most` occurrences are not waited for.
    """

    profile: Profile
    rule: AlarmRule
    today: AlarmRule | None
    from_ns: int
    start_ns: int
    end_ns: int
    quiet_ns: int
    most: int
    tell: Callable[[Sequence[Transition]], None] = lambda steps: None


class DeviceTrial(msgspec.Struct, frozen=True, kw_only=True):
    """Of one device; `today` is None where the rule is today's, or there is none."""

    occurrences: Sequence[Occurrence]
    today: Sequence[Occurrence] | None
    gaps: Sequence[Gap]
    readings: int
    is_full: bool


class _Bench:
    """One rule at work."""

    def __init__(self, judge: Judge, rule: AlarmRule, most: int) -> None:
        self.occurrences = Occurrences(most)
        self.tell: Callable[[Sequence[Transition]], None] = lambda steps: None
        self._judge = judge
        limits = (leaf.after_s for leaf in leaves(rule.when) if isinstance(leaf, Stale))
        # A look when each limit is reached, and one when the delay that begins there is over.
        self._looks = sorted({round(s * SECOND_NS) for limit in limits for s in (limit, limit + rule.on_delay_s)})

    def reading(self, reading: Reading, heard_ns: int | None) -> None:
        if heard_ns is not None:
            self._silent(heard_ns, reading.time_ns)
        self._take(self._judge.reading(reading))

    def finish(self, heard_ns: int, end_ns: int) -> None:
        self._silent(heard_ns, end_ns)
        self._take(self._judge.silence((end_ns - heard_ns) / SECOND_NS, end_ns))

    def _silent(self, heard_ns: int, until_ns: int) -> None:
        for look_ns in self._looks:
            if heard_ns + look_ns < until_ns:
                self._take(self._judge.silence(look_ns / SECOND_NS, heard_ns + look_ns))

    def _take(self, steps: Sequence[Transition]) -> None:
        if steps:
            self.tell(steps)
            self.occurrences.take(steps)


class _Course:
    """All that is judged and noted of one device while its readings go by."""

    def __init__(self, engine: Engine, asked: Question, device: str) -> None:
        rules = [asked.rule] if asked.today is None else [asked.rule, asked.today]
        self.metrics = wanted(rules, asked.profile)
        self.benches = [_Bench(engine(only(asked.profile, rule), device), rule, asked.most) for rule in rules]
        self.benches[0].tell = asked.tell
        self.gaps = Gaps(metrics_of(asked.rule.when), asked.from_ns)
        self.quiet: list[tuple[int, int]] = []
        """From one reading to the next, where that is longer than the profile lets expect."""
        self.readings = 0
        self._asked = asked
        self._heard_ns: int | None = None

    @property
    def is_full(self) -> bool:
        return self.benches[0].occurrences.full

    def reading(self, reading: Reading) -> None:
        for bench in self.benches:
            bench.reading(reading, self._heard_ns)
        self.gaps.reading(reading)
        self._until(reading.time_ns)
        self._heard_ns = reading.time_ns
        self.readings += reading.time_ns >= self._asked.start_ns

    def finish(self) -> None:
        end_ns = self._asked.end_ns
        if self._heard_ns is not None:
            for bench in self.benches:
                bench.finish(self._heard_ns, end_ns)
            self._until(end_ns)
        self.gaps.finish(end_ns)

    def _until(self, time_ns: int) -> None:
        if self._heard_ns is not None and time_ns - self._heard_ns > self._asked.quiet_ns:
            self.quiet.append((self._heard_ns, time_ns))


async def try_device(store: SeriesStore, engine: Engine, asked: Question, device: str) -> DeviceTrial:
    """Judge what the store has of one device. StoreUnavailable where it does not answer."""
    course = _Course(engine, asked, device)
    async for page in pages(store, device, asked.profile, course.metrics, asked.from_ns, asked.end_ns):
        for start in range(0, len(page), _PAUSE):
            for reading in page[start : start + _PAUSE]:
                course.reading(reading)
            await asyncio.sleep(0)
        if course.is_full:
            break
    else:
        course.finish()
    silent = [] if course.is_full else await _silent(store, asked, device, course)
    found = course.benches[0].occurrences.found
    today = None if asked.today is None else course.benches[1].occurrences.found
    if today is not None:
        overlapping(found, today, asked.end_ns)
    elif asked.rule.name in asked.profile.alarms:
        for each in found:
            each.also_today = True
    gaps = _within(asked, [*course.gaps.found, *silent])
    return DeviceTrial(occurrences=found, today=today, gaps=gaps, readings=course.readings, is_full=course.is_full)


async def _silent(store: SeriesStore, asked: Question, device: str, course: _Course) -> list[Gap]:
    """Those parts of the quiet stretches in which the device said nothing else either; none where silence is what is judged."""
    quiet = course.quiet
    if not quiet or not metrics_of(asked.rule.when):
        return []
    others = [metric for metric in asked.profile.metrics if metric not in course.metrics]
    found: list[Gap] = []
    left = list(reversed(quiet))
    last_ns = left[-1][0]
    async for page in pages(store, device, asked.profile, others, quiet[0][0], quiet[-1][1]):
        for reading in page:
            while left and reading.time_ns >= left[-1][1]:
                found += _gap(last_ns, left.pop()[1], asked.quiet_ns)
                last_ns = left[-1][0] if left else last_ns
            if left and reading.time_ns > left[-1][0]:
                found += _gap(last_ns, reading.time_ns, asked.quiet_ns)
                last_ns = reading.time_ns
        await asyncio.sleep(0)
    while left:
        found += _gap(last_ns, left.pop()[1], asked.quiet_ns)
        last_ns = left[-1][0] if left else last_ns
    return found


def _gap(since_ns: int, until_ns: int, quiet_ns: int) -> Iterator[Gap]:
    if until_ns - since_ns > quiet_ns:
        yield Gap(since_ns, until_ns, GapKind.SILENT)


def _within(asked: Question, gaps: Sequence[Gap]) -> list[Gap]:
    """Those of the time that was asked for, cut to it."""
    cut = (Gap(max(gap.start_ns, asked.start_ns), min(gap.end_ns, asked.end_ns), gap.kind) for gap in gaps)
    return sorted((gap for gap in cut if gap.start_ns < gap.end_ns), key=lambda gap: (gap.start_ns, gap.end_ns))
