"""The tiers of an InfluxDB store, made by this process and not by the server: no continuous query, no SELECT INTO.

The minutes of what this process writes are made from memory, everything else is read back: what an earlier run left, what
did not fit into memory, what came late. Hours are made from minutes. How far the tiers are stands in the measurement
`reading_tiers`, written after the rows themselves: a run that was cut short does the same again, which changes nothing. A
late value leaves a mark, its device and hour, in `reading_late`, and no write is answered before its marks are kept; a
mark is pending while its `due` is greater than its `done`, so that nothing must ever be deleted.
"""

# ruff: noqa: S608 - every name and text that is put into a statement went through `quote` or `text`

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from cloud.series.influx_http import InfluxClient, quote
from cloud.series.influx_lines import BAD, FLAW, MEASUREMENT, NONE, escape_key
from cloud.series.influx_probe import Deletes
from cloud.series.influx_rows import TIERS, interval, read_points, text, tier_lines, tier_rows, tier_statements
from cloud.series.live_edge import LiveEdge, minutes_of
from cloud.series.rollups import ROW, Rows, combine, rows_of
from cloud.series.store import Rolled, Tier
from cloud.series.tiers import DELAY_NS, HOUR_NS, MINUTE_NS, State
from telemetry.clock import Clock
from telemetry.raw_frames import is_raw_frame
from telemetry.wire import ReadingsBatch

__all__ = ["InfluxTiers"]

_LATE: Final = f"{MEASUREMENT}_late"
_PROGRESS: Final = f"{MEASUREMENT}_tiers"
_PACKED_FROM: Final = "packed_from_ns"
_EVERYONE: Final = "*"  # in a mark: all devices; no device's id may hold it
_MOST_MARKS: Final = 200_000  # in memory: some 40 MB
_MARKS_AT_ONCE: Final = 200
_LINES_AT_ONCE: Final = 4_000
_ALL_TIME: Final = interval(0, 2**63)
_AT_FIRST_NS: Final = 10 * MINUTE_NS
_LONGEST_NS: Final = 6 * HOUR_NS
_MANY: Final = 200_000  # values read back in one portion: above it the next one is half as long
_FORGET_NS: Final = {Tier.RAW: 6 * HOUR_NS, Tier.MINUTE: 24 * HOUR_NS, Tier.HOUR: 30 * 24 * HOUR_NS}

_NOTHING: Final = np.zeros(0, dtype=ROW)

Mark = tuple[str, int]
"""A device and where an hour begins."""
_Named = tuple[list[tuple[str, str]], Rows]
"""(device, metric) of each row, and the rows."""


