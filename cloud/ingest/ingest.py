"""From messages to acknowledgements: series store first, then one relational transaction, then the word that it is done.

A crash anywhere repeats and never loses: what was not acknowledged comes again, values are written to the same places,
and a record's effects share a transaction with the watermark that says it is done.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.feed import Feed
from cloud.ingest import effects as ingest_effects
from cloud.ingest.ahead import NOTHING, Ahead, Answer
from cloud.ingest.counts import IngestCounts
from cloud.ingest.decode import Incoming, Refusal, decode
from cloud.ingest.draft import Draft, keys_of
from cloud.ingest.lanes import WINDOW, LaneKey, Ledger
from cloud.ingest.patience import Patience
from cloud.ingest.queue import IngestQueue
from cloud.notify.config import ChannelConfig
from cloud.refusals import Refusals
from cloud.registry import Registry
from cloud.relational.engine import writing
from cloud.series.store import SeriesStore
from device_profiles.model import Profile
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import Ack, EventsBatch, GatewayStatus, Hello, ReadingsBatch

__all__ = ["Ingest", "IngestCounts"]

_log = logging.getLogger(__name__)

CREDIT: Final = WINDOW // 2
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
        catalog: Mapping[str, Profile],
        channels: Sequence[ChannelConfig],
        feed: Feed,
        clock: Clock,
        answer: Callable[[Ack], None],
        news: Callable[[], None] = lambda: None,
        patience_s: float = 1.0,
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._refusals = refusals
        self._catalog = catalog
        self._channels = channels
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
        self._readings_turn = False

    def offer(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker; never waits. What cannot be used, or is too much, is refused and counted."""
        if self._queue.records >= _MOST_QUEUED:
            self._refuse(Refusal(topic[:128], Reason.QUEUE_FULL, f"{self._queue.records} records wait; it will come again"))
            return
        message = decode(topic, payload)
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
        batches, answer = await self._ahead.oldest()
        await self._handle(batches, answer)
        self._ahead.settled()
        self._queue.done(batches)

    async def _handle(self, group: Sequence[Incoming], answer: Answer = NOTHING) -> None:
        """Do what a group asks for. What a store refuses for good is found and set aside: it must not stop the others."""
        try:
            match group:
                case [Hello() as hello]:
                    await self._greet(hello)
                case [GatewayStatus(), *_]:
                    await self._note_statuses([each for each in group if isinstance(each, GatewayStatus)])
                case _:
                    await self._commit([each for each in group if isinstance(each, ReadingsBatch | EventsBatch)], answer)
        except (StatementError, OverflowError) as error:
            if len(group) > 1:
                for message in group:
                    await self._handle([message])
                return
            _log.exception("a message cannot be kept", extra={"event": "cloud.poison", "gateway": group[0].gateway})
            self._refuse(Refusal(group[0].gateway, Reason.INVALID, f"{type(group[0]).__name__}: {error}"[:500]))

    async def _commit(self, batches: Sequence[ReadingsBatch | EventsBatch], answer: Answer) -> None:
        now_ns = self._clock.wall_ns()
        await self._patience.know({key for batch in batches for key in keys_of(batch)})
        draft = Draft(self._ledger, now_ns)
        for batch in batches:
            draft.take(batch, self._registry.claims(batch.gateway))
        covered = answer.covers(draft.batches)
        draft.refuse_rows(answer.refused if covered else await self._ahead.write(draft.batches))
        effects = await self._patience.insist(lambda: self._apply(draft, now_ns), draft.touched)
        for stored in draft.batches:
            self._registry.heard(stored)
        self._conclude(draft, effects)

    async def _apply(self, draft: Draft, now_ns: int) -> ingest_effects.Effects:
        if not draft.accounts:
            return ingest_effects.Effects([], {}, [])
        async with writing(self._engine) as conn:
            return await ingest_effects.apply(conn, draft, self._catalog, self._channels, now_ns)

    def _conclude(self, draft: Draft, effects: ingest_effects.Effects) -> None:
        for key in draft.touched:
            account = draft.accounts.get(key) or self._ledger.draft(key)
            self._answer(account.ack(self._clock.wall_ns(), self._credit()))
        lost_before = {account.key: account.lost for account in self._ledger if account.key in draft.accounts}
        self._ledger.keep(draft.accounts.values())
        for source, reason, detail in draft.notes:
            self._refusals.count(source, reason, detail, self._clock.wall_ns())
        self.counts.stored_readings += draft.stored
        self.counts.quarantined += len(draft.quarantined)
        self.counts.transitions += len(effects.steps)
        self.counts.cases_opened += sum(joined.opened for joined in effects.cases)
        self.counts.lost_readings += sum(
            account.lost - lost_before[account.key] for account in draft.accounts.values() if account.key[2] is Lane.READINGS
        )
        ingest_effects.tell(self._feed, effects)
        if effects.cases:
            self._news()

    def _credit(self) -> int:
        """What each lane may have on its way: less when much waits here, so that little must be dropped."""
        return CREDIT if self._queue.records < _MOST_QUEUED // 4 else CREDIT // 16

    async def _greet(self, hello: Hello) -> None:
        """Register a gateway and answer with one acknowledgement for each lane."""
        now_ns = self._clock.wall_ns()
        keys: list[LaneKey] = [(hello.gateway, hello.epoch, lane) for lane in Lane]
        await self._patience.know(keys)
        draft = Draft(self._ledger, now_ns)
        for key in keys:
            draft.resume(key, hello)
        changed = await self._patience.insist(lambda: self._register(hello, draft, now_ns), ())
        self._registry.greeted(hello, changed)
        self._queue.greeted(hello.gateway)
        self._conclude(draft, ingest_effects.Effects([], {}, []))
        for row in changed:
            self._feed.publish("device", {"id": row["id"], "gateway": row["gateway"]})
        self._feed.publish("gateway", {"id": hello.gateway, "online": True})

    async def _register(self, hello: Hello, draft: Draft, now_ns: int) -> list[dict[str, object]]:
        async with writing(self._engine) as conn:
            await ingest_effects.apply(conn, draft, self._catalog, self._channels, now_ns)
            return await self._registry.hello(conn, hello, now_ns)

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
            except DBAPIError as error:
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
