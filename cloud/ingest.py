"""From messages to acknowledgements: series store first, then one relational transaction, then the word that it is done.

A crash anywhere repeats and never loses: what was not acknowledged comes again, values are written to the same places,
and a record's effects share a transaction with the watermark that says it is done.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud import ingest_effects
from cloud.feed import Feed
from cloud.ingest_decode import Incoming, Refusal, decode
from cloud.ingest_draft import Draft, key_of, keys_of, speaks_of
from cloud.ingest_hold import Hold
from cloud.ingest_lanes import WINDOW, LaneKey, Ledger
from cloud.notify.config import ChannelConfig
from cloud.refusals import Refusals
from cloud.registry import Registry
from cloud.relational.engine import reading, writing
from cloud.series.store import SeriesStore, StoreUnavailable
from device_profiles.model import Profile
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import Ack, EventsBatch, GatewayStatus, Hello, ReadingsBatch

__all__ = ["Ingest", "IngestCounts"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Queued = TypeVar("_Queued", bound=Incoming)

CREDIT: Final = WINDOW // 2
_MOST_MESSAGES: Final = 64
_MOST_RECORDS: Final = 8_000
"""Readings in one commit: an alarm that comes meanwhile waits for that one, so it must take some ten milliseconds at most."""
_MOST_QUEUED: Final = 200_000
"""Records that may wait here. What comes on top is dropped and comes again: its gateway never had an acknowledgement."""
_FLUSH_S: Final = 1.0
_FLUSH_MORE_S: Final = 0.05  # others want to write, too
_MOST_TOLD: Final = 100
_REST_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class IngestCounts(msgspec.Struct):
    """Since this process began; `waited` counts the times a store was not to be had."""

    messages: int = 0
    stored_readings: int = 0
    transitions: int = 0
    cases_opened: int = 0
    quarantined: int = 0
    lost_readings: int = 0
    waited: int = 0


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
        self._series = series
        self._registry = registry
        self._refusals = refusals
        self._catalog = catalog
        self._channels = channels
        self._feed = feed
        self._clock = clock
        self._answer = answer
        self._news = news
        self._ledger = Ledger()
        self._hold = Hold(patience_s)
        # Lanes promise nothing about one another, so what people wait for goes first: every other turn is the readings'.
        self._urgent: deque[Hello | GatewayStatus | EventsBatch] = deque()
        self._readings: deque[ReadingsBatch] = deque()
        self._readings_turn = False
        self._queued = 0
        self._arrived = asyncio.Event()
        self.counts = IngestCounts()

    def offer(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker; never waits. What cannot be used, or is too much, is refused and counted."""
        if self._queued >= _MOST_QUEUED:
            self._refuse(Refusal(topic[:128], Reason.QUEUE_FULL, f"{self._queued} records wait; it will come again"))
            return
        message = decode(topic, payload)
        if isinstance(message, Refusal):
            self._refuse(message)
        elif message is not None and not self._registry.knows(message.gateway):
            self._refuse(Refusal(message.gateway, Reason.UNKNOWN_GATEWAY, "not registered, and auto_register is off"))
        elif message is not None:
            self._put(message)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work(), name="ingest")
            tasks.create_task(self._flush(), name="ingest flush")

    async def save_rest(self) -> None:
        """Write what is only in memory: call it once at the end."""
        while await self._flush_some():
            pass

    def _put(self, message: Incoming) -> None:
        self.counts.messages += 1
        if isinstance(message, ReadingsBatch):
            self._readings.append(message)
        else:
            self._urgent.append(message)
        self._queued += _size(message)
        self._arrived.set()

    async def _work(self) -> None:
        while True:
            group = self._gather()
            match group:
                case []:
                    await self._wait()
                case _:
                    await self._handle(group)
            self._queued -= sum(map(_size, group))

    async def _handle(self, group: Sequence[Incoming]) -> None:
        """Do what a group asks for. What a store refuses for good is found and set aside: it must not stop the others."""
        try:
            match group:
                case [Hello() as hello]:
                    await self._greet(hello)
                case [GatewayStatus(), *_]:
                    await self._note_statuses([each for each in group if isinstance(each, GatewayStatus)])
                case _:
                    await self._commit([each for each in group if isinstance(each, ReadingsBatch | EventsBatch)])
        except (StatementError, OverflowError) as error:
            if len(group) > 1:
                for message in group:
                    await self._handle([message])
                return
            _log.exception("a message cannot be kept", extra={"event": "cloud.poison", "gateway": group[0].gateway})
            self._refuse(Refusal(group[0].gateway, Reason.INVALID, f"{type(group[0]).__name__}: {error}"[:500]))

    async def _wait(self) -> None:
        if self._urgent or self._readings:
            return
        self._arrived.clear()
        try:
            async with asyncio.timeout(self._hold.next_s(self._clock.monotonic_ns())):
                await self._arrived.wait()
        except TimeoutError:
            self._requeue(self._hold.expired(self._clock.monotonic_ns()))

    def _requeue(self, batches: Sequence[ReadingsBatch | EventsBatch]) -> None:
        for batch in reversed(batches):
            if isinstance(batch, ReadingsBatch):
                self._readings.appendleft(batch)
            else:
                self._urgent.appendleft(batch)

    def _gather(self) -> Sequence[Incoming]:
        """One hello, some statuses, or as many batches of one lane as are worth one commit; nothing where nothing waits."""
        readings = bool(self._readings) and (self._readings_turn or not self._urgent)
        self._readings_turn = not readings
        if readings:
            return self._gather_batches(self._readings)
        if self._urgent and isinstance(self._urgent[0], Hello):
            return [self._urgent.popleft()]
        statuses: list[Incoming] = []
        while self._urgent and isinstance(self._urgent[0], GatewayStatus) and len(statuses) < _MOST_MESSAGES:
            statuses.append(self._urgent.popleft())
        return statuses or self._gather_batches(self._urgent)

    def _gather_batches(self, queue: deque[_Queued]) -> list[ReadingsBatch | EventsBatch]:
        """From the front of a queue, each gateway with one epoch, without those that must wait for a hello."""
        group: list[ReadingsBatch | EventsBatch] = []
        records = 0
        epochs: dict[str, str] = {}
        while queue and len(group) < _MOST_MESSAGES and records < _MOST_RECORDS:
            batch = queue[0]
            if not isinstance(batch, ReadingsBatch | EventsBatch):
                break
            if epochs.setdefault(batch.gateway, batch.epoch) != batch.epoch:
                break
            queue.popleft()
            if not self._held_back(batch):
                group.append(batch)
                records += _size(batch)
        return group

    def _held_back(self, batch: ReadingsBatch | EventsBatch) -> bool:
        """A gateway that speaks of a device before declaring it gets a moment to do so; its batches wait in order."""
        strangers = speaks_of(batch) - self._registry.claims(batch.gateway)
        return self._hold.keep(batch, strangers, self._clock.monotonic_ns())

    async def _commit(self, batches: Sequence[ReadingsBatch | EventsBatch]) -> None:
        now_ns = self._clock.wall_ns()
        keys = {key for batch in batches for key in keys_of(batch)}
        await self._insist(lambda: self._load(keys), ())
        draft = Draft(self._ledger, self._refusals, now_ns)
        for batch in batches:
            draft.take(batch, self._registry.claims(batch.gateway))
        if draft.batches:
            touched = [key_of(batch) for batch in draft.batches]
            draft.refuse_rows(await self._insist(lambda: self._series.write(draft.batches), touched))
        effects = await self._insist(lambda: self._apply(draft, now_ns), draft.touched)
        for batch in draft.batches:
            self._registry.heard(batch)
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
        return CREDIT if self._queued < _MOST_QUEUED // 4 else CREDIT // 16

    async def _greet(self, hello: Hello) -> None:
        """Register a gateway and answer with one acknowledgement for each lane."""
        now_ns = self._clock.wall_ns()
        keys: list[LaneKey] = [(hello.gateway, hello.epoch, lane) for lane in Lane]
        await self._insist(lambda: self._load(keys), ())
        draft = Draft(self._ledger, self._refusals, now_ns)
        for key in keys:
            draft.resume(key, hello)
        changed = await self._insist(lambda: self._register(hello, draft, now_ns), ())
        self._registry.greeted(hello, changed)
        self._requeue(self._hold.release(hello.gateway))
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

        for news in await self._insist(write, ()):
            self._feed.publish("gateway", news)

    async def _load(self, keys: Sequence[LaneKey] | set[LaneKey]) -> None:
        if not all(self._ledger.knows(key) for key in keys):
            async with reading(self._engine) as conn:
                await self._ledger.load(conn, keys)

    async def _insist(self, work: Callable[[], Awaitable[_T]], lanes: Sequence[LaneKey] | set[LaneKey]) -> _T:
        """Do it until the store takes it. Gateways that wait are told to send no more (credit 0); nothing is dropped."""
        for attempt in range(1_000_000_000):
            try:
                return await work()
            except (StoreUnavailable, OperationalError) as error:
                self.counts.waited += 1
                if attempt == 0:
                    _log.warning("a store is unavailable, waiting: %s", error, extra={"event": "cloud.store_unavailable"})
                    for key in lanes:
                        self._answer(self._ledger.draft(key).ack(self._clock.wall_ns(), 0))
                await asyncio.sleep(_REST_S[min(attempt, len(_REST_S) - 1)])
        raise AssertionError("unreachable: a billion attempts take longer than the machine lives")

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


def _size(message: Incoming) -> int:
    """About how much a message weighs, in records."""
    match message:
        case ReadingsBatch():
            return message.count
        case EventsBatch():
            return len(message.events)
        case Hello():
            return 1 + len(message.devices)
        case GatewayStatus():
            return 1
