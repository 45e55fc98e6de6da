"""The cloud as one program: stores, ingest, sender, API and console, wired and ended together."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.accounts.accounts import AccountPolicy
from cloud.alarms.announce import Announcer
from cloud.alarms.ticking import ShelfTicker
from cloud.api import basemap, open311, server
from cloud.api.app import build_app
from cloud.api.services import Services
from cloud.cases.ticking import CaseTicker
from cloud.commands.sender import CommandSender
from cloud.config import CloudConfig
from cloud.console.serve import mount_console
from cloud.counts import CloudCounts
from cloud.dossier.signing import Signer
from cloud.evidence import EvidenceFolder
from cloud.feed import Feed
from cloud.ingest.ingest import Ingest
from cloud.ingest.link import BrokerLink
from cloud.meters import Meters
from cloud.notify.outbox import NotificationState
from cloud.notify.sender import Sender
from cloud.plans import Plans, load_plans
from cloud.public import pages
from cloud.refusals import Refusals
from cloud.registry import Registry
from cloud.relational.engine import make_engine, reading, writing
from cloud.relational.migrate import migrate
from cloud.relational.tables import cases, lanes, notifications, transitions
from cloud.sensorthings import door as sensorthings
from cloud.sensorthings.mqtt import PREFIX, TOPICS, MqttDoor
from cloud.series.dead_letters import DeadLetters
from cloud.series.mirror import Mirror, parse_mirror
from cloud.series.open import make_store
from cloud.series.store import SeriesStore, StoreUnavailable
from cloud.series.tiering import Tiering
from cloud.ticker import Job, Ticker
from cloud.trial.engine import Engine
from cloud.watch.ticking import WatchTicker
from cloud.watch.watch import Watch
from cloud.workflow.states import State
from telemetry.clock import Clock, SystemClock
from telemetry.reason import Reason
from telemetry.records import Lane, Origin

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

    async def run(self) -> None:
        """Migrate, open the stores, serve. Ends within 5 s of being cancelled, with everything it holds written.

        Raises FileError, OSError (the address is taken) or a database error at the start; what goes
        wrong in the world later is waited for.
        """
        plans = await asyncio.to_thread(load_plans, self._config, self._clock.wall_ns())
        with server.listen(self._config.api.host, self._config.api.port) as bound:
            self.http = bound.getsockname()[:2]
            async with self._stores() as (engine, series):
                parts = _Parts(
                    config=self._config,
                    base_url=self._config.api.base_url or "http://{}:{}".format(*self.http),
                    engine=engine,
                    series=series,
                    plans=plans,
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
                self._counted = await _count(conn, self._refusals.total)
        return self._counted

    async def _serve(self, parts: "_Parts", bound: socket.socket) -> None:
        listening = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(parts.ingest.run(), name="ingest")
            tasks.create_task(parts.link.run(), name="broker link")
            tasks.create_task(parts.sender.run(), name="sender")
            tasks.create_task(parts.commands.run(), name="commands")
            tasks.create_task(parts.ticker.run(), name="ticker")
            tasks.create_task(parts.observations.run(), name="observations")
            tasks.create_task(parts.tiering.run(), name="tiers")
            if parts.mirror is not None:
                tasks.create_task(parts.mirror.run(), name="mirror")
            tasks.create_task(server.serve(parts.app, bound, parts.services.stop, listening.set), name="api")
            await listening.wait()
            await parts.link.up.wait()
            _log.info("ready", extra={"event": "cloud.ready", "host": self.http[0], "port": self.http[1]})
            self.ready.set()

    @contextlib.asynccontextmanager
    async def _stores(self) -> AsyncIterator[tuple[AsyncEngine, SeriesStore]]:
        engine = make_engine(self._config.database_url, self._config.database_password)
        series = make_store(self._config.series_url, self._clock, _letters(self._config))
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


class _Parts:
    """Everything that runs, put together; nothing has begun yet."""

    def __init__(
        self,
        *,
        config: CloudConfig,
        base_url: str,
        engine: AsyncEngine,
        series: SeriesStore,
        plans: Plans,
        feed: Feed,
        clock: Clock,
        refusals: Refusals,
        counts: Callable[[], Awaitable[CloudCounts]],
        rules: Engine | None,
    ) -> None:
        self._engine = engine
        self._refusals = refusals
        self._desk = desk = plans.desk
        self._clock = clock
        self._registry = Registry(auto_register=config.auto_register, told=self._told_of_readings)
        self._watch = Watch(desk.catalog, plans.watch)
        self.link = BrokerLink(
            config.broker, config.username, config.password_file, self._heard, self._link_changed, topics=TOPICS
        )
        self._link_changed()  # while the broker was never there, nobody is called silent
        self.sender = Sender(engine, config.channels, clock, feed, base_url=base_url)
        self.commands = CommandSender(engine, clock, feed, self.link.publish)
        self.mirror = Mirror(parse_mirror(config.mirror), clock) if config.mirror else None
        self.ingest = Ingest(
            engine=engine,
            series=series,
            registry=self._registry,
            refusals=refusals,
            desk=desk,
            feed=feed,
            clock=clock,
            answer=self.link.answer,
            news=self.sender.wake,
            explain=self._watch.seen,
            mirror=None if self.mirror is None else self.mirror.offer,
        )
        self.services = Services(
            engine=engine,
            series=series,
            desk=desk,
            feed=feed,
            clock=clock,
            counts=counts,
            meters=self._meters,
            letters=_letters(config),
            mirror=self.mirror,
            notify=self.sender.wake,
            ordered=self.commands.wake,
            evidence=EvidenceFolder(config.data_dir / "evidence", told=self._refuse_photo),
            signer=Signer(config.data_dir / "export-key.pem"),
            rules=rules,
            accounts=AccountPolicy(secure=base_url.startswith("https:")),
            map=config.map,
        )
        announcer = Announcer(engine, desk, feed, self.sender.wake)
        jobs = [
            Job("cases", 1.0, CaseTicker(engine, desk, feed, self.sender.wake).tick),
            Job("shelves", 1.0, ShelfTicker(announcer).tick),
            Job("watch", 5.0, WatchTicker(announcer, self._watch).tick),
        ]
        self.ticker = Ticker(engine, clock, jobs)
        self.tiering = Tiering(series, config.retention, clock, lambda: self.ticker.leading)
        self.app = build_app(self.services)
        door = sensorthings.install(self.app, self.services, plans.vocabulary, [config.broker], self._registry.heard)
        self.observations = MqttDoor(door.receiver, self._refuse_observation)
        if config.open311 is not None:
            open311.install(self.app, self.services, config.open311)
        if config.public is not None:
            pages.install(self.app, self.services, config.public, config.open311)
        basemap.install(self.app, config.map, config.data_dir / "basemap")
        mount_console(self.app)

    async def load(self) -> None:
        """Learn what earlier runs left in the store."""
        async with reading(self._engine) as conn:
            await self._registry.load(conn)
            await self._refusals.load(conn)
        async with writing(self._engine) as conn:
            await self._desk.calendars.keep(conn)

    def _meters(self) -> Meters:
        heard, told = self.ingest.counts, self.sender.counts()
        return Meters(
            messages=heard.messages,
            stored_readings=heard.stored_readings,
            transitions=heard.transitions,
            quarantined=heard.quarantined,
            lost_readings=heard.lost_readings,
            store_waits=heard.waited,
            queue_records=self.ingest.waiting,
            lag_s=heard.lag_s,
            broker_connected=self.link.connected,
            sent=told.sent,
            send_failures=told.failed,
            send_attempts=told.attempts,
            ticker_leads=self.ticker.leading,
            ticker_failures=self.ticker.failures,
        )

    def _link_changed(self) -> None:
        self._watch.link(up=self.link.connected, now_ns=self._clock.wall_ns())

    def _refuse_photo(self, reason: Reason, detail: str) -> None:
        self._refusals.count("evidence", reason, detail, self._clock.wall_ns())

    def _told_of_readings(self, latest: Mapping[str, int]) -> None:
        self.services.atlas.heard(latest)

    def _refuse_observation(self, source: str, reason: Reason, detail: str) -> None:
        self._refusals.count(source, reason, detail, self._clock.wall_ns())

    def _heard(self, topic: str, payload: bytes) -> None:
        if topic.startswith(PREFIX):
            self.observations.offer(topic, payload)
        else:
            self.ingest.offer(topic, payload)


def _letters(config: CloudConfig) -> DeadLetters:
    return DeadLetters(config.data_dir / "dead-letters")


async def _open(series: SeriesStore) -> None:
    while True:
        try:
            return await series.open()
        except StoreUnavailable as error:
            _log.warning("the series store is unavailable, waiting: %s", error, extra={"event": "cloud.store_unavailable"})
            await asyncio.sleep(_REST_S)


async def _count(conn: AsyncConnection, refused: int) -> CloudCounts:
    of_readings = lanes.c.lane == Lane.READINGS.value
    totals = select(func.sum(lanes.c.stored), func.sum(lanes.c.lost), func.sum(lanes.c.quarantined)).where(of_readings)
    stored, lost, quarantined = (await conn.execute(totals)).one()
    by_state = select(cases.c.state, func.count()).group_by(cases.c.state)
    cases_in = {row[0]: row[1] for row in await conn.execute(by_state)}
    by_outcome = select(notifications.c.state, func.count()).group_by(notifications.c.state)
    messages = {row[0]: row[1] for row in await conn.execute(by_outcome)}
    from_gateways = select(func.count()).select_from(transitions).where(transitions.c.origin == Origin.EDGE.value)
    return CloudCounts(
        stored_readings=stored or 0,
        lost_readings=lost or 0,
        quarantined=quarantined or 0,
        transitions=await conn.scalar(from_gateways) or 0,
        cases_opened=sum(cases_in.values()),
        cases_closed=cases_in.get(State.CLOSED.value, 0),
        notifications_sent=messages.get(NotificationState.SENT.value, 0),
        notifications_failed=messages.get(NotificationState.FAILED.value, 0),
        refused=refused,
    )
