"""Devices that publish JSON on topics of their own: a subscriber to their broker."""

import asyncio
import logging
import ssl
from collections.abc import Mapping

import aiomqtt
import msgspec

from device_profiles.model import Profile
from device_profiles.wires.mqtt import MqttWire
from edge_agent.attempt import attempt
from edge_agent.backoff import Backoff
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, LinkHealth, SetupError, Tally, profile_of, reconnecting, turn_down
from edge_agent.heard import Heard, Inlet
from edge_agent.link_kinds import MqttOptions
from firmware_bridge.documents import JSON, decode_document, parse_document
from firmware_bridge.errors import ParseError
from telemetry.broker import broker_address
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult

__all__ = ["MqttDriver"]

_QUEUE = 1000
"""Messages received and not yet looked at; what does not fit is counted as an overflow."""
_TIMEOUT_S = 5.0
_GOODBYE_S = 0.5
"""How long a broker may take to close when the agent stops."""
_KEEPALIVE_S = 30
_ADDRESS = "{address}"


_client_logger = logging.getLogger(f"{__name__}.client")
_client_logger.setLevel(logging.ERROR)  # it warns of every message that the queue has no room for; we count them


class _Publisher(msgspec.Struct, frozen=True, kw_only=True):
    device: DeviceConfig
    profile: Profile
    wire: MqttWire


class MqttDriver:
    """A subscriber with QoS 1. Where the address is a whole level of the topic the subscription takes every address,
    so that a device nobody listed is counted rather than unheard."""

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> None:
        if not isinstance(link.options, MqttOptions):
            raise SetupError(f"link {link.name}: driver mqtt wants a broker")
        self.name = link.name
        self.started = asyncio.Event()
        self.ports: tuple[tuple[str, int], ...] = ()
        self._options = link.options
        self._clock = clock
        self._tally = Tally(link)
        self._topics: dict[str, _Publisher] = {}
        self._subscriptions: set[str] = set()
        for device in link.devices:
            publisher = _publisher(link, device, catalog)
            self._topics[publisher.wire.topic.replace(_ADDRESS, device.address)] = publisher
            self._subscriptions.add(_subscription(publisher))

    def health(self) -> LinkHealth:
        return self._tally.health()

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{device.id} takes no commands")

    async def run(self, inlet: Inlet) -> None:
        backoff = reconnecting()
        self.started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                deliveries = Deliveries(inlet, tasks, self._tally)
                while True:
                    try:
                        await attempt(self._listen(deliveries, backoff))
                    except (aiomqtt.MqttError, OSError, ValueError) as error:
                        problem = f"{self._options.broker}: {error}"
                        self._tally.closed(problem)
                        deliveries.refuse(self.name, Reason.UNREACHABLE, problem)
                    await asyncio.sleep(backoff.next_s())
        finally:
            self._tally.closed("stopped")

    async def _listen(self, deliveries: Deliveries, backoff: Backoff) -> None:
        client = await self._client(deliveries)
        async with client:
            try:
                await attempt(client.subscribe([(topic, 1) for topic in sorted(self._subscriptions)]))
                self._tally.opened()
                self._tally.connections += 1
                backoff.reset()
                async for message in client.messages:
                    await self._take(message, deliveries)
            except asyncio.CancelledError:
                client.timeout = _GOODBYE_S
                raise

    async def _client(self, deliveries: Deliveries) -> aiomqtt.Client:
        address = broker_address(self._options.broker)
        file = self._options.password_file
        password = None if file is None else (await asyncio.to_thread(file.read_text, "utf-8")).strip()
        return aiomqtt.Client(
            address.host,
            address.port,
            username=self._options.username or None,
            password=password,
            timeout=_TIMEOUT_S,
            keepalive=_KEEPALIVE_S,
            tls_context=ssl.create_default_context() if address.tls else None,
            max_queued_incoming_messages=_QUEUE,
            queue_type=self._counting_queue(deliveries),
            logger=_client_logger,
        )

    def _counting_queue(self, deliveries: Deliveries) -> type[asyncio.Queue[aiomqtt.Message]]:
        """aiomqtt drops what does not fit; this queue says so before it does."""
        tally, name = self._tally, self.name

        class CountingQueue(asyncio.Queue[aiomqtt.Message]):
            def put_nowait(self, item: aiomqtt.Message) -> None:
                if self.full():
                    tally.overflows += 1
                    deliveries.refuse(name, Reason.QUEUE_FULL, f"{item.topic}: more than {_QUEUE} messages wait")
                super().put_nowait(item)

        return CountingQueue

    async def _take(self, message: aiomqtt.Message, deliveries: Deliveries) -> None:
        received_ns = self._clock.wall_ns()
        topic, payload = message.topic.value, message.payload
        publisher = self._topics.get(topic)
        if publisher is None:
            deliveries.refuse(self.name, Reason.UNKNOWN_DEVICE, f"topic {topic} is nobody's", payload)
            return
        wire, device = publisher.wire, publisher.device.id
        try:
            decoded = decode_document(publisher.profile, wire.fields, wire.time, parse_document(payload, JSON))
        except ParseError as error:
            deliveries.refuse(device, error.reason, str(error), payload)
            return
        if message.retain and decoded.time_ns is None:
            # Kept by the broker since nobody knows when: it must not pass for a reading of now.
            deliveries.refuse(device, Reason.LATE, "a retained message that does not tell its time", payload)
            return
        await deliveries.hand_over(Heard(device=device, profile=publisher.profile, received_ns=received_ns, decoded=decoded))


def _subscription(publisher: _Publisher) -> str:
    levels = publisher.wire.topic.split("/")
    if "/" in publisher.device.address:
        return publisher.wire.topic.replace(_ADDRESS, publisher.device.address)
    return "/".join("+" if level == _ADDRESS else level.replace(_ADDRESS, publisher.device.address) for level in levels)


def _publisher(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> _Publisher:
    profile = profile_of(link, device, catalog)
    where = f"link {link.name}, device {device.id}"
    if profile.wire.mqtt is None:
        raise SetupError(f"{where}: profile {profile.name} does not publish on MQTT")
    if not device.address or any(sign in device.address for sign in "+#\0"):
        raise SetupError(f"{where}: address {device.address!r}, want a part of a topic without + and #")
    return _Publisher(device=device, profile=profile, wire=profile.wire.mqtt)
