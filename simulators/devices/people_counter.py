"""A people counter that speaks MQTT by itself: JSON on a topic of its own, QoS 1."""

import asyncio
import json
import logging
from collections.abc import Callable

import aiomqtt
import msgspec

from device_profiles.model import Profile
from device_profiles.wires.mqtt import MqttWire
from firmware_bridge.documents import encode_document
from simulators.actions import How
from simulators.attempt import attempt
from simulators.devices.base import Calling, Surroundings
from simulators.devices.memory import Kept, Memory
from simulators.scenario import DeviceSpec
from telemetry.broker import BrokerAddress, broker_address
from telemetry.clock import SECOND_NS

__all__ = ["Count", "PeopleCounter"]

log = logging.getLogger(__name__)

_MEMORY = 64
_FLOOD_S = 0.02
_RETRY_S = 1.0


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """One publication, ready to go."""

    payload: bytes
    whole: bool = True


class PeopleCounter(Calling):
    """Publishes at power-up, every `interval_s` and at once when something happens; PUBACK confirms."""

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings, broker: Callable[[], str]) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.mqtt is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no MQTT wire")
        self._wire: MqttWire = profile.wire.mqtt
        self._broker = broker
        self._memory: Memory[Count] = Memory(_MEMORY)
        self.topic = self._wire.topic.format(address=spec.address)

    def speak(self, now_ns: int) -> Count:
        """The publication as of `now_ns`."""
        values = self.values(now_ns)
        document = encode_document(self.profile, self._wire.fields, self._wire.time, values, now_ns // 1_000_000 * 1_000_000)
        payload = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        match self.misbehaves(now_ns):
            case How.NOISE:
                return Count(payload=self.noise.spoil(payload) + b"\xff", whole=False)
            case How.CUT:
                return Count(payload=payload[: len(payload) // 2], whole=False)
            case _:
                return Count(payload=payload)

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._measure())
            group.create_task(self._transmit())

    async def _measure(self) -> None:
        due, event = self.clock.monotonic_ns(), False
        while True:
            now_ns = self.clock.wall_ns()
            how = self.misbehaves(now_ns)
            if how is not How.SILENT:
                self._memory.keep(self.speak(now_ns), event=event)
                self.account.overflow = self._memory.overflow
            due = self.following(due)
            flood_due = self.clock.monotonic_ns() + round(_FLOOD_S * SECOND_NS)
            event = await self.wait(flood_due if how is How.FLOOD else due)

    async def _transmit(self) -> None:
        while True:
            try:
                await attempt(self._publish_all(broker_address(self._broker())))
            except aiomqtt.MqttError as error:
                log.debug("broker lost", extra={"event": "sim.counter.lost", "device": self.spec.id, "error": str(error)})
                await asyncio.sleep(self.lasting(_RETRY_S))

    async def _publish_all(self, broker: BrokerAddress) -> None:
        async with aiomqtt.Client(broker.host, broker.port, identifier=f"sim-{self.spec.id}", timeout=10) as client:
            while True:
                (kept,) = await self._memory.oldest()
                self._count_sent(kept)
                await attempt(client.publish(self.topic, kept.message.payload, qos=1))
                self.account.confirmed += kept.message.whole
                self._memory.done(kept)

    def _count_sent(self, kept: Kept[Count]) -> None:
        kept.sent += 1
        self.account.resent += kept.sent > 1
        self.account.spoken += kept.sent == 1 and kept.message.whole
        self.account.spoiled += kept.sent == 1 and not kept.message.whole
