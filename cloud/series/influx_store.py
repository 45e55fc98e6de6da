"""The series store over an InfluxDB server: line protocol in, InfluxQL out, nothing that only one version knows.

Fields and their meaning are in `influx_lines`. Statements keep to the dialect that 1.x, 2.x and 3.x share: `db` only,
explicit time bounds, no regular expression, no subquery.
"""

# ruff: noqa: S608 - every name that is put into a statement went through `quote`

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from cloud.series.answering import Answerer, Asked
from cloud.series.dead_letters import DeadLetters
from cloud.series.honest import sound, without
from cloud.series.influx_http import InfluxAddress, InfluxClient, Series, WriteRefused, quote
from cloud.series.influx_lines import BAD, FLAW, MEASUREMENT, NONE, Line, lines, read_flaw
from cloud.series.influx_partial import blamed, words_of
from cloud.series.influx_rows import ask_rows
from cloud.series.influx_tiers import InfluxTiers
from cloud.series.latest import LatestValues
from cloud.series.rollups import Rows
from cloud.series.store import Bucket, Buckets, Chart, Point, Rolled, RowRefused, StoreUnavailable, Tier
from cloud.series.tiers import State
from telemetry.clock import Clock, SystemClock
from telemetry.reason import Reason
from telemetry.records import Value
from telemetry.wire import ReadingsBatch

__all__ = ["InfluxStore"]

_MOST_LINES: Final = 4_000  # in one write: fewer ones cost the server less, and it syncs its log for each
_AT_ONCE: Final = 2  # writes that the server works on, while one more is formatted and at most one waits ready
_IN_MEMORY: Final = _AT_ONCE + 2
_LAST_NS: Final = 2**63 - 2  # the server's own latest time
_NEWEST: Final = 4  # of each metric and device: above the latest one there may be some from a clock that nobody set
_CASTS: Final[Mapping[frozenset[str], Callable[[Any], Value]]] = {
    frozenset({"float"}): float,  # JSON writes 20.0 as 20
    frozenset({"integer"}): int,
}


