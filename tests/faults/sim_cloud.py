"""The cloud's process on virtual time: the real ingest over a series store in memory and a real SQLite file.

Every statement and every write is a step at which the process may die; what it had not committed is then gone, and
nothing that its tasks still do has an effect.
"""

import asyncio
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn
from weakref import WeakSet

import aiosqlite
from sim_loop import SimClock, VirtualLoop
from sim_net import Broker, Line, MqttClient
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cloud.cases.desk import Desk
from cloud.feed import Feed
from cloud.ingest.ingest import Ingest
from cloud.ingest.link import BrokerLink
from cloud.refusals import Refusals
from cloud.registry import Registry
from cloud.relational.engine import _begin_sqlite, _prepare_sqlite, reading
from cloud.relational.migrate import migrate
from cloud.series.honest import sound
from cloud.series.latest import LatestValues
from cloud.series.store import Bucket, Point, RowRefused, StoreUnavailable
from device_profiles.shelf import load_catalog
from telemetry.reason import Reason
from telemetry.records import ClockQuality, Value
from telemetry.wire import Ack, ReadingsBatch

__all__ = ["CloudHost", "Process", "SeriesMemory"]

POISON = "poison"
"""A text value that the series store refuses for good."""


class Process:
    """One life of a program. It dies at `kill`, or at the step that makes `dies_in` zero."""

    def __init__(self) -> None:
        self.dead = False
        self.dies_in: int | None = None
        self.database_away = False
        self.at_death: list[Callable[[], None]] = []

    def kill(self) -> None:
        if not self.dead:
            self.dead = True
            for tell in self.at_death:
                tell()

    def lives(self) -> bool:
        """Take one step; whether the process is still there to do it."""
        if self.dies_in is not None and not self.dead:
            self.dies_in -= 1
            if self.dies_in <= 0:
                self.kill()
        return not self.dead

    async def step(self) -> None:
        """Take one step; does not return in a dead process."""
        if not self.lives():
            await _for_ever()


async def _for_ever() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable: nobody has the future")


class SeriesMemory:
    """What the series store holds for good, whichever process wrote it: (device, metric, event time) -> value."""

    def __init__(self, clock: SimClock) -> None:
        self.values: dict[tuple[str, str, int], Value] = {}
        self.untimed: set[tuple[str, int]] = set()
        """Readings whose gateway could not vouch for their time."""
        self.away = False
        self.went_back: list[str] = []
        self._clock = clock
        self.latest = LatestValues(clock)

    def keep(self, batch: ReadingsBatch) -> list[RowRefused]:
        """Store a batch's readings; those of poison are refused."""
        good, refused = sound(batch)
        for group in good.groups:
            for offset, each in group.readings():
                if POISON in each.values.values():
                    refused.append(RowRefused(batch.gateway, batch.first_seq + offset, Reason.STORE_REFUSED, POISON))
                else:
                    self.values |= {(each.device, metric, each.time_ns): value for metric, value in each.values.items()}
                    if good.clock is not None and good.clock.quality is ClockQuality.UNSYNCED:
                        self.untimed.add((each.device, each.time_ns))
        before = {device: self._newest(device) for group in good.groups for device in group.devices}
        self.latest.update(good)
        self.went_back += [device for device, at in before.items() if self._newest(device) < at]
        return refused

    def go_back(self, values: Mapping[tuple[str, str, int], Value]) -> None:
        """Hold what an earlier copy held."""
        self.values = dict(values)
        self.latest = LatestValues(self._clock)
        self.latest.learn((device, metric, Point(at_ns, value)) for (device, metric, at_ns), value in values.items())

    def _newest(self, device: str) -> int:
        return max((point.time_ns for point in self.latest.get(device).values()), default=0)


