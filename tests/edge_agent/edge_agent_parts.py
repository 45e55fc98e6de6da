"""Small things that several tests of the agent need: a profile, readings, a cloud of a page."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import aiomqtt

from device_profiles.model import AlarmRule, AnyCondition, Profile, Reporting
from device_profiles.quantities import Metric, MetricType, Text
from device_profiles.wires import Wire
from edge_agent.attempt import attempt
from edge_agent.heard import Heard
from edge_agent.uplink.compression import decompress
from edge_agent.uplink.ranges import Ranges
from firmware_bridge.values import Decoded
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Command, Event, Flaw, Lane, Priority, Reading, Value
from telemetry.topics import Channel, all_gateways, channel, parse
from telemetry.wire import Ack, Hello, ReadingsBatch, decode_events, decode_hello, decode_readings, encode

T0 = 1_750_000_000 * SECOND_NS
NOTHING = Text(zh="无", en="none")
_REFUSED = Reason.STORE_REFUSED


def at(seconds: float) -> int:
    """`seconds` after the tests' beginning of time."""
    return T0 + round(seconds * SECOND_NS)


def metric(name: str, kind: MetricType = MetricType.FLOAT, low: float | None = None, high: float | None = None) -> Metric:
    return Metric(name=name, type=kind, unit="1", title=NOTHING, low=low, high=high)


def rule(name: str, when: AnyCondition, *, on: float = 0.0, off: float = 0.0, latch: bool = False) -> AlarmRule:
    return AlarmRule(
        name=name,
        when=when,
        priority=Priority.HIGH,
        title=NOTHING,
        cause=NOTHING,
        consequence=NOTHING,
        response=NOTHING,
        on_delay_s=on,
        off_delay_s=off,
        latch=latch,
    )


METRICS = (
    metric("level", low=0, high=500),
    metric("count", MetricType.INTEGER, low=0),
    metric("open", MetricType.BOOLEAN),
    metric("position_fixed", MetricType.BOOLEAN),
    metric("speed_kmh"),
    metric("bits", MetricType.INTEGER),
    metric("state", MetricType.STRING),
)


def profile(*rules: AlarmRule, reporting: Reporting | None = None) -> Profile:
    return Profile(
        name="probe",
        version=3,
        kind="probe",
        title=NOTHING,
        source="the tests",
        metrics={m.name: m for m in METRICS},
        wire=Wire(),
        reporting=reporting or Reporting(interval_s=60),
        alarms={r.name: r for r in rules},
        matters={},
    )


def reading(seconds: float, values: Mapping[str, Value], flaws: Mapping[str, Flaw] | None = None, device: str = "d1") -> Reading:
    return Reading(
        device=device,
        profile="probe",
        profile_version=3,
        time_ns=at(seconds),
        received_ns=at(seconds),
        values=values,
        flaws=flaws or {},
    )


def readings(count: int, first: int = 0) -> list[Reading]:
    return [reading(first + n, {"level": float(n), "open": False}) for n in range(count)]


def heard(
    values: dict[str, Value], *, of: Profile, time_ns: int | None = None, received: float = 0.0, device: str = "d1"
) -> Heard:
    return Heard(device=device, profile=of, received_ns=at(received), decoded=Decoded(values=values, time_ns=time_ns))


