"""The cloud as one program: its stores are opened, its parts begin together, and end together."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.api import server
from cloud.config import CloudConfig
from cloud.counts import CloudCounts, count
from cloud.feed import Feed
from cloud.parts import Parts
from cloud.plans import load_plans
from cloud.refusals import Refusals
from cloud.relational.engine import make_engine, reading
from cloud.relational.migrate import migrate
from cloud.series.dead_letters import DeadLetters
from cloud.series.open import make_store
from cloud.series.store import SeriesStore, StoreUnavailable
from cloud.trial.engine import Engine
from telemetry.clock import Clock, SystemClock

__all__ = ["Cloud"]

_log = logging.getLogger(__name__)
_REST_S: Final = 2.0


class Cloud:
    """`run` until cancelled; `ready` is set once it listens on `http` and hears the broker. `rules` is the gateways' engine."""

    def __init__(self, config: CloudConfig, clock: Clock | None = None, rules: Engine | None = None) -> None:
        self._config = config
        self._rules = rules
        self._clock = clock or SystemClock()
        # Ids that only grow, also over a restart: a reader that comes back is told of the gap.
        self.feed = Feed(first_id=self._clock.wall_ns() // 1_000_000)
        self.ready = asyncio.Event()
        self.http: tuple[str, int] = (config.api.host, config.api.port)
        self._engine: AsyncEngine | None = None
        self._counted = CloudCounts()
        self._refusals = Refusals()
        self._letters = DeadLetters(config.data_dir / "dead-letters")

    async def run(self) -> None:
        """Migrate, open the stores, serve. Ends within 5 s of being cancelled, with everything it holds written.

        Raises FileError, OSError (the address is taken) or a database error at the start; what goes
        wrong in the world later is waited for.
        """
        plans = await asyncio.to_thread(load_plans, self._config, self._clock.wall_ns())
        with server.listen(self._config.api.host, self._config.api.port) as bound:
            self.http = bound.getsockname()[:2]
            async with self._stores() as (engine, series):
                parts = Parts(
                    config=self._config,
                    base_url=self._config.api.base_url or "http://{}:{}".format(*self.http),
                    engine=engine,
                    series=series,
                    plans=plans,
                    letters=self._letters,
                    feed=self.feed,
                    clock=self._clock,
                    refusals=self._refusals,
                    counts=self.counts,
                    rules=self._rules,
                )
                await parts.load()
                try:
                    await self._serve(parts, bound)
                finally:
                    await parts.ingest.save_rest()
                    await self.counts()

    async def counts(self) -> CloudCounts:
        """The account as the relational store has it; as it was at the end, where the cloud does not run."""
        if self._engine is not None:
            async with reading(self._engine) as conn:
                self._counted = await count(conn, self._refusals.total)
        return self._counted

    async def _serve(self, parts: Parts, bound: socket.socket) -> None:
        listening = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for name, work in parts.works():
                tasks.create_task(work, name=name)
            tasks.create_task(server.serve(parts.app, bound, parts.services.stop, listening.set), name="api")
            await listening.wait()
            await parts.link.up.wait()
            _log.info("ready", extra={"event": "cloud.ready", "host": self.http[0], "port": self.http[1]})
            self.ready.set()

    @contextlib.asynccontextmanager
    async def _stores(self) -> AsyncIterator[tuple[AsyncEngine, SeriesStore]]:
        engine = make_engine(self._config.database_url, self._config.database_password)
        series = make_store(self._config.series_url, self._clock, self._letters)
        try:
            await migrate(engine)
            await _open(series)
            self._engine = engine
            try:
                yield engine, series
            finally:
                self._engine = None
                await series.close()
        finally:
            await engine.dispose()


async def _open(series: SeriesStore) -> None:
    while True:
        try:
            return await series.open()
        except StoreUnavailable as error:
            _log.warning("the series store is unavailable, waiting: %s", error, extra={"event": "cloud.store_unavailable"})
            await asyncio.sleep(_REST_S)
