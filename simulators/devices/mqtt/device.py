"""Devices that publish by themselves, in whatever form their profile names: one document, several topics, SenML, bare values.

Where the profile has a presence topic of the device's own, the device leaves its last will there and says that it is back.
"""

import asyncio
import logging
from collections.abc import Callable

import aiomqtt
import msgspec

from device_profiles.model import CommandSpec, Profile
from device_profiles.wires.mqtt import ADDRESS, MqttWire
from firmware_bridge.publications import encode_presence, encode_publication
from simulators.attempt import attempt
from simulators.deeds import How
from simulators.devices.base import Calling, Surroundings
from simulators.devices.memory import Kept, Memory
from simulators.scenario import DeviceSpec
from telemetry.broker import broker_address

__all__ = ["MqttDevice", "Publication", "Said"]

log = logging.getLogger(__name__)

_MEMORY = 64
_RETRY_S = 1.0
_MS = 1_000_000


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """One message, ready to go."""

    topic: str
    payload: bytes
    retain: bool = False


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says at one instant, on every topic it has; `whole` is false where it was damaged on purpose."""

    publications: tuple[Publication, ...]
    whole: bool = True


class MqttDevice(Calling):
    """Publishes at power-up, every `interval_s` and at once when something happens; PUBACK confirms. Obeys its profile's
    orders by saying on the answer topic what it was told."""

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings, broker: Callable[[], str]) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.mqtt is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no MQTT wire")
        self._wire: MqttWire = profile.wire.mqtt
        self._broker = broker
        self._memory: Memory[Said] = Memory(_MEMORY)
        self._orders = {self._at(order.publish.topic): order for order in profile.commands.values() if order.publish is not None}

    def speak(self, now_ns: int) -> Said:
        """The publications as of `now_ns`."""
        values, how = self.values(now_ns), self.misbehaves(now_ns)
        address = f"{self.spec.address}-x" if how is How.WRONG_UNIT else self.spec.address
        said = []
        for topic in self._wire.topics:
            payload = encode_publication(self.profile, topic, values, address, now_ns // _MS * _MS)
            said.append(Publication(topic=topic.topic.replace(ADDRESS, address), payload=self.damaged(payload, how)))
        return Said(publications=tuple(said), whole=how not in {How.NOISE, How.CUT, How.WRONG_UNIT})

    def damaged(self, payload: bytes, how: How | None) -> bytes:
        """The payload as a bad device sends it."""
        if how is How.NOISE:
            return self.noise.spoil(payload) + b"\xff"
        return payload[: len(payload) // 2] if how is How.CUT else payload

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keep_beat())
            group.create_task(self._transmit())

    def keep_now(self, now_ns: int, *, event: bool) -> None:
        self._memory.keep(self.speak(now_ns), event=event)
        self.account.overflow = self._memory.overflow

    async def _transmit(self) -> None:
        while True:
            try:
                await attempt(self._connected())
            except* aiomqtt.MqttError as error:
                log.debug("broker lost", extra={"event": "sim.mqtt.lost", "device": self.spec.id, "error": str(error)})
                await asyncio.sleep(self.lasting(_RETRY_S))

    async def _connected(self) -> None:
        broker = broker_address(self._broker())
        name = f"sim-{self.spec.id}"
        async with aiomqtt.Client(broker.host, broker.port, identifier=name, will=self.will(), timeout=10) as client:
            topics = self.listens_to()
            if topics:
                await attempt(client.subscribe([(topic, 1) for topic in topics]))
            await self.greet(client)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._publish_all(client))
                group.create_task(self._listen(client))

    def will(self) -> aiomqtt.Will | None:
        """What the broker says when the device is gone."""
        own = self._own_presence(online=False)
        return None if own is None else aiomqtt.Will(own.topic, own.payload, qos=1, retain=own.retain)

    async def greet(self, client: aiomqtt.Client) -> None:
        """The first words on a new connection."""
        own = self._own_presence(online=True)
        if own is not None:
            await attempt(client.publish(own.topic, own.payload, qos=1, retain=True))

    def listens_to(self) -> list[str]:
        """The topics of the orders that it takes."""
        return list(self._orders)

    def _own_presence(self, *, online: bool) -> Publication | None:
        own = next((each for each in self._wire.presence if ADDRESS in each.topic), None)
        if own is None:
            return None
        return Publication(topic=self._at(own.topic), payload=encode_presence(own, online=online), retain=True)

    async def _publish_all(self, client: aiomqtt.Client) -> None:
        while True:
            (kept,) = await self._memory.oldest()
            self._count_sent(kept)
            await self.send(client, kept.message)
            self.account.confirmed += kept.message.whole
            self._memory.done(kept)

    async def send(self, client: aiomqtt.Client, said: Said) -> None:
        """Publish everything that was said at one instant."""
        for each in said.publications:
            await attempt(client.publish(each.topic, each.payload, qos=1, retain=each.retain))

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            await self.hear(client, message.topic.value, bytes(message.payload))

    async def hear(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        """Obey an order; a silent device does not."""
        order = self._orders.get(topic)
        if order is None or self.misbehaves(self.clock.wall_ns()) is How.SILENT:
            return
        self.account.requests += 1
        answer = _answer(order, payload)
        if answer is not None:
            await attempt(client.publish(self._at(answer.topic), answer.payload, qos=1))

    def _at(self, topic: str) -> str:
        return topic.replace(ADDRESS, self.spec.address)

    def _count_sent(self, kept: Kept[Said]) -> None:
        kept.sent += 1
        self.account.resent += kept.sent > 1
        self.account.spoken += kept.sent == 1 and kept.message.whole
        self.account.spoiled += kept.sent == 1 and not kept.message.whole


def _answer(spec: CommandSpec, payload: bytes) -> Publication | None:
    """What the device says it did: the word that it was told, where its profile has a place for it."""
    order = spec.publish
    if order is None or order.answer is None:
        return None
    before, _, after = order.payload.partition("{value}")
    word = payload.decode(errors="replace").removeprefix(before).removesuffix(after)
    document: object = word
    for step in reversed(order.answer.path):
        document = {step: document}
    return Publication(topic=order.answer.topic, payload=msgspec.json.encode(document) if order.answer.path else word.encode())
