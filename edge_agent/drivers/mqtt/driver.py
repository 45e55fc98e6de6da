"""Devices that publish on topics of their own: a subscriber to their broker."""

import asyncio
import ssl
from collections.abc import Mapping

import aiomqtt

from device_profiles.model import CommandSpec, Profile
from device_profiles.wires.mqtt import ADDRESS, Form
from edge_agent.attempt import attempt
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, Listener, SetupError, turn_down
from edge_agent.drivers.mqtt.answers import Answers
from edge_agent.drivers.mqtt.client import QUEUE, AckingClient, Receipts, client_logger, counting_queue
from edge_agent.drivers.mqtt.presence import PresenceBook
from edge_agent.drivers.mqtt.routes import Publisher, Route, Routes, publisher_of, read_route
from edge_agent.drivers.mqtt.sparkplug import SparkplugNodes
from edge_agent.drivers.orders import argument_of
from edge_agent.heard import Heard, Inlet, Verdict
from edge_agent.link_kinds import MqttOptions
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.sparkplug.topics import NAMESPACE
from firmware_bridge.values import Decoded
from telemetry.broker import broker_address
from telemetry.clock import Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome

__all__ = ["MqttDriver"]

_TIMEOUT_S = 5.0
_GOODBYE_S = 0.5
"""How long a broker may take to close when the agent stops."""
_KEEPALIVE_S = 30
_LANGUAGES: Mapping[Form, str] = {
    Form.JSON: "json",
    Form.CBOR: "cbor",
    Form.PLAIN: "text",
    Form.SENML: "senml-json",
    Form.SENML_CBOR: "senml-cbor",
}
"""What the payload of each form is called among the languages."""
_NO_ANSWER = "published; this model does not say what it did"

_Tasks = list["asyncio.Task[Verdict]"]
_Ended = tuple[Outcome, Reason | None, str]


