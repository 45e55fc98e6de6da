"""From messages to acknowledgements: series store first, then one relational transaction, then the word that it is done.

    offered -> queue -> written ahead -> settled: drafted, refused rows set aside, committed -> acknowledged

A crash anywhere repeats and never loses: what was not acknowledged comes again, values are written to the same places,
and a record's effects share a transaction with the watermark that says it is done.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.cases.desk import Desk
from cloud.feed import Feed
from cloud.ingest import effects as ingest_effects
from cloud.ingest.ahead import NOTHING, Ahead, Answer
from cloud.ingest.counts import IngestCounts
from cloud.ingest.crash import CrashPlan, CrashPoint
from cloud.ingest.decode import Broken, Delivery, Greeting, Incoming, Refusal, decode
from cloud.ingest.draft import Draft, keys_of
from cloud.ingest.greet import lanes_of, meet
from cloud.ingest.lanes import Ledger
from cloud.ingest.patience import Patience
from cloud.ingest.queue import IngestQueue
from cloud.refusals import Refusals
from cloud.registry import Registry
from cloud.relational.engine import writing
from cloud.series.store import RowRefused, SeriesStore
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason
from telemetry.wire import Ack, GatewayStatus, Hello, ReadingsBatch

__all__ = ["Ingest", "IngestCounts"]

_log = logging.getLogger(__name__)

CREDIT: Final = 32_768
"""Records that a lane may have on its way, beyond those that are done."""
_MOST_QUEUED: Final = 200_000
"""Records that may wait here. What comes on top is dropped and comes again: its gateway never had an acknowledgement."""
_FLUSH_S: Final = 1.0
_FLUSH_MORE_S: Final = 0.05  # others want to write, too
_MOST_TOLD: Final = 100


class Ingest:
    """Takes messages by `offer`, gives acknowledgements to `answer`. `news` is called when there may be notifications."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        series: SeriesStore,
        registry: Registry,
        refusals: Refusals,
        desk: Desk,
        feed: Feed,
        clock: Clock,
        answer: Callable[[Ack], None],
        news: Callable[[], None] = lambda: None,
        explain: ingest_effects.Explain = ingest_effects.as_it_is,
        mirror: Callable[[Sequence[ReadingsBatch], Sequence[RowRefused]], None] | None = None,
        patience_s: float = 1.0,
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._refusals = refusals
        self._desk = desk
        self._explain = explain
        self._mirror = mirror
        self._feed = feed
        self._clock = clock
        self._answer = answer
        self._news = news
        self.counts = IngestCounts()
        self._ledger = Ledger()
        self._queue = IngestQueue(registry, clock, patience_s)
        self._patience = Patience(engine, self._ledger, clock, answer, self.counts)
        self._ahead = Ahead(
            series=series, queue=self._queue, ledger=self._ledger, registry=registry, patience=self._patience, clock=clock
        )
        self._crash = CrashPlan.from_environment()
        self._readings_turn = False

    @property
    def waiting(self) -> int:
        """Records that are here and not done."""
        return self._queue.records

    def offer(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker; never waits. What cannot be used, or is too much, is refused and counted."""
        if self._queue.records >= _MOST_QUEUED:
            self._refuse(Refusal(topic[:128], Reason.QUEUE_FULL, f"{self._queue.records} records wait; it will come again"))
            return
        message = decode(topic, payload, self._clock.wall_ns())
        if isinstance(message, Refusal):
            self._refuse(message)
        elif message is not None and not self._registry.knows(message.gateway):
            self._refuse(Refusal(message.gateway, Reason.UNKNOWN_GATEWAY, "not registered, and auto_register is off"))
        elif message is not None:
            self.counts.messages += 1
            self._queue.put(message)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work(), name="ingest")
            tasks.create_task(self._ahead.run(), name="ingest ahead")
            tasks.create_task(self._flush(), name="ingest flush")

    async def save_rest(self) -> None:
        """Write what is only in memory: call it once at the end."""
        while await self._flush_some():
            pass

    async def _work(self) -> None:
        """Everything that changes an account happens here, one after the other; every other turn is the readings'."""
        while True:
            settle = self._ahead.ready and (self._readings_turn or not self._queue.is_urgent)
            self._readings_turn = not settle
            if settle:
                await self._settle_oldest()
            elif group := self._queue.urgent():
                while self._ahead.holds_lost(group):
                    await self._settle_oldest()
                await self._handle(group)
                self._queue.done(group)
            else:
                await self._queue.wait()

    async def _settle_oldest(self) -> None:
        deliveries, answer = await self._ahead.oldest()
        await self._handle(deliveries, answer)
        self._ahead.settled()
        self._queue.done(deliveries)

    async def _handle(self, group: Sequence[Incoming], answer: Answer = NOTHING) -> None:
        """Do what a group asks for. What a store refuses for good is found and set aside: it must not stop the others."""
        try:
            match group:
                case [Greeting(), *_]:
                    await self._greet([each for each in group if isinstance(each, Greeting)])
                case [Broken() as broken]:
                    await self._set_aside(broken)
                case [GatewayStatus(), *_]:
                    await self._note_statuses([each for each in group if isinstance(each, GatewayStatus)])
                case _:
                    await self._commit([each for each in group if isinstance(each, Delivery)], answer)
        except (StatementError, OverflowError) as error:
            await self._find_poison(group, error)

    async def _find_poison(self, group: Sequence[Incoming], error: Exception) -> None:
        if len(group) > 1:
            for message in group:
                await self._handle([message])
            return
        [message] = group
        told = error.orig if isinstance(error, StatementError) and error.orig is not None else error
        detail = f"{type(message).__name__}: {told}"[:500]
        _log.error("a message cannot be kept: %s", detail, extra={"event": "cloud.poison", "gateway": message.gateway})
        if isinstance(message, Delivery):
            await self._handle([Broken.of(message, detail)])
        else:
            self._refuse(Refusal(message.gateway, Reason.INVALID, detail))

    async def _set_aside(self, broken: Broken) -> None:
        """Quarantine a record that is alone; ask for smaller parts of a batch."""
        told, now_ns = broken.envelope, self._clock.wall_ns()
        await self._patience.know([(told.gateway, told.epoch, told.lane)])
        draft = Draft(self._ledger, now_ns)
        draft.take_broken(broken)
        self._conclude(draft, await self._patience.insist(lambda: self._apply(draft, now_ns), draft.touched))

    async def _commit(self, deliveries: Sequence[Delivery], answer: Answer) -> None:
        now_ns = self._clock.wall_ns()
        await self._patience.know({key for delivery in deliveries for key in keys_of(delivery.batch)})
        draft = Draft(self._ledger, now_ns)
        for delivery in deliveries:
            draft.take(delivery, self._registry.claims(delivery.gateway))
        covered = answer.covers(draft.batches)
        refused = answer.refused if covered else await self._ahead.write(draft.batches)
        draft.refuse_rows(refused)
        self._crash.at(CrashPoint.AFTER_SERIES)
        effects = await self._patience.insist(lambda: self._apply(draft, now_ns), draft.touched)
        self._crash.at(CrashPoint.AFTER_COMMIT)
        for stored in draft.batches:
            self._registry.heard(stored, now_ns)
        came_ns = min(delivery.came_ns or now_ns for delivery in deliveries)
        self.counts.lag_s = max(0, self._clock.wall_ns() - came_ns) / SECOND_NS
        self._conclude(draft, effects)
        if self._mirror is not None:
            self._mirror(draft.batches, refused)

    async def _apply(self, draft: Draft, now_ns: int) -> ingest_effects.Effects:
        if not draft.accounts:
            return ingest_effects.NO_EFFECTS
        async with writing(self._engine) as conn:
            effects = await ingest_effects.apply(conn, draft, self._desk, now_ns, explain=self._explain)
            self._crash.at(CrashPoint.BEFORE_COMMIT)
            return effects

    def _conclude(self, draft: Draft, effects: ingest_effects.Effects, answers: int = 0) -> None:
        """What was committed becomes what is known here, and is told: to gateways, to the feed and to whoever counts."""
        self._ledger.keep(draft.accounts.values())
        for key in draft.touched:
            ack = self._ledger.draft(key).ack(self._clock.wall_ns(), self._credit())
            refused, fenced = draft.refused.get(key, []), draft.fenced.get(key)
            self._answer(msgspec.structs.replace(ack, answers=answers, refused=refused, fenced=fenced))
        for source, reason, detail in draft.notes:
            self._refusals.count(source, reason, detail, self._clock.wall_ns())
        self.counts.stored_readings += draft.stored
        self.counts.quarantined += len(draft.quarantined)
        self.counts.transitions += effects.recorded.of_gateways
        self.counts.cases_opened += sum(joined.opened for joined in effects.cases)
        self.counts.lost_readings += draft.lost_readings
        ingest_effects.tell(self._feed, effects)
        if effects.cases:
            self._news()

    def _credit(self) -> int:
        """What each lane may have on its way: less when much waits here, so that little must be dropped."""
        return CREDIT if self._queue.records < _MOST_QUEUED // 4 else CREDIT // 16

    async def _greet(self, greetings: Sequence[Greeting]) -> None:
        """Register gateways and answer each with one acknowledgement for each lane."""
        now_ns = self._clock.wall_ns()
        await self._patience.know({key for greeting in greetings for key in lanes_of(greeting.hello)})
        met = [(greeting, self._meet(greeting.hello, now_ns)) for greeting in greetings]
        await self._register([(greeting, draft) for greeting, draft in met if not draft.fenced], now_ns)
        for greeting, draft in met:
            self._queue.greeted(greeting.gateway)
            self._conclude(draft, ingest_effects.NO_EFFECTS, answers=greeting.hello.sent_ns)
            self._feed.publish("gateway", {"id": greeting.gateway, "online": True})

    def _meet(self, hello: Hello, now_ns: int) -> Draft:
        draft = Draft(self._ledger, now_ns)
        draft.touched.update(lanes_of(hello))
        if not self._registry.is_late(hello):
            meet(draft, hello, over=self._registry.is_over(hello), copy=self._registry.is_copy(hello))
        return draft

    async def _register(self, welcome: Sequence[tuple[Greeting, Draft]], now_ns: int) -> None:
        async def write() -> list[list[dict[str, object]]]:
            async with writing(self._engine) as conn:
                return [await self._register_one(conn, greeting, draft, now_ns) for greeting, draft in welcome]

        if not welcome:
            return
        for (greeting, _), changed in zip(welcome, await self._patience.insist(write, ()), strict=True):
            self._registry.greeted(greeting.hello, changed)
            for row in changed:
                self._feed.publish("device", {"id": row["id"], "gateway": row["gateway"]})

    async def _register_one(
        self, conn: AsyncConnection, greeting: Greeting, draft: Draft, now_ns: int
    ) -> list[dict[str, object]]:
        await ingest_effects.apply(conn, draft, self._desk, now_ns, explain=self._explain)
        return await self._registry.hello(conn, greeting.hello, now_ns, greeting.ahead_ns)

    async def _note_statuses(self, statuses: Sequence[GatewayStatus]) -> None:
        async def write() -> list[dict[str, object]]:
            async with writing(self._engine) as conn:
                return [await self._registry.status(conn, status, self._clock.wall_ns()) for status in statuses]

        for news in await self._patience.insist(write, ()):
            self._feed.publish("gateway", news)

    async def _flush(self) -> None:
        more = False
        while True:
            await asyncio.sleep(_FLUSH_MORE_S if more else _FLUSH_S)
            try:
                more = await self._flush_some()
            except (DBAPIError, OSError) as error:
                more = False
                _log.warning("cannot save what was heard: %s", error, extra={"event": "cloud.flush_failed"})

    async def _flush_some(self) -> bool:
        """Save some of what is only in memory; whether there was anything."""
        heard = self._registry.take_unsaved()
        if not heard and not self._refusals.unsaved:
            return False
        try:
            async with writing(self._engine) as conn:
                await self._registry.save_heard(conn, heard)
                refused = await self._refusals.save(conn)
        except BaseException:
            self._registry.give_back(heard)
            raise
        self._refusals.saved(refused)
        for device, time_ns in heard[:_MOST_TOLD]:
            self._feed.publish("device", {"id": device, "last_reading_ns": time_ns})
        return True

    def _refuse(self, refusal: Refusal) -> None:
        self._refusals.count(refusal.source, refusal.reason, refusal.detail, self._clock.wall_ns())
