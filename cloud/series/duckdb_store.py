"""The embedded store: one DuckDB file, held by one process.

Values lie in four narrow tables by type (floats, wholes, truths, texts; a missing value is a NULL text), so that types
stay honest and a column of numbers is nothing but numbers. There is no unique key: an index costs more than the whole
write, so repeats are laid down and left out again where values are read. Repeats are rare, since ingest drops what
its watermark covers. A commit is on disk when it returns: DuckDB syncs its write-ahead log on every commit.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import duckdb

from cloud.series.answering import Answerer, Asked
from cloud.series.duckdb_file import DuckFile
from cloud.series.honest import sound
from cloud.series.latest import LatestValues
from cloud.series.rollups import Rows
from cloud.series.store import Bucket, Buckets, Chart, Point, Rolled, RowRefused, StoreUnavailable, Tier
from cloud.series.tiers import State
from telemetry.clock import Clock, SystemClock
from telemetry.wire import ReadingsBatch

__all__ = ["DuckStore"]

_T = TypeVar("_T")


class DuckStore:
    """`path` is the database file; its folder is made. Write calls that meet share one commit. `clock`: the cloud's."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._latest = LatestValues(self._clock)
        self._waiting: list[tuple[Sequence[ReadingsBatch], asyncio.Future[list[RowRefused]]]] = []
        self._turn = asyncio.Lock()
        self._answerer = Answerer(self, self._clock.wall_ns)

    async def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # One thread writes, one reads, one makes and forgets tiers, each on a connection of its own: none holds up another.
        self._writer = ThreadPoolExecutor(1, "duckdb-write")
        self._reader = ThreadPoolExecutor(1, "duckdb-read")
        self._roller = ThreadPoolExecutor(1, "duckdb-roll")
        try:
            self._file = await self._run(self._writer, lambda: DuckFile(self._path))
        except BaseException:
            self._shut_threads()
            raise
        self._latest = LatestValues(self._clock)
        horizon_ns = self._latest.horizon_ns()
        self._latest.learn(await self._run(self._reader, lambda: self._file.latest(horizon_ns)))

    async def close(self) -> None:
        async with self._turn:
            await self._run(self._roller, self._file.tiers.close)
            await self._run(self._reader, self._file.close_reader)
            await self._run(self._writer, self._file.close)
            self._shut_threads()

    async def write(self, batches: Sequence[ReadingsBatch]) -> list[RowRefused]:
        done: asyncio.Future[list[RowRefused]] = asyncio.get_running_loop().create_future()
        self._waiting.append((batches, done))
        try:
            async with self._turn:
                if not done.done():
                    await self._commit_waiting()
        except asyncio.CancelledError:
            done.cancel()
            raise
        return done.result()

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
        return await self._run(
            self._reader,
            lambda: {
                metric: self._file.points(device, metric, start_ns, end_ns, limit, newest_first=newest_first)
                for metric in metrics
            },
        )

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
        return await self._run(self._reader, lambda: self._file.rows(asked.device, asked.metrics, asked.parts, asked.grid))

    async def tiers_of(self, device: str) -> tuple[State, Sequence[int]]:
        """For the answers above; see `answering.Source`."""
        return self._file.tiers.state, self._file.stale_hours(device)

    async def roll(self, now_ns: int) -> Rolled:
        return await self._run(self._roller, lambda: self._file.roll(now_ns))

    async def prune(self, tier: Tier, before_ns: int) -> bool:
        return await self._run(self._roller, lambda: self._file.tiers.prune(tier, before_ns))

    def rolled_ns(self) -> int:
        return self._file.tiers.state.minutes_ns

    async def delete_before(self, time_ns: int) -> None:
        await self._run(self._writer, lambda: self._file.delete_before(time_ns))

    async def count(self) -> int:
        return await self._run(self._reader, self._file.count)

    async def _commit_waiting(self) -> None:
        jobs, self._waiting = self._waiting, []
        try:
            refused = await self._run(self._writer, lambda: self._file.write([batches for batches, _ in jobs]))
        except BaseException as error:
            for _, done in jobs:
                if not done.done():
                    done.set_exception(StoreUnavailable(f"duckdb: the commit was not made: {error}"))
            if not isinstance(error, StoreUnavailable):
                raise
            return
        for (batches, done), rows in zip(jobs, refused, strict=True):
            for batch in batches:
                self._latest.update(sound(batch)[0])
            if not done.done():
                done.set_result(rows)

    def _shut_threads(self) -> None:
        self._writer.shutdown(wait=False)
        self._reader.shutdown(wait=False)
        self._roller.shutdown(wait=False)

    @staticmethod
    async def _run(thread: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work)
        except duckdb.Error as error:
            raise StoreUnavailable(f"duckdb: {error}") from error