class MqttDriver(Listener):
    """A subscriber with QoS 1 that acknowledges after the commit.

    A retained reading that does not tell its own time is held back and counted as late: the broker has kept it since nobody
    knows when, and every reconnect would make a dead device look alive. A retained word on a presence topic counts: that a
    device is gone is true until somebody says otherwise.
    """

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> None:
        if not isinstance(link.options, MqttOptions):
            raise SetupError(f"link {link.name}: driver mqtt wants a broker")
        super().__init__(link, clock, link.options.broker)
        self.started.set()
        self._options = link.options
        self._routes = Routes([publisher_of(link, device, catalog) for device in link.devices])
        self._presence = PresenceBook(self._routes, self._tally)
        self._nodes = SparkplugNodes(self._routes.publishers, clock)
        self._answers = Answers()
        self._client: AckingClient | None = None

    faults = (aiomqtt.MqttError, OSError, ValueError)

    async def serve(self, inlet: Inlet, tasks: asyncio.TaskGroup) -> None:
        await attempt(self._listen(Deliveries(inlet, tasks, self._tally)))

    async def _listen(self, deliveries: Deliveries) -> None:
        client = await self._connecting(deliveries)
        receipts = Receipts(client)
        async with client:
            try:
                topics = sorted(self._routes.subscriptions | self._routes.answers)
                await attempt(client.subscribe([(topic, 1) for topic in topics]))
                self._tally.opened()
                self._tally.connections += 1
                self._client = client
                self._backoff.reset()
                for node in self._nodes.begin():
                    await self._ask(client, node)
                async for message in client.messages:
                    await self._take(client, message, receipts, deliveries)
            except asyncio.CancelledError:
                client.timeout = _GOODBYE_S
                raise
            finally:
                receipts.closed, self._client = True, None

    async def _connecting(self, deliveries: Deliveries) -> AckingClient:
        address, options = broker_address(self._options.broker), self._options
        file = options.password_file
        password = None if file is None else (await asyncio.to_thread(file.read_text, "utf-8")).strip()

        def overflow(message: aiomqtt.Message) -> None:
            self._tally.overflows += 1
            deliveries.refuse(self.name, Reason.QUEUE_FULL, f"{message.topic}: more than {QUEUE} messages wait")
            client.acknowledge(message)

        client = AckingClient(
            address.host,
            address.port,
            username=options.username or None,
            password=password,
            identifier=options.client_id or None,
            clean_session=not options.client_id,
            timeout=_TIMEOUT_S,
            keepalive=_KEEPALIVE_S,
            tls_context=ssl.create_default_context() if address.tls else None,
            max_queued_incoming_messages=QUEUE,
            queue_type=counting_queue(overflow),
            logger=client_logger,
        )
        client.acknowledge_by_hand()
        return client

    async def _take(self, client: AckingClient, message: aiomqtt.Message, receipts: Receipts, deliveries: Deliveries) -> None:
        receipt = receipts.take(message)
        tasks: _Tasks = []
        topic, payload = message.topic.value, bytes(message.payload)
        if topic.startswith(NAMESPACE + "/"):
            tasks = await self._take_sparkplug(client, message, deliveries)
        elif topic in self._routes.presence or topic in self._routes.readings:
            if topic in self._routes.presence:
                tasks += await self._take_presence(topic, payload, deliveries)
            for route in self._routes.readings.get(topic, ()):
                tasks += await self._take_readings(route, payload, deliveries, retained=message.retain)
        elif topic not in self._routes.answers:
            deliveries.refuse(self.name, Reason.UNKNOWN_DEVICE, f"topic {topic} is nobody's", payload)
        if not message.retain:
            self._answers.hear(topic, payload)
        receipt.follow(tasks)

    async def _take_readings(self, route: Route, payload: bytes, deliveries: Deliveries, *, retained: bool) -> _Tasks:
        tasks: _Tasks = []
        received_ns = self._clock.wall_ns()
        try:
            for read in read_route(route, payload, None if retained else received_ns):
                if isinstance(read, Refused):
                    deliveries.refuse(route.source or self.name, read.reason, read.detail, payload)
                    continue
                publisher, decoded = read
                if retained and decoded.time_ns is None:
                    detail = "a retained message that does not tell its time"
                    deliveries.refuse(publisher.device.id, Reason.LATE, detail, payload)
                    continue
                frame = RawFrame(_LANGUAGES[route.form], payload)
                tasks.append(await self._hand_over(publisher, decoded, received_ns, deliveries, frame))
        except ParseError as error:
            deliveries.refuse(route.source or self.name, error.reason, str(error), payload)
        return tasks

    async def _take_presence(self, topic: str, payload: bytes, deliveries: Deliveries) -> _Tasks:
        tasks: _Tasks = []
        received_ns = self._clock.wall_ns()
        try:
            told = self._presence.hear(topic, payload)
        except ParseError as error:
            deliveries.refuse(self.name, error.reason, f"{topic}: {error}", payload)
            return tasks
        for publisher, decoded in told:
            tasks.append(await self._hand_over(publisher, decoded, received_ns, deliveries))
        return tasks

    async def _take_sparkplug(self, client: AckingClient, message: aiomqtt.Message, deliveries: Deliveries) -> _Tasks:
        tasks: _Tasks = []
        received_ns, payload = self._clock.wall_ns(), bytes(message.payload)
        try:
            heeded = self._nodes.take(message.topic.value, payload, retained=message.retain)
        except ParseError as error:
            deliveries.refuse(self.name, error.reason, f"{message.topic}: {error}", payload)
            return tasks
        frame = RawFrame("sparkplug-b", payload)
        for refused in heeded.refused:
            deliveries.refuse(self.name, refused.reason, refused.detail, payload)
        for publisher, decoded in self._presence.tell(heeded.there):
            tasks.append(await self._hand_over(publisher, decoded, received_ns, deliveries))
        for publisher, decoded in heeded.readings:
            tasks.append(await self._hand_over(publisher, decoded, received_ns, deliveries, frame))
        if heeded.ask:
            await self._ask(client, heeded.ask)
        return tasks

    async def _hand_over(
        self, publisher: Publisher, decoded: Decoded, received_ns: int, deliveries: Deliveries, frame: RawFrame | None = None
    ) -> "asyncio.Task[Verdict]":
        heard = Heard(
            device=publisher.device.id,
            profile=publisher.profile,
            received_ns=received_ns,
            decoded=decoded,
            frames=() if frame is None else (frame,),
            source=self._options.broker,
        )
        return await deliveries.hand_over(heard)

    async def _ask(self, client: AckingClient, node: str) -> None:
        topic, payload = self._nodes.request(node)
        await attempt(client.publish(topic, payload, qos=0))

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        publisher = next((each for each in self._routes.publishers if each.device.id == device.id), None)
        spec = None if publisher is None else publisher.profile.commands.get(command.action)
        if spec is None or spec.publish is None:
            return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{device.id} takes no {command.action!r}")
        value = argument_of(spec, command)
        if isinstance(value, Refused):
            return turn_down(command, self._clock, value.reason, value.detail)
        if self._client is None:
            return turn_down(command, self._clock, Reason.UNREACHABLE, f"no connection to {self._options.broker}")
        outcome, reason, detail = await self._publish(self._client, device, spec, value)
        now_ns = self._clock.wall_ns()
        return CommandResult(id=command.id, device=device.id, outcome=outcome, time_ns=now_ns, reason=reason, detail=detail)

    async def _publish(self, client: AckingClient, device: DeviceConfig, spec: CommandSpec, value: float) -> _Ended:
        order = spec.publish
        assert order is not None  # noqa: S101 (narrows for the type checker; the caller checked)
        topic = order.topic.replace(ADDRESS, device.address)
        text, word = order.text(value)
        if order.answer is None:
            return await _sent(client, topic, text) or (Outcome.UNKNOWN, None, _NO_ANSWER)
        with self._answers.expect(order.answer, device.address, word) as waiting:
            problem = await _sent(client, topic, text)
            if problem is not None:
                return problem
            if await attempt(_within(waiting.done, order.answer.timeout_s)):
                return Outcome.DONE, None, ""
        if waiting.last is not None:
            return Outcome.FAILED, Reason.CONFLICT, f"the device says {waiting.last[:100]!r}, want {word!r}"
        return Outcome.UNKNOWN, Reason.TIMEOUT, f"no answer within {order.answer.timeout_s:g} s"


async def _sent(client: AckingClient, topic: str, text: str) -> _Ended | None:
    """Publish an order; how it ended where that did not succeed."""
    try:
        await attempt(client.publish(topic, text.encode(), qos=1))
    except aiomqtt.MqttCodeError as error:
        return Outcome.FAILED, Reason.UNREACHABLE, f"{topic}: {error}"
    except aiomqtt.MqttError as error:
        # The broker may have it, and the device may have obeyed.
        return Outcome.UNKNOWN, Reason.INTERRUPTED, f"{topic}: {error}"
    return None


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
