"""Many light gateways at once: each speaks the uplink's language from memory, with a backlog that an outage left.

They stand for a district that comes back in the same minute. Nothing of an agent is in here but its promises: alarms
first, nothing forgotten before the cloud's word, no more than the cloud's credit.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial

import aiomqtt
import msgspec
import zstandard

from simulators.attempt import attempt
from telemetry.broker import broker_address
from telemetry.clock import SECOND_NS, Clock
from telemetry.records import Cause, Lane, Origin, Priority, Reading, Transition
from telemetry.topics import Channel, channel
from telemetry.wire import (
    Ack,
    DeviceDeclaration,
    EventsBatch,
    Hello,
    LaneSpan,
    compressed,
    decode_ack,
    encode,
    group_readings,
)

__all__ = ["LightGateway", "Returned", "bring_back"]

_PROFILE, _VERSION, _RULE = "cover_nbiot", 1, "cover_opened"
_BATCH = 250
_COVERS = 5
_HELLO_AGAIN_S = 15.0
_SEND_AGAIN_S = 30.0
_FIRST_REST_S, _LONGEST_REST_S = 0.5, 15.0

_compress = zstandard.ZstdCompressor(level=3).compress
_decompressor = zstandard.ZstdDecompressor()


def _decompress(data: bytes, limit: int) -> bytes:
    return _decompressor.decompress(data, max_output_size=limit)


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one gateway, in seconds.

    `welcome_s` from its first hello to the answer, `alarm_s` from sending its alarm to the cloud's word that it is stored,
    `drained_s` from the moment when all were allowed to come back to the end of its backlog.
    """

    welcome_s: float
    alarm_s: float
    drained_s: float


