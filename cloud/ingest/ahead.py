"""Readings are written to the series store ahead of their turn: while one group is settled, the next are under way.

    queue -> [ written | being written | being written ] -> settled strictly in this order

What is written ahead counts for nothing. Whoever settles a group works out once more, from what is settled by then,
which readings are to be kept, and what the store does not have of these is written before anything is said of them:
a wrong guess here costs a second write of the same values and nothing else.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy.exc import StatementError

from cloud.ingest.decode import Delivery, Incoming
from cloud.ingest.draft import Draft, key_of
from cloud.ingest.lanes import Ledger
from cloud.ingest.patience import Patience
from cloud.ingest.queue import IngestQueue
from cloud.registry import Registry
from cloud.series.store import RowRefused, SeriesStore
from telemetry.clock import Clock
from telemetry.records import Lane, LossRecord
from telemetry.wire import EventsBatch, ReadingsBatch

__all__ = ["NOTHING", "Ahead", "Answer"]

_log = logging.getLogger(__name__)

_MOST_UNDER_WAY: Final = 3
"""Groups between queue and settlement: one settled, one stored, one formatted. This bounds what is in memory twice."""


class Answer(msgspec.Struct, frozen=True):
    """What the series store has of a group for good, and which rows of it the store refused."""

    stored: Sequence[ReadingsBatch] = ()
    refused: Sequence[RowRefused] = ()

    def covers(self, batches: Sequence[ReadingsBatch]) -> bool:
        """Whether nothing of `batches` is left to be written."""
        return all(batch in self.stored for batch in batches)


NOTHING: Final = Answer()


class _Group:
    """Batches that were taken from the queue together, and what of them is written ahead; `answer` holds once `answered`."""

    def __init__(self, deliveries: Sequence[Delivery], wanted: Sequence[ReadingsBatch]) -> None:
        self.deliveries = deliveries
        self.wanted = wanted
        self.answer = NOTHING
        self.answered = asyncio.Event()


class Ahead:
    """The groups under way, oldest first."""

    def __init__(
        self, *, series: SeriesStore, queue: IngestQueue, ledger: Ledger, registry: Registry, patience: Patience, clock: Clock
    ) -> None:
        self._series = series
        self._queue = queue
        self._ledger = ledger
        self._registry = registry
        self._patience = patience
        self._clock = clock
        self._groups: deque[_Group] = deque()
        self._places = asyncio.Semaphore(_MOST_UNDER_WAY)

    async def run(self) -> None:
        """Take readings from the queue and write them, until cancelled."""
        async with asyncio.TaskGroup() as writes:
            while True:
                await self._places.acquire()
                deliveries = await self._queue.readings()
                group = _Group(deliveries, await self._wanted(deliveries))
                self._groups.append(group)
                writes.create_task(self._write(group), name="series write")

    @property
    def ready(self) -> bool:
        """Whether the oldest group can be settled at once."""
        return bool(self._groups) and self._groups[0].answered.is_set()

    def holds_lost(self, messages: Sequence[Incoming]) -> bool:
        """Whether one of `messages` declares readings lost that are under way here: settled first, they count as stored."""
        lost = [
            (message.gateway, event)
            for message in messages
            if isinstance(message, Delivery) and isinstance(message.batch, EventsBatch)
            for event in message.batch.events
            if isinstance(event, LossRecord) and event.lane is Lane.READINGS
        ]
        return any(_meet(gateway, loss, batch) for gateway, loss in lost for group in self._groups for batch in group.wanted)

    async def oldest(self) -> tuple[Sequence[Delivery], Answer]:
        """The group to settle next, once the series store has answered; it stays the oldest one until `settled`."""
        group = self._groups[0]
        await group.answered.wait()
        return group.deliveries, group.answer

    def settled(self) -> None:
        """The oldest group is done with, whatever became of it."""
        self._groups.popleft()
        self._places.release()

    async def _wanted(self, deliveries: Sequence[Delivery]) -> Sequence[ReadingsBatch]:
        """What will have to be stored of them, as far as one can know while others are under way before them."""
        try:
            await self._patience.know({key_of(delivery.batch) for delivery in deliveries})
        except StatementError:
            return ()  # a lane that the store cannot even be asked for: whoever settles finds it
        guess = Draft(self._ledger, self._clock.wall_ns())
        for group in self._groups:
            for batch in group.wanted:
                guess.assume(batch)
        for delivery in deliveries:
            guess.take(delivery, self._registry.claims(delivery.gateway))
        return guess.batches

    async def _write(self, group: _Group) -> None:
        try:
            group.answer = Answer(group.wanted, await self.write(group.wanted))
        except (StatementError, OverflowError) as error:
            # Whoever settles writes again, and finds the message that cannot be kept.
            _log.info("a group cannot be written as it is: %s", error, extra={"event": "cloud.poison_ahead"})
        group.answered.set()
        self._queue.news.set()

    async def write(self, batches: Sequence[ReadingsBatch]) -> Sequence[RowRefused]:
        """Write until the store has answered."""
        if not batches:
            return ()
        return await self._patience.insist(lambda: self._series.write(batches), {key_of(batch) for batch in batches})


def _meet(gateway: str, loss: LossRecord, batch: ReadingsBatch) -> bool:
    same = (batch.gateway, batch.epoch) == (gateway, loss.epoch)
    return same and (loss.open_end or batch.first_seq <= loss.seq_to) and loss.seq_from < batch.first_seq + batch.count