class _Series:
    """`cloud.series.store.SeriesStore` for one process."""

    def __init__(self, process: Process, memory: SeriesMemory, chance: random.Random, seen: Callable[[str], None]) -> None:
        self._process = process
        self._memory = memory
        self._chance = chance
        self._seen = seen

    async def open(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def write(self, batches: Sequence[ReadingsBatch]) -> list[RowRefused]:
        await self._process.step()
        await asyncio.sleep(self._chance.expovariate(100))
        refused: list[RowRefused] = []
        for batch in batches:
            await self._process.step()
            if self._memory.away and self._chance.random() < 0.7:
                self._seen("series store away")
                raise StoreUnavailable("away")
            refused += self._memory.keep(batch)
            if refused:
                self._seen("row refused")
        await self._process.step()
        return refused

    async def latest(self, devices: Sequence[str]) -> dict[str, dict[str, Point]]:
        return {device: self._memory.latest.get(device) for device in devices}

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
        raise NotImplementedError

    async def buckets(
        self, device: str, metrics: Sequence[str], start_ns: int, end_ns: int, bucket_s: int, zone: str
    ) -> dict[str, list[Bucket]]:
        raise NotImplementedError

    async def delete_before(self, time_ns: int) -> None:
        raise NotImplementedError

    async def count(self) -> int:
        return len(self._memory.values)


class _AtOnce:
    """Stands where aiosqlite has the queue to its thread."""

    @staticmethod
    def put_nowait(job: tuple["asyncio.Future[Any] | None", Callable[[], Any]]) -> None:
        future, work = job
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection without its thread: a statement is done when it is asked for."""

    def __init__(self, path: Path, process: Process, chance: random.Random) -> None:
        self._running = True
        self._connection = None
        self._connector = lambda: sqlite3.connect(path, check_same_thread=False)
        self._tx = _AtOnce()  # type: ignore[assignment]
        self._iter_chunk_size = 64
        self._process = process
        self._chance = chance
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()
        process.at_death.append(self._let_go)

    def __await__(self) -> Any:
        return self._connect().__await__()

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        name = getattr(fn, "__name__", "")
        if name == "commit":
            await asyncio.sleep(self._chance.expovariate(200))
        if name in {"rollback", "close"}:
            # What a program does on its way out; SQLAlchemy does it in tasks of its own, which nobody can cancel.
            if not self._process.lives():
                return None
        else:
            await self._process.step()
        if self._process.database_away and args and str(args[0]).startswith("BEGIN"):
            raise sqlite3.OperationalError("database is locked")
        result = fn(*args, **kwargs)
        if isinstance(result, sqlite3.Cursor):
            self._cursors.add(result)
        return result

    def _let_go(self) -> None:
        """What a dying process does to its open transaction."""
        for cursor in self._cursors:
            cursor.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _make_engine(path: Path, process: Process, chance: random.Random) -> AsyncEngine:
    async def connect(*_: object, **__: object) -> _Connection:
        await process.step()
        return await _Connection(path, process, chance)

    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", async_creator=connect)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


@cache
def _empty_database() -> bytes:
    """A database as the migrations make it."""

    async def make(path: Path) -> None:
        engine = _make_engine(path, Process(), random.Random(0))  # noqa: S311 - a simulation
        await migrate(engine)
        await engine.dispose()

    with TemporaryDirectory() as folder:
        path = Path(folder) / "cloud.db"
        loop = VirtualLoop(random.Random(0))  # noqa: S311 - a simulation
        loop.run_until_complete(make(path))
        loop.close()
        return _copy(path)


def _copy(path: Path) -> bytes:
    with sqlite3.connect(path) as db:
        copy = db.serialize()
    db.close()
    return copy


_desk = cache(lambda: Desk(catalog=load_catalog()))


class _Link(BrokerLink):
    """The cloud's own link, over a simulated session."""

    def __init__(self, heard: Callable[[str, bytes], None], dial: Callable[[], MqttClient]) -> None:
        super().__init__("mqtt://sim", "", None, heard)
        self._dial = dial

    def _client(self) -> Any:
        return self._dial()


class CloudHost:
    """The machine under the cloud: `start`, `kill`, `save` a copy of both stores and `restore` it.

    `on_ack` is asked of every acknowledgement before it leaves.
    """

    def __init__(
        self,
        folder: Path,
        broker: Broker,
        clock: SimClock,
        chance: random.Random,
        seen: Callable[[str], None],
        on_ack: Callable[[Ack], None],
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "cloud.db"
        self.path.write_bytes(_empty_database())
        self.series = SeriesMemory(clock)
        self.line = Line()
        self.process: Process | None = None
        self.lives = 0
        self._broker = broker
        self._clock = clock
        self._chance = chance
        self._seen = seen
        self._on_ack = on_ack
        self._task: asyncio.Task[None] | None = None
        self._saved: list[tuple[bytes, dict[tuple[str, str, int], Value]]] = []
        self._looking: sqlite3.Connection | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and not self.process.dead

    @property
    def failure(self) -> BaseException | None:
        """What ended the process, where nobody killed it."""
        ended = self._task is not None and self._task.done() and not self._task.cancelled()
        return self._task.exception() if ended and self._task else None

    def start(self) -> None:
        """Begin a new life, unless one is going on."""
        if not self.alive:
            self.lives += 1
            self.process = Process()
            self._task = asyncio.get_running_loop().create_task(self._run(self.process, self._task))

    def kill(self, steps: int = 0) -> None:
        """Die at once, or `steps` steps from now."""
        if self.process is None or self.process.dead:
            return
        if steps:
            self.process.dies_in = steps
        else:
            self.process.kill()

    def save(self) -> None:
        """Keep a copy of both stores, as a nightly backup does."""
        self._saved.append((_copy(self.path), dict(self.series.values)))

    def restore(self) -> bool:
        """Put an earlier copy in the place of both stores; False where there is none. The process must be dead."""
        if not self._saved:
            return False
        copy, values = self._chance.choice(self._saved)
        self.series.go_back(values)
        self.close()
        self.path = self.path.with_name(f"cloud-{self.lives}.db")
        self.path.write_bytes(copy)
        return True

    def rows(self, query: str, *bindings: object) -> list[tuple[Any, ...]]:
        """What is committed, whoever is in the middle of something."""
        if self._looking is None:
            self._looking = sqlite3.connect(self.path)
        return self._looking.execute(query, bindings).fetchall()

    def close(self) -> None:
        if self._looking is not None:
            self._looking.close()
            self._looking = None

    async def end(self) -> None:
        """Stop for good."""
        self.kill()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self, process: Process, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        task = asyncio.current_task()
        assert task is not None
        serving = asyncio.get_running_loop().create_task(self._serve(process))
        process.at_death.append(lambda: _cancel_soon(serving))
        await asyncio.wait([serving])
        if not serving.cancelled() and not process.dead:
            serving.result()

    async def _serve(self, process: Process) -> None:
        engine = _make_engine(self.path, process, self._chance)
        registry, refusals = Registry(auto_register=True), Refusals()
        async with reading(engine) as conn:
            await registry.load(conn)
            await refusals.load(conn)

        def answer(ack: Ack) -> None:
            if process.lives():
                self._on_ack(ack)
                link.answer(ack)

        ingest = Ingest(
            engine=engine,
            series=_Series(process, self.series, self._chance, self._seen),
            registry=registry,
            refusals=refusals,
            desk=_desk(),
            feed=Feed(),
            clock=self._clock,
            answer=answer,
        )
        link = _Link(ingest.offer, lambda: MqttClient(self._broker, f"cloud-{self.lives}", self.line))
        self.ingest = ingest
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ingest.run(), name="ingest")
            tasks.create_task(link.run(), name="broker link")


def _cancel_soon(task: "asyncio.Task[None]") -> None:
    asyncio.get_running_loop().call_soon(task.cancel)
