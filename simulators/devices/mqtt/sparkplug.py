"""An edge node that speaks Sparkplug B: born with names and aliases, then data by alias; born again when it is asked to."""

import asyncio
from collections.abc import Callable

import aiomqtt

from device_profiles.model import Profile
from device_profiles.quantities import MetricType
from firmware_bridge.items import encode_items
from firmware_bridge.sparkplug.payload import DataType, Metric, Payload, encode_payload, parse_payload, typed
from firmware_bridge.sparkplug.topics import Kind, node_topic
from simulators.attempt import attempt
from simulators.deeds import How
from simulators.devices.base import Surroundings
from simulators.devices.mqtt.device import MqttDevice, Publication, Said
from simulators.scenario import DeviceSpec
from telemetry.records import Value

__all__ = ["SparkplugNode"]

_MS = 1_000_000
_TYPES = {
    MetricType.FLOAT: DataType.DOUBLE,
    MetricType.INTEGER: DataType.INT64,
    MetricType.BOOLEAN: DataType.BOOLEAN,
    MetricType.STRING: DataType.STRING,
}
_REBIRTH = "Node Control/Rebirth"


class SparkplugNode(MqttDevice):
    """A node, or a node with one device behind it, by the form of its address. What is damaged on purpose keeps its place in
    the sequence; what is late is marked as historical."""

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings, broker: Callable[[], str]) -> None:
        super().__init__(spec, profile, around, broker)
        if self._wire.sparkplug is None:
            raise ValueError(f"{spec.id}: profile {profile.name} speaks no Sparkplug")
        group, node, *device = spec.address.split("/")
        self._items = self._wire.sparkplug.items
        self._node, self._device = f"{group}/{node}", "".join(device)
        self._seq, self._bdseq = 0, 0
        self._pace = asyncio.Lock()
        """Births and data of one node share one sequence."""

    def speak(self, now_ns: int) -> Said:
        """The data as of `now_ns`; its number in the sequence is given when it is sent."""
        how = self.misbehaves(now_ns)
        device = f"{self._device}-x" if how is How.WRONG_UNIT and self._device else self._device
        payload = Payload(timestamp_ms=now_ns // _MS, metrics=self._metrics(now_ns, named=False, historical=how is How.LATE))
        topic = node_topic(Kind.DDATA if device else Kind.NDATA, self._node, device)
        said = Publication(topic=topic, payload=self.damaged(encode_payload(payload), how))
        return Said(publications=(said,), whole=how not in {How.NOISE, How.CUT, How.WRONG_UNIT})

    def _metrics(self, now_ns: int, *, named: bool, historical: bool = False) -> tuple[Metric, ...]:
        values = encode_items(self.profile, self._items, self.values(now_ns))
        found = []
        for alias, field in enumerate(self._items, start=1):
            if field.item not in values:
                continue
            value, kind = values[field.item], _TYPES[self.profile.metrics[field.metric].type]
            found.append(
                Metric(
                    name=field.item if named else "",
                    alias=alias,
                    timestamp_ms=now_ns // _MS,
                    datatype=int(kind) if named else None,
                    is_historical=historical,
                    is_null=value is None,
                    raw=None if value is None else typed(_as(value, kind), kind),
                )
            )
        return tuple(found)

    def will(self) -> aiomqtt.Will:
        """The node's death; it carries the number of the birth that follows."""
        death = Payload(metrics=(_bdseq(self._bdseq),))
        return aiomqtt.Will(node_topic(Kind.NDEATH, self._node), encode_payload(death), qos=1)

    def listens_to(self) -> list[str]:
        """The commands to the node."""
        return [node_topic(Kind.NCMD, self._node)]

    async def greet(self, client: aiomqtt.Client) -> None:
        """The births of a new connection."""
        await self._be_born(client)
        self._bdseq = (self._bdseq + 1) % 256

    async def _be_born(self, client: aiomqtt.Client, bdseq: int | None = None) -> None:
        now_ns, self._seq = self.clock.wall_ns(), 0
        control = Metric(name=_REBIRTH, datatype=DataType.BOOLEAN, raw=typed(value=False, datatype=DataType.BOOLEAN))
        head = (_bdseq(self._bdseq if bdseq is None else bdseq), control)
        own = self._metrics(now_ns, named=True)
        async with self._pace:
            await self._emit(client, Kind.NBIRTH, "", head if self._device else (*head, *own), now_ns)
            if self._device:
                await self._emit(client, Kind.DBIRTH, self._device, own, now_ns)

    async def _emit(self, client: aiomqtt.Client, kind: Kind, device: str, metrics: tuple[Metric, ...], now_ns: int) -> None:
        payload = encode_payload(Payload(timestamp_ms=now_ns // _MS, metrics=metrics)) + self._number()
        await attempt(client.publish(node_topic(kind, self._node, device), payload, qos=0))

    async def send(self, client: aiomqtt.Client, said: Said) -> None:
        """Publish the data with the next number of the sequence."""
        async with self._pace:
            for each in said.publications:
                await attempt(client.publish(each.topic, each.payload + self._number(), qos=0))

    def _number(self) -> bytes:
        """The field `seq`, with which a payload ends: protobuf's fields may stand in any order."""
        number = encode_payload(Payload(seq=self._seq))
        self._seq = (self._seq + 1) % 256
        return number

    async def hear(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        """Be born again when it is asked for."""
        if any(metric.name == _REBIRTH for metric in parse_payload(payload).metrics):
            self.account.requests += 1
            await self._be_born(client, (self._bdseq - 1) % 256)


def _bdseq(number: int) -> Metric:
    return Metric(name="bdSeq", datatype=DataType.INT64, raw=typed(number, DataType.INT64))


def _as(value: Value, kind: DataType) -> Value:
    return float(value) if kind is DataType.DOUBLE and isinstance(value, int) else value