class InfluxStore:
    """One database of one server. The latest values are read once at `open`, then followed. `letters` keeps refused lines."""

    def __init__(self, address: InfluxAddress, clock: Clock | None = None, letters: DeadLetters | None = None) -> None:
        self._client = InfluxClient(address)
        self._letters = letters
        self._clock = clock or SystemClock()
        self._latest = LatestValues(self._clock)
        self._fields: dict[str, frozenset[str]] = {}
        self._room = asyncio.Semaphore(_IN_MEMORY)
        self._formatting = asyncio.Lock()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._tiers = InfluxTiers(self._client, self._clock, self._learn_fields)
        self._answerer = Answerer(self, self._clock.wall_ns)

    async def open(self) -> None:
        await self._client.open()
        try:
            await self._learn_fields()
            await self._tiers.open()
            self._latest = LatestValues(self._clock)
            for some in _parts(sorted(self._metrics()), 50):
                self._latest.learn(await self._newest(some))
        except BaseException:
            await self._client.close()
            raise

    async def close(self) -> None:
        await self._client.close()

    async def write(self, batches: Sequence[ReadingsBatch]) -> list[RowRefused]:
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = [tasks.create_task(self._write_part(part)) for part in _portions(batches)]
        except* StoreUnavailable as errors:
            rest_s = max(each.rest_s for each in errors.exceptions if isinstance(each, StoreUnavailable))
            raise StoreUnavailable(str(errors.exceptions[0]), rest_s) from errors
        refused = [row for part in parts for row in part.result()]
        gone = {(row.gateway, row.seq) for row in refused}
        kept = [without(batch, {seq for gateway, seq in gone if gateway == batch.gateway}) for batch in batches]
        for batch in kept:
            self._latest.update(batch)
        await self._tiers.take([sound(batch)[0] for batch in kept])
        return refused

    async def _write_part(self, batches: Sequence[ReadingsBatch]) -> list[RowRefused]:
        async with self._room:
            async with self._formatting:
                pending, refused = await _lay_out(batches)
            async with self._turns:
                return refused + await self._write_lines(pending) if pending else refused

    async def latest(self, devices: Sequence[str]) -> dict[str, dict[str, Point]]:
        return {device: self._latest.get(device) for device in devices}

    async def range(
        self,
        device: str,
        metrics: Sequence[str],
        start_ns: int,
        end_ns: int,
        limit: int,
        *,
        newest_first: bool = False,
    ) -> dict[str, list[Point]]:
        await self._know(metrics)
        where = _where(device, start_ns, end_ns)
        order = "DESC" if newest_first else "ASC"
        asked = [f"{_select(metric)} {where} ORDER BY time {order} LIMIT {limit}" for metric in metrics]
        answers = await self._client.query(asked) if asked else []
        return {
            metric: [point for series in answer for point in self._points(metric, series)]
            for metric, answer in zip(metrics, answers, strict=True)
        }

    async def buckets(  # noqa: PLR0917 - the protocol's
        self, device: str, metrics: Sequence[str], start_ns: int, end_ns: int, bucket_s: int, zone: str
    ) -> Buckets:
        return await self._answerer.buckets(device, metrics, start_ns, end_ns, bucket_s, zone)

    async def rollup(
        self, tier: Tier, device: str, metrics: Sequence[str], start_ns: int, end_ns: int
    ) -> dict[str, list[Bucket]]:
        return await self._answerer.rollup(tier, device, metrics, start_ns, end_ns)

    async def chart(  # noqa: PLR0917 - the protocol's
        self, device: str, metrics: Sequence[str], start_ns: int, end_ns: int, pixels: int, usual_s: float | None = None
    ) -> Chart:
        return await self._answerer.chart(device, metrics, start_ns, end_ns, pixels, usual_s)

    async def rows(self, asked: Asked) -> dict[str, Rows]:
        """For the answers above; see `answering.Source`."""
        if any(metric not in self._fields for metric in asked.metrics):
            await self._learn_fields()
        return await ask_rows(self._client, asked, self._fields, self._tiers.packed_from_ns)

    async def tiers_of(self, device: str) -> tuple[State, Sequence[int]]:
        """For the answers above; see `answering.Source`."""
        return self._tiers.state, self._tiers.stale_hours(device)

    async def roll(self, now_ns: int) -> Rolled:
        return await self._tiers.roll(now_ns)

    async def prune(self, tier: Tier, before_ns: int) -> bool:
        return await self._tiers.prune(tier, before_ns)

    def rolled_ns(self) -> int:
        return self._tiers.state.minutes_ns

    async def delete_before(self, time_ns: int) -> None:
        """Where the server deletes nothing by request (3.x), its own retention must; that is logged once and counted."""
        await self._client.delete_before(MEASUREMENT, time_ns)

    async def count(self) -> int:
        await self._learn_fields()
        fields = [field for field in self._fields if not field.endswith(FLAW)]
        total = 0
        for some in _parts(fields, 50):
            wanted = ", ".join(f"count({quote(field)})" for field in some)
            [answer] = await self._client.query([f"SELECT {wanted} FROM {quote(MEASUREMENT)} WHERE {_ALL_TIME}"])
            total += sum(value for series in answer for row in series.values for value in row[1:] if value)
        return total

    async def _write_lines(self, pending: Sequence[tuple[ReadingsBatch, Line]]) -> list[RowRefused]:
        """Write what can be written; lines that cannot are those that the answer names, or are found by halving.

        Writing twice is harmless.
        """
        texts = [text for _, (_, text) in pending]
        try:
            await self._client.write(texts)
        except WriteRefused as error:
            known = blamed(error.detail, texts)
            if known:
                rest = [each for index, each in enumerate(pending) if index not in known]
                refused = [self._refuse(*pending[index], words) for index, words in known.items()]
                return refused + (await self._write_lines(rest) if rest else [])
            if len(pending) > 1:
                middle = len(pending) // 2
                return await self._write_lines(pending[:middle]) + await self._write_lines(pending[middle:])
            return [self._refuse(*pending[0], words_of(error.detail))]
        return []

    def _refuse(self, batch: ReadingsBatch, line: Line, words: str) -> RowRefused:
        seq, text = line
        reason = Reason.WRONG_TYPE if "field type conflict" in words else Reason.STORE_REFUSED
        if self._letters is not None:
            self._letters.put(
                at_ns=self._clock.wall_ns(), gateway=batch.gateway, epoch=batch.epoch, seq=seq, reason=reason,
                detail=words, line=text,
            )  # fmt: skip
        return RowRefused(batch.gateway, seq, reason, words)

    async def _newest(self, metrics: Sequence[str]) -> list[tuple[str, str, Point]]:
        believed = f"time >= 0 AND time <= {min(self._latest.horizon_ns(), _LAST_NS)}"
        rest = f'WHERE {believed} GROUP BY "device" ORDER BY time DESC LIMIT {_NEWEST}'
        answers = await self._client.query([f"{_select(metric)} {rest}" for metric in metrics])
        return [
            (series.tags["device"], metric, point)
            for metric, answer in zip(metrics, answers, strict=True)
            for series in answer
            for point in self._points(metric, series)
        ]

    def _points(self, metric: str, series: Series) -> Iterator[Point]:
        for time_ns, value, bad, flaw, none in series.values:
            if value is None and bad is None and none is None:
                continue
            mark = none or flaw
            held = self._cast(metric)(value) if value is not None else bad if bad is None else self._cast(metric + BAD)(bad)
            if mark is None:
                yield Point(time_ns, held)
            else:
                known = read_flaw(mark)
                yield Point(time_ns, held, known.quality, known.reason)

    def _cast(self, field: str) -> Callable[[Any], Value]:
        return _CASTS.get(self._fields.get(field, frozenset()), lambda value: value)

    async def _know(self, metrics: Sequence[str]) -> None:
        """Types are learnt again when a metric is asked for whose values, good or bad, were not there before."""
        if any(field not in self._fields for metric in metrics for field in (metric, metric + BAD)):
            await self._learn_fields()

    async def _learn_fields(self) -> Mapping[str, frozenset[str]]:
        [answer] = await self._client.query([f"SHOW FIELD KEYS FROM {quote(MEASUREMENT)}"])
        found: dict[str, set[str]] = {}
        for series in answer:
            for field, kind in series.values:
                found.setdefault(field, set()).add(kind)
        self._fields = {field: frozenset(kinds) for field, kinds in found.items()}
        return self._fields

    def _metrics(self) -> set[str]:
        names = set()
        for field in self._fields:
            head, dot, tail = field.rpartition(".")
            names.add(head if dot + tail in {BAD, FLAW, NONE} else field)
        return names