class LightGateway:
    """One gateway with `backlog` readings and one alarm to tell; `run` ends when the cloud has all of it."""

    def __init__(self, name: str, backlog: int, clock: Clock, seed: int) -> None:
        self.name = name
        self._clock = clock
        self._chance = random.Random(seed)  # noqa: S311 - spreads connections, guards nothing
        self._epoch = f"{name}-epoch"
        self._devices = [f"{name}-cover-{n}" for n in range(_COVERS)]
        self._backlog = backlog
        now_ns = clock.wall_ns() // SECOND_NS * SECOND_NS
        # Made beforehand: what is measured is the cloud, not the making of a thousand backlogs.
        self._batches = {
            first: self._batch(first, min(first + _BATCH - 1, backlog), now_ns) for first in range(1, backlog + 1, _BATCH)
        }
        self._done = dict.fromkeys(Lane, 0)
        self._credit = dict.fromkeys(Lane, 0)
        self._news, self._heard = asyncio.Event(), asyncio.Event()
        """Both are set at each acknowledgement: one for the account, one for the sender."""
        self._told_s: dict[str, float] = {}
        """When each step was first taken, by the loop's clock."""

    async def run(self, broker: str) -> Returned:
        """Connect, say hello, send, until both lanes are acknowledged; reconnects for as long as it takes."""
        loop = asyncio.get_running_loop()
        began_s, rest_s = loop.time(), _FIRST_REST_S
        address = broker_address(broker)
        while not self._finished():
            try:
                async with aiomqtt.Client(
                    address.host, address.port, identifier=f"gw-{self.name}", timeout=60, max_queued_incoming_messages=100
                ) as client:
                    await attempt(self._serve(client))
            except aiomqtt.MqttError:
                await asyncio.sleep(rest_s * self._chance.random())
                rest_s = min(2 * rest_s, _LONGEST_REST_S)
        told = self._told_s
        return Returned(
            welcome_s=told["welcome"] - told["hello"],
            alarm_s=told["stored"] - told["alarm"],
            drained_s=loop.time() - began_s,
        )

    async def _serve(self, client: aiomqtt.Client) -> None:
        await client.subscribe(channel(self.name, Channel.ACK), qos=1)
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(self._hear(client))
            sending = tasks.create_task(self._send(client))
            while not self._finished():
                self._news.clear()
                await self._news.wait()
            hearing.cancel()
            sending.cancel()

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if isinstance(message.payload, bytes):
                self._take(decode_ack(message.payload, _decompress))

    def _take(self, ack: Ack) -> None:
        if ack.epoch == self._epoch:
            self._done[ack.lane] = max(self._done[ack.lane], ack.cumulative)
            self._credit[ack.lane] = ack.credit
            self._note("welcome")
            if self._done[Lane.EVENTS]:
                self._note("stored")
            self._news.set()
            self._heard.set()

    async def _send(self, client: aiomqtt.Client) -> None:
        """Hello, the alarm, then readings within the credit; again from the acknowledged one where nothing moves."""
        while not self._credit[Lane.EVENTS]:
            self._note("hello")
            await client.publish(channel(self.name, Channel.HELLO), encode(self._hello()), qos=1, timeout=60)
            await self._wait(lambda: self._credit[Lane.EVENTS] > 0, _HELLO_AGAIN_S)
        while not self._finished():
            if not self._done[Lane.EVENTS]:
                self._note("alarm")
                await client.publish(channel(self.name, Channel.EVENTS), self._alarm(), qos=1, timeout=60)
            for first, batch in self._batches.items():
                last = min(first + _BATCH - 1, self._backlog)
                if last > self._done[Lane.READINGS]:
                    await self._wait(partial(self._has_room, last), _SEND_AGAIN_S)
                    await client.publish(channel(self.name, Channel.READINGS), batch, qos=1, timeout=60)
            await self._wait(self._finished, _SEND_AGAIN_S)

    def _note(self, step: str) -> None:
        self._told_s.setdefault(step, asyncio.get_running_loop().time())

    def _has_room(self, last: int) -> bool:
        return last - self._done[Lane.READINGS] <= self._credit[Lane.READINGS]

    def _finished(self) -> bool:
        return self._done[Lane.READINGS] >= self._backlog and self._done[Lane.EVENTS] > 0

    async def _wait(self, reached: Callable[[], bool], patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s):
                while not reached():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            return

    # What it says.

    def _hello(self) -> Hello:
        lanes = {
            Lane.EVENTS: LaneSpan(self._done[Lane.EVENTS] + 1, 2),
            Lane.READINGS: LaneSpan(self._done[Lane.READINGS] + 1, self._backlog + 1),
        }
        devices = [
            DeviceDeclaration(device=name, profile=_PROFILE, profile_version=_VERSION, kind="manhole_cover")
            for name in self._devices
        ]
        return Hello(
            gateway=self.name,
            epoch=self._epoch,
            boot_id=f"{self.name}-boot",
            agent_version="light",
            sent_ns=self._clock.wall_ns(),
            lanes=lanes,
            devices=devices,
        )

    def _alarm(self) -> bytes:
        now_ns = self._clock.wall_ns()
        step = Transition(
            alarm=f"{self._devices[0]}/{_RULE}/{self._epoch}",
            origin=Origin.EDGE,
            n=1,
            device=self._devices[0],
            rule=_RULE,
            profile=_PROFILE,
            profile_version=_VERSION,
            cause=Cause.RAISE,
            priority=Priority.CRITICAL,
            event_time_ns=now_ns,
            recorded_ns=now_ns,
            actor=f"edge:{self.name}",
        )
        return encode(EventsBatch(gateway=self.name, epoch=self._epoch, first_seq=1, events=[step]))

    def _batch(self, first: int, last: int, now_ns: int) -> bytes:
        """The backlog ends now, one reading a second."""
        readings = [self._reading(seq, now_ns - (self._backlog - seq) * SECOND_NS) for seq in range(first, last + 1)]
        return compressed(encode(group_readings(self.name, self._epoch, first, readings)), _compress)

    def _reading(self, seq: int, time_ns: int) -> Reading:
        return Reading(
            device=self._devices[seq % _COVERS],
            profile=_PROFILE,
            profile_version=_VERSION,
            time_ns=time_ns,
            received_ns=time_ns,
            values={"water_level_cm": float(seq % 300), "battery_pct": 80.0},
        )


async def bring_back(gateways: Sequence[LightGateway], broker: str) -> list[Returned]:
    """Let all of them come back at the same instant; what became of each."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(gateway.run(broker)) for gateway in gateways]
    return [task.result() for task in running]
