"""What gateways said and nobody has worked on yet, in the order in which it will be."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, TypeVar

from cloud.ingest.decode import Broken, Delivery, Greeting, Incoming
from cloud.ingest.draft import speaks_of
from cloud.ingest.hold import Hold
from cloud.registry import Registry
from telemetry.clock import Clock
from telemetry.wire import GatewayStatus, ReadingsBatch

__all__ = ["IngestQueue"]

_Queued = TypeVar("_Queued", bound=Incoming)

_MOST_MESSAGES: Final = 64
_MOST_SMALL: Final = 512
"""Batches of readings in one group: a gateway that commits each reading by itself leaves batches of one."""
_MOST_RECORDS: Final = 8_000
"""Records of one group, which share a commit: an alarm that comes meanwhile waits for that one, so it must be soon over."""
_MOST_DECLARED: Final = 2_000
"""Devices in the hellos of one group, for the same reason."""

_RECORD_BYTES: Final = 256
"""What a batch that nobody could read is taken to hold in a record."""


class IngestQueue:
    """Lanes promise nothing about one another, so what people wait for has a line of its own, beside the readings'.

    Beside events stand hellos and statuses, and take turns with them: where a district comes back in one minute, the
    alarms of those who were greeted do not wait for a thousand others to be.

    What a gateway says after a hello that still waits stands behind that: met later, the hello would know less than the
    books, and look like an old copy's. Batches of a gateway that speaks of a device before declaring it are held back, in
    order, for `patience_s`.
    `records` is what waits here or was taken and not given to `done` yet.
    """

    def __init__(self, registry: Registry, clock: Clock, patience_s: float) -> None:
        self._registry = registry
        self._clock = clock
        self._hold = Hold(patience_s)
        self._events: deque[Delivery | Broken] = deque()
        self._greetings: deque[Greeting] = deque()
        self._statuses: deque[GatewayStatus] = deque()
        self._turns = deque((self._next_events, self._next_greetings, self._next_events, self._next_statuses))
        self._readings: deque[Delivery] = deque()
        self._unmet: Counter[str] = Counter()
        """Hellos that wait or are being met, by gateway."""
        self._behind: dict[str, list[Delivery | Broken]] = {}
        self._readings_came = asyncio.Event()
        self.news = asyncio.Event()
        """Set when there may be something for `urgent`; whoever else has work for the same worker sets it, too."""
        self.records = 0

    def put(self, message: Incoming) -> None:
        """Take a message in."""
        self.records += _size(message)
        match message:
            case Delivery() | Broken() if self._unmet[message.gateway]:
                self._behind.setdefault(message.gateway, []).append(message)
            case Delivery() | Broken():
                self._line_up(message)
            case Greeting():
                self._unmet[message.gateway] += 1
                self._greetings.append(message)
            case GatewayStatus():
                self._statuses.append(message)
        self.news.set()

    def _line_up(self, message: Delivery | Broken) -> None:
        if isinstance(message, Delivery) and isinstance(message.batch, ReadingsBatch):
            self._readings.append(message)
            self._readings_came.set()
        else:
            self._events.append(message)
            self.news.set()

    def done(self, messages: Sequence[Incoming]) -> None:
        """They were worked on."""
        self.records -= sum(map(_size, messages))
        for message in messages:
            if isinstance(message, Greeting):
                self._met(message.gateway)

    def _met(self, gateway: str) -> None:
        self._unmet[gateway] -= 1
        if self._unmet[gateway] <= 0:
            del self._unmet[gateway]
            for message in self._behind.pop(gateway, []):
                self._line_up(message)

    def greeted(self, gateway: str) -> None:
        """The gateway said hello: what it said before is due."""
        self._requeue(self._hold.release(gateway))

    @property
    def is_urgent(self) -> bool:
        """Whether anything but readings waits."""
        return bool(self._events or self._greetings or self._statuses)

    def urgent(self) -> Sequence[Incoming]:
        """Messages of one kind, as many as are worth one commit, or one broken batch; nothing where nothing waits."""
        for _ in range(len(self._turns)):
            take = self._turns[0]
            self._turns.rotate(-1)
            if group := take():
                return group
        return []

    def _next_events(self) -> Sequence[Incoming]:
        if self._events and isinstance(self._events[0], Broken):
            return [self._events.popleft()]
        return self._gather(self._events)

    def _next_greetings(self) -> Sequence[Incoming]:
        """Hellos of different gateways: those of one must be met one after the other."""
        group: list[Greeting] = []
        devices = 0
        met: set[str] = set()
        while self._greetings and len(group) < _MOST_MESSAGES and devices < _MOST_DECLARED:
            if self._greetings[0].gateway in met:
                break
            group.append(self._greetings.popleft())
            met.add(group[-1].gateway)
            devices += len(group[-1].hello.devices)
        return group

    def _next_statuses(self) -> Sequence[Incoming]:
        return [self._statuses.popleft() for _ in range(min(len(self._statuses), _MOST_MESSAGES))]

    async def readings(self) -> Sequence[Delivery]:
        """As many batches as are worth one write, once there are any."""
        while True:
            while not self._readings:
                self._readings_came.clear()
                await self._readings_came.wait()
            group = self._gather(self._readings, _MOST_SMALL)
            if group:
                return group
            self.news.set()  # whoever waits for news must know until when something is held back

    async def wait(self) -> None:
        """Returns when there may be something to do; ends the patience with gateways that were waited for."""
        self._requeue(self._hold.expired(self._clock.monotonic_ns()))
        if self.is_urgent:
            return
        try:
            async with asyncio.timeout(self._hold.next_s(self._clock.monotonic_ns())):
                await self.news.wait()
            self.news.clear()
        except TimeoutError:
            return

    def _requeue(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in reversed(deliveries):
            if isinstance(delivery.batch, ReadingsBatch):
                self._readings.appendleft(delivery)
                self._readings_came.set()
            else:
                self._events.appendleft(delivery)
                self.news.set()

    def _gather(self, queue: deque[_Queued], most: int = _MOST_MESSAGES) -> list[Delivery]:
        """From the front of a queue, each gateway with one epoch, without those that must wait for a hello."""
        group: list[Delivery] = []
        records = 0
        epochs: dict[str, str] = {}
        while queue and len(group) < most and records < _MOST_RECORDS:
            delivery = queue[0]
            if not isinstance(delivery, Delivery):
                break
            if epochs.setdefault(delivery.gateway, delivery.batch.epoch) != delivery.batch.epoch:
                break
            queue.popleft()
            if not self._held_back(delivery):
                group.append(delivery)
                records += delivery.size
        return group

    def _held_back(self, delivery: Delivery) -> bool:
        """A gateway that speaks of a device before declaring it gets a moment to do so; its batches wait in order."""
        strangers = speaks_of(delivery.batch) - self._registry.claims(delivery.gateway)
        return self._hold.keep(delivery, strangers, self._clock.monotonic_ns())


def _size(message: Incoming) -> int:
    """About how much a message weighs, in records."""
    match message:
        case Delivery():
            return message.size
        case Greeting():
            return 1 + len(message.hello.devices)
        case Broken():
            return 1 + len(message.message) // _RECORD_BYTES
        case GatewayStatus():
            return 1