_ALL_TIME: Final = f"time >= 0 AND time <= {_LAST_NS}"


def _select(metric: str) -> str:
    return f"SELECT {', '.join(quote(metric + tail) for tail in ('', BAD, FLAW, NONE))} FROM {quote(MEASUREMENT)}"


def _where(device: str, start_ns: int, end_ns: int) -> str:
    escaped = device.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    last = min(end_ns, _LAST_NS)
    return f"WHERE \"device\" = '{escaped}' AND time >= {max(start_ns, 0)} AND time < {last}"


def _portions(batches: Sequence[ReadingsBatch]) -> Iterator[list[ReadingsBatch]]:
    """Batches in portions of about `_MOST_LINES` readings."""
    part: list[ReadingsBatch] = []
    for batch in batches:
        part.append(batch)
        if sum(each.count for each in part) >= _MOST_LINES:
            yield part
            part = []
    if part:
        yield part


async def _lay_out(batches: Sequence[ReadingsBatch]) -> tuple[list[tuple[ReadingsBatch, Line]], list[RowRefused]]:
    """Batch by batch, each a millisecond or two, with everything else that goes on in between.

    A thread would be no faster, since only one at a time interprets, and would hold up the loop for longer: whoever gives
    the interpreter up for a system call gets it back from a busy thread only after five milliseconds.
    """
    pending: list[tuple[ReadingsBatch, Line]] = []
    refused: list[RowRefused] = []
    for batch in batches:
        good, bad = sound(batch)
        refused += bad
        pending += [(batch, line) for line in lines(good)]
        await asyncio.sleep(0)
    return pending, refused


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
