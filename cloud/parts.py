"""Everything of the cloud that runs, wired; who needs what is to be seen here and nowhere else."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.accounts.accounts import AccountPolicy
from cloud.alarms.announce import Announcer
from cloud.alarms.ticking import ShelfTicker
from cloud.api import basemap, open311
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
from cloud.notify.sender import Sender
from cloud.plans import Plans
from cloud.public import pages
from cloud.refusals import Refusals
from cloud.registry import Registry
from cloud.relational.engine import reading, writing
from cloud.sensorthings import door as sensorthings
from cloud.sensorthings.mqtt import PREFIX, TOPICS, MqttDoor
from cloud.series.dead_letters import DeadLetters
from cloud.series.mirror import Mirror, parse_mirror
from cloud.series.store import SeriesStore
from cloud.series.tiering import Tiering
from cloud.ticker import Job, Ticker
from cloud.trial.engine import Engine
from cloud.watch.ticking import WatchTicker
from cloud.watch.watch import Watch
from telemetry.clock import Clock
from telemetry.reason import Reason

__all__ = ["Parts"]


class Parts:
    """Everything that runs, put together; nothing has begun yet."""

    def __init__(
        self,
        *,
        config: CloudConfig,
        base_url: str,
        engine: AsyncEngine,
        series: SeriesStore,
        letters: DeadLetters,
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
            letters=letters,
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

    def works(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """Everything that goes on for as long as the cloud runs, by name; the API is served by whoever listens."""
        yield "ingest", self.ingest.run()
        yield "broker link", self.link.run()
        yield "sender", self.sender.run()
        yield "commands", self.commands.run()
        yield "ticker", self.ticker.run()
        yield "observations", self.observations.run()
        yield "tiers", self.tiering.run()
        if self.mirror is not None:
            yield "mirror", self.mirror.run()

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