class CloudBooks:
    """What a cloud of a page knows: takes messages, gives acknowledgements.

    `quarantines` readings by themselves; `poison` are readings that no batch of more than one may hold.
    """

    def __init__(self, credit: int = 5000) -> None:
        self.credit = credit
        self.hellos: list[Hello] = []
        self.arrivals: list[tuple[Lane, int, int]] = []
        """Lane, first and last number of each batch."""
        self.readings: dict[tuple[str, int], Reading] = {}
        self.events: dict[tuple[str, int], Event] = {}
        self.statuses: list[bytes] = []
        self.quarantines: set[int] = set()
        self.poison: set[int] = set()
        self.fenced: set[str] = set()
        """Epochs that are answered by a fence."""
        self._told_ns = T0
        self._done: dict[tuple[str, Lane], Ranges] = {}

    def cumulative(self, lane: Lane, epoch: str) -> int:
        first = self.done(lane, epoch).around(1)
        return first[1] if first else 0

    def done(self, lane: Lane, epoch: str) -> Ranges:
        return self._done.setdefault((epoch, lane), Ranges())

    def take_over(self, other: "CloudBooks") -> None:
        """Go on where another one stopped, with the same stores."""
        self.readings, self.events, self._done = other.readings, other.events, other._done

    def forget(self, lane: Lane, epoch: str, above: int) -> None:
        """As a cloud that was restored from an old copy."""
        self.done(lane, epoch).remove(above + 1, 1 << 60)

    def take(self, gateway: str, what: Channel, payload: bytes) -> list[Ack]:
        match what:
            case Channel.HELLO:
                hello = decode_hello(payload, decompress)
                self.hellos.append(hello)
                return [self._ack(gateway, hello.epoch, lane, answers=hello.sent_ns) for lane in Lane]
            case Channel.EVENTS:
                events = decode_events(payload, decompress)
                self.events |= {(events.epoch, events.first_seq + n): event for n, event in enumerate(events.events)}
                self._note(Lane.EVENTS, events.epoch, events.first_seq, len(events.events))
                return [self._ack(gateway, events.epoch, Lane.EVENTS)]
            case Channel.READINGS:
                return [self._take_readings(gateway, decode_readings(payload, decompress))]
            case _:
                self.statuses.append(payload)
                return []

    def _take_readings(self, gateway: str, batch: ReadingsBatch) -> Ack:
        seqs = range(batch.first_seq, batch.first_seq + batch.count)
        if self.poison & set(seqs):
            self.arrivals.append((Lane.READINGS, seqs[0], seqs[-1]))
            if batch.count > 1:
                return self._ack(gateway, batch.epoch, Lane.READINGS, refused=[(seqs[0], seqs[-1], _REFUSED)])
            self.quarantines.add(seqs[0])
            self.done(Lane.READINGS, batch.epoch).add(seqs[0], seqs[0])
            return self._ack(gateway, batch.epoch, Lane.READINGS)
        for group in batch.groups:
            for offset, row in group.readings():
                if batch.first_seq + offset not in self.quarantines:
                    self.readings[batch.epoch, batch.first_seq + offset] = row
        self._note(Lane.READINGS, batch.epoch, batch.first_seq, batch.count)
        return self._ack(gateway, batch.epoch, Lane.READINGS)

    def _note(self, lane: Lane, epoch: str, first_seq: int, count: int) -> None:
        self.arrivals.append((lane, first_seq, first_seq + count - 1))
        self.done(lane, epoch).add(first_seq, first_seq + count - 1)

    def _ack(
        self, gateway: str, epoch: str, lane: Lane, *, answers: int = 0, refused: Sequence[tuple[int, int, Reason]] = ()
    ) -> Ack:
        cumulative = self.cumulative(lane, epoch)
        self._told_ns += 1
        return Ack(
            gateway=gateway,
            epoch=epoch,
            lane=lane,
            cumulative=cumulative,
            ranges=[span for span in self.done(lane, epoch) if span[0] > cumulative],
            quarantined=[] if lane is Lane.EVENTS else [(seq, _REFUSED) for seq in sorted(self.quarantines)],
            credit=self.credit,
            server_ns=self._told_ns,
            answers=answers,
            refused=list(refused),
            fenced=Reason.ALTERED if epoch in self.fenced else None,
        )


class SmallCloud(CloudBooks):
    """The same at a broker; can be told to lose or shuffle its acknowledgements."""

    def __init__(self, port: int, *, credit: int = 5000, seed: int = 1) -> None:
        super().__init__(credit)
        self.port = port
        self.lose_acks = 0.0
        self.reorder = False
        self._chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self._held: list[Ack] = []
        self._client: aiomqtt.Client | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SmallCloud"]:
        async with aiomqtt.Client("127.0.0.1", self.port) as client, asyncio.TaskGroup() as tasks:
            self._client = client
            for what in (Channel.HELLO, Channel.EVENTS, Channel.READINGS, Channel.STATUS):
                await attempt(client.subscribe(all_gateways(what), qos=1))
            task = tasks.create_task(self._listen(client))
            try:
                yield self
            finally:
                task.cancel()

    async def command(self, command: Command) -> None:
        assert self._client is not None
        await self._client.publish(channel(command.gateway, Channel.COMMAND), encode(command), qos=1)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            found = parse(str(message.topic))
            assert found is not None
            for ack in self.take(found[0], found[1], bytes(message.payload)):
                await self._answer(client, ack)

    async def _answer(self, client: aiomqtt.Client, ack: Ack) -> None:
        if self._chance.random() < self.lose_acks:
            return
        self._held.append(ack)
        if self.reorder and len(self._held) < 3 and self._chance.random() < 0.7:
            return
        self._chance.shuffle(self._held)
        for held in self._held:
            await attempt(client.publish(channel(held.gateway, Channel.ACK), encode(held), qos=1))
        self._held.clear()


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Returns when `condition` holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a test looks from outside
            await asyncio.sleep(0.01)