class InfluxTiers:
    """Follows what is written, makes the tiers, forgets. `fields` asks the server for the types of its raw fields."""

    def __init__(self, client: InfluxClient, clock: Clock, fields: Callable[[], Awaitable[Mapping[str, frozenset[str]]]]) -> None:
        self._client = client
        self._clock = clock
        self._fields = fields
        self.live = LiveEdge()
        self.state = State()
        self.packed_from_ns = 0
        """From then on every hour has its packed field, too."""
        self._closing_ns = 0
        self._waiting: dict[Mark, int] = {}
        self._own: set[Mark] = set()
        self._in_work: dict[Mark, int] = {}
        self._span_ns = _AT_FIRST_NS
        self._learnt_ns = 0
        self._rolls = False
        self._coarse = 0

    async def open(self) -> None:
        """Learn what earlier runs left to do."""
        wanted = ", ".join(map(quote, (_PACKED_FROM, *State.__struct_fields__)))
        [progress] = await self._client.query(
            [f"SELECT {wanted} FROM {quote(_PROGRESS)} WHERE {_ALL_TIME} ORDER BY time DESC LIMIT 1"]
        )
        self.state, self.packed_from_ns = State(), 0
        for series in progress:
            for _, packed_from_ns, *told in series.values:
                self.state = State(**{name: at or 0 for name, at in zip(State.__struct_fields__, told, strict=True)})
                # An earlier version made the hours, and may have made one anew whose packed field was there before.
                self.packed_from_ns = self.state.hours_ns if packed_from_ns is None else packed_from_ns
        await self._learn_marks()
        self._closing_ns = self.state.minutes_ns
        self.live.begin(max(self._clock.wall_ns(), self.state.minutes_ns))

    async def take(self, batches: Sequence[ReadingsBatch]) -> None:
        """What has just been written; returns when the marks of what was late are kept."""
        now_ns = self._clock.wall_ns()
        batches = [_measured(batch) for batch in batches]
        self.live.add(batches, now_ns)
        # Who only writes leaves marks for all that is past: somebody else makes the tiers, and does not see the values.
        closing_ns = now_ns if self.state.minutes_ns and not self._rolls else self._closing_ns
        late = {
            (group.devices[row[1]], row[2] - row[2] % HOUR_NS)
            for batch in batches
            for group in batch.groups
            if group.rows and min([row[2] for row in group.rows]) < closing_ns
            for row in group.rows
            if row[2] < closing_ns
        }
        marks = late - self._waiting.keys()
        if marks and len(self._waiting) + len(marks) > _MOST_MARKS:
            self._coarse += len(marks)
            marks = {(_EVERYONE, hour_ns) for _, hour_ns in marks} - self._waiting.keys()
        if marks:
            due = max(now_ns, self._learnt_ns + 1)
            await self._write(f"{_LATE},device={escape_key(device)} due={due}i {hour_ns}" for device, hour_ns in sorted(marks))
            self._waiting.update(dict.fromkeys(marks, due))
            if self._rolls:
                self._own |= marks

    def stale_hours(self, device: str) -> list[int]:
        """Where the hours begin in which the tiers of a device do not yet have what came late."""
        if not self._waiting and not self._in_work:
            return []
        return sorted({hour for whose, hour in (*self._waiting, *self._in_work) if whose in {device, _EVERYONE}})

    async def roll(self, now_ns: int) -> Rolled:
        """One portion."""
        closed_ns = (now_ns - DELAY_NS) // MINUTE_NS * MINUTE_NS
        self._rolls = True
        if self.state.minutes_ns < closed_ns:
            await self._roll_closed(closed_ns)
        elif ready := self._ready():
            await self._roll_late(ready)
        more = self.state.minutes_ns < closed_ns or bool(self._ready())
        return Rolled(until_ns=self.state.minutes_ns, waiting=len(self._waiting), coarse=self._coarse, more=more)

    async def _learn_marks(self) -> None:
        """The marks that are pending, also those of other processes, such as one that fills in the past."""
        newer = f'"due" > {self._learnt_ns}'
        [late] = await self._client.query(
            [f'SELECT "due", "done" FROM {quote(_LATE)} WHERE {newer} AND {_ALL_TIME} GROUP BY "device"']
        )
        for series in late:
            for hour_ns, due, done in series.values:
                self._learnt_ns = max(self._learnt_ns, due)
                if due > (done or 0):
                    self._waiting.setdefault((series.tags["device"], hour_ns), due)

    async def _roll_closed(self, closed_ns: int) -> None:
        self._closing_ns = closed_ns  # from now on a value of that time leaves a mark
        since = self.state.minutes_ns
        if since >= self.live.since_ns:
            until = closed_ns
            keys, rows = await asyncio.to_thread(minutes_of, self.live.take(until))
            names = [(self.live.name(key >> 32), self.live.name(key & 0xFFFFFFFF)) for key in keys.tolist()]
            await self._keep(Tier.MINUTE, (names, rows))
        else:
            if closed_ns - since > _AT_FIRST_NS:
                since = max(since, min(await self._oldest(MEASUREMENT, since), closed_ns) // MINUTE_NS * MINUTE_NS)
            until = min(closed_ns, since + self._span_ns, max(self.live.since_ns, since + MINUTE_NS))
            values = 0
            async for named in self._read_back(since, until, None):
                values += int(named[1]["n"].sum())
                await self._keep(Tier.MINUTE, named)
            self._span_ns = max(self._span_ns // 2, MINUTE_NS) if values > _MANY else min(self._span_ns * 2, _LONGEST_NS)
            self._span_ns -= self._span_ns % MINUTE_NS
        hours_ns = max(self.state.hours_ns, until - until % HOUR_NS)
        if hours_ns > self.state.hours_ns:
            # The hours that were begun, then those of this portion: in between there may be years without a value.
            begun_ns = min(-(-self.state.minutes_ns // HOUR_NS) * HOUR_NS, hours_ns)
            await self._make_hours(self.state.hours_ns, begun_ns, None)
            await self._make_hours(max(begun_ns, since - since % HOUR_NS), hours_ns, None)
        await self._progress(minutes_ns=until, hours_ns=hours_ns)
        await self._learn_marks()

    def _ready(self) -> list[Mark]:
        """What can be made anew: of another process's values only hours that are over, for of its newest nothing is known."""
        made_ns = self.state.minutes_ns
        return [mark for mark in self._waiting if mark in self._own or mark[1] + HOUR_NS <= made_ns]

    async def _roll_late(self, ready: Sequence[Mark]) -> None:
        """The marks of the earliest hour, as many as go into one question."""
        first_ns = min(hour_ns for _, hour_ns in ready)
        marks = [mark for mark in ready if mark[1] == first_ns]
        # A mark for everybody is done alone, and does for all the others of its hour.
        everyone = (_EVERYONE, first_ns) in marks
        taken = marks if everyone else sorted(marks)[:_MARKS_AT_ONCE]
        self._in_work = {mark: self._waiting.pop(mark) for mark in taken}
        self._own -= self._in_work.keys()
        try:
            await self._make_anew(first_ns, None if everyone else [device for device, _ in taken])
            done = (f"{_LATE},device={escape_key(device)} done={due}i {hour}" for (device, hour), due in self._in_work.items())
            await self._write(done)
        except BaseException:
            self._waiting = {**self._in_work, **self._waiting}
            raise
        finally:
            self._in_work = {}

    async def _make_anew(self, hour_ns: int, devices: Sequence[str] | None) -> None:
        end_ns = min(hour_ns + HOUR_NS, self.state.minutes_ns)
        lost = hour_ns < self.state.raw_from_ns
        async for named in self._read_back(hour_ns, end_ns, devices):
            await self._keep(Tier.MINUTE, await self._no_less(Tier.MINUTE, named, hour_ns) if lost else named)
        if hour_ns + HOUR_NS <= self.state.hours_ns:
            await self._make_hours(hour_ns, hour_ns + HOUR_NS, devices)

    async def _read_back(self, since_ns: int, until_ns: int, devices: Sequence[str] | None) -> AsyncIterator[_Named]:
        """The minutes of raw values, a metric after the other."""
        edges = np.arange(since_ns, until_ns, MINUTE_NS)
        rest = f'WHERE {_of(devices)}{interval(since_ns, until_ns)} GROUP BY "device"'
        for metric, kinds in sorted((await self._fields()).items()):
            if metric.endswith((BAD, FLAW, NONE)) or is_raw_frame(metric):
                continue
            [answer] = await self._client.query([f"SELECT {quote(metric)} FROM {quote(MEASUREMENT)} {rest}"])
            names: list[tuple[str, str]] = []
            found: list[Rows] = []
            for series in answer:
                pieces = [rows_of(np.array(at, dtype=np.int64), held, kind) for kind, at, held in read_points(series, kinds)]
                minutes = combine(np.concatenate([_NOTHING, *pieces]), edges)
                names += [(series.tags["device"], metric)] * len(minutes)
                found.append(minutes)
            if found:
                yield names, np.concatenate(found)

    async def _make_hours(self, since_ns: int, until_ns: int, devices: Sequence[str] | None) -> None:
        """Hours from the minutes of the server, hour by hour."""
        for hour_ns in range(since_ns, until_ns, HOUR_NS):
            where = f"WHERE {_of(devices)}{interval(hour_ns, hour_ns + HOUR_NS)}"
            named = await self._tier_named(tier_statements(Tier.MINUTE, where, (HOUR_NS, hour_ns), '"device", "metric"'))
            lost = hour_ns < max(self.state.raw_from_ns, self.state.minute_from_ns)
            await self._keep(Tier.HOUR, await self._no_less(Tier.HOUR, named, hour_ns) if lost else named)

    async def _no_less(self, tier: Tier, named: _Named, hour_ns: int) -> _Named:
        """The rows without those that were made of fewer values than what is kept: its raw values were forgotten."""
        names, rows = named
        where = f"WHERE {_of(sorted({device for device, _ in names}) or None)}{interval(hour_ns, hour_ns + HOUR_NS)}"
        kept_names, kept = await self._tier_named(tier_statements(tier, where, None, '"device", "metric"'))
        counts = dict(zip(_keys(kept_names, kept), kept["n"].tolist(), strict=True))
        fresh = zip(_keys(names, rows), rows["n"].tolist(), strict=True)
        better = [index for index, (key, n) in enumerate(fresh) if n >= counts.get(key, 0)]
        return [names[index] for index in better], rows[better]

    async def _tier_named(self, statements: Sequence[str]) -> _Named:
        names: list[tuple[str, str]] = []
        found = [_NOTHING]
        for tags, rows in tier_rows(await self._client.query(statements)):
            names += [(tags["device"], tags["metric"])] * len(rows)
            found.append(rows)
        return names, np.concatenate(found)

    async def _keep(self, tier: Tier, named: _Named) -> None:
        names, rows = named
        for at in range(0, len(names), _LINES_AT_ONCE):
            some = slice(at, at + _LINES_AT_ONCE)
            await self._client.write(tier_lines(tier, names[some], rows[some]))
            await asyncio.sleep(0)

    async def _write(self, lines: Iterable[str]) -> None:
        every = list(lines)
        for at in range(0, len(every), _LINES_AT_ONCE):
            await self._client.write(every[at : at + _LINES_AT_ONCE])

    async def _progress(self, **changed: int) -> None:
        state = State(**{**{name: getattr(self.state, name) for name in State.__struct_fields__}, **changed})
        fields = ",".join(f"{name}={getattr(state, name)}i" for name in State.__struct_fields__)
        fields += f",{_PACKED_FROM}={self.packed_from_ns}i"
        # One point an hour, at its beginning: it is as young as the data, whatever a retention of the server's does.
        await self._client.write([f"{_PROGRESS},of=cloud {fields} {state.minutes_ns - state.minutes_ns % HOUR_NS}"])
        self.state = state

    async def prune(self, tier: Tier, before_ns: int) -> bool:
        """One portion, never what is not yet in the next tier. A server that deletes nothing keeps all: said once, counted."""
        if self._client.has.deletes is Deletes.NONE:
            await self._client.delete_before(MEASUREMENT if tier is Tier.RAW else TIERS[tier], before_ns)
            return False
        made_ns = {Tier.RAW: self.state.minutes_ns, Tier.MINUTE: self.state.hours_ns, Tier.HOUR: before_ns}[tier]
        touched_ns = min((hour_ns for _, hour_ns in (*self._waiting, *self._in_work)), default=before_ns)
        limit_ns = min(before_ns, made_ns, before_ns if tier is Tier.HOUR else touched_ns)
        limit_ns -= limit_ns % (MINUTE_NS if tier is Tier.RAW else HOUR_NS)
        table = MEASUREMENT if tier is Tier.RAW else TIERS[tier]
        oldest_ns = await self._oldest(table, 0)
        if oldest_ns >= limit_ns:
            return False
        until_ns = min(limit_ns, oldest_ns - oldest_ns % HOUR_NS + _FORGET_NS[tier])
        # First what is said of it: whoever asks in between misses nothing that is still there.
        if tier is Tier.RAW:
            await self._progress(raw_from_ns=max(until_ns, self.state.raw_from_ns))
        elif tier is Tier.MINUTE:
            await self._progress(minute_from_ns=max(until_ns, self.state.minute_from_ns))
        await self._client.delete_before(table, until_ns)
        return until_ns < limit_ns

    async def _oldest(self, table: str, since_ns: int) -> int:
        """The earliest time of anything in a measurement, from `since_ns` on; far in the future where there is nothing."""
        [answer] = await self._client.query(
            [f"SELECT * FROM {quote(table)} WHERE {interval(since_ns, 2**63)} ORDER BY time ASC LIMIT 1"]
        )
        return min((row[0] for series in answer for row in series.values), default=2**62)


def _measured(batch: ReadingsBatch) -> ReadingsBatch:
    """The batch without frames as devices sent them: they have readings of their own, and amount to nothing."""
    groups = [group for group in batch.groups if not (group.metrics and is_raw_frame(group.metrics[0]))]
    return batch if len(groups) == len(batch.groups) else msgspec.structs.replace(batch, groups=groups)


def _keys(names: Sequence[tuple[str, str]], rows: Rows) -> list[tuple[tuple[str, str], int]]:
    return list(zip(names, rows["start_ns"].tolist(), strict=True))


def _of(devices: Sequence[str] | None) -> str:
    """The condition of some devices, with what joins it to the next one; nothing for all of them."""
    if devices is None:
        return ""
    conditions = [f'"device" = {text(device)}' for device in devices]
    return f"({' OR '.join(conditions)}) AND "
