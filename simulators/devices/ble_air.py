"""Bluetooth sensors, and the air between them and one adapter.

There is no socket for Bluetooth: `BleAir` stands where an adapter would, in the same process. It has the methods of the agent's
own `Radio` and knows nothing of the agent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from device_profiles.model import Profile
from device_profiles.wires.ble import BTHOME, GATT, BleWire
from firmware_bridge.ble.advertising import Advertisement, encode_advertising, parse_advertising
from firmware_bridge.ble.bthome import SHORT_UUID, encode_bthome
from firmware_bridge.ble.door import (
    RX,
    TX,
    Answer,
    DoorFramer,
    Frame,
    FrameType,
    Order,
    Result,
    encode_answer,
    parse_order,
    pieces,
)
from firmware_bridge.ble.gatt import CHARACTERISTICS, encode_value
from firmware_bridge.errors import ParseError
from firmware_bridge.items import encode_items
from simulators.deeds import How
from simulators.devices.base import Device, Surroundings
from simulators.scenario import DeviceSpec
from telemetry.clock import SECOND_NS

__all__ = ["BleAir", "BleSensor"]

_REPEATS = 3
"""How often a sensor shouts the same: nobody answers, and packets are lost."""
_FLOOD_S = 0.02


class BleSensor(Device):
    """One sensor; `spoken` counts advertisements with something new, each once however often it was repeated."""

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.ble is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no Bluetooth wire")
        self.wire: BleWire = profile.wire.ble
        self._packet = 0
        self._orders = {spec.uart.code for spec in profile.commands.values() if spec.uart is not None}

    def speak(self, now_ns: int) -> bytes:
        """The advertising data as of `now_ns`."""
        fields = [field for field in self.wire.items if field.item.startswith(BTHOME)]
        items = encode_items(self.profile, fields, self.values(now_ns))
        self._packet = (self._packet + 1) % 256
        # A sensor that has no value for something leaves it out: BTHome has no word for none.
        told = {name.removeprefix(BTHOME): value for name, value in items.items() if value is not None}
        data = encode_bthome(told, self._packet)
        match self.misbehaves(now_ns):
            case How.NOISE:
                data = data[:1] + b"\xff" + self.noise.spoil(data[1:])
            case How.CUT:
                data = data[: len(data) - 1]
            case _:
                pass
        return encode_advertising(self.spec.id[:8], {SHORT_UUID: data})

    def loudness_dbm(self, now_ns: int) -> int:
        """How loud it is heard."""
        loud = self.values(now_ns).get("rssi_dbm")
        return round(loud) if isinstance(loud, (int, float)) else -70

    def value(self, uuid: str, now_ns: int) -> bytes:
        """The value of a characteristic; KeyError where it has none of that UUID."""
        name = next(name for name, kind in CHARACTERISTICS.items() if kind.uuid == uuid)
        fields = [field for field in self.wire.items if field.item == GATT + name]
        value = encode_items(self.profile, fields, self.values(now_ns))[GATT + name]
        return encode_value(name, value)

    def obey(self, order: Order) -> Answer:
        """Do what the order says; orders that the profile does not have are unknown to the device, too."""
        self.account.requests += 1
        result = Result.DONE if order.code in self._orders else Result.UNKNOWN_ORDER
        return Answer(code=order.code, result=result, value=order.argument)


class BleAir:
    """What one adapter hears and reaches. With `plugged` false there is no adapter."""

    def __init__(self, sensors: Sequence[BleSensor]) -> None:
        self._sensors = {sensor.spec.address: sensor for sensor in sensors}
        self.plugged = True

    async def listen(self, seconds: float, heard: Callable[[str, Advertisement], None]) -> None:
        """Let the sensors be heard for so long; OSError without an adapter."""
        if not self.plugged:
            raise OSError("no Bluetooth adapter: none is plugged in")
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for sensor in self._sensors.values():
                    group.create_task(_shout(sensor, heard))
        except TimeoutError:
            return

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator["_Link"]:
        """A connection; TimeoutError where nobody answers."""
        sensor = self._sensors.get(address)
        if not self.plugged:
            raise OSError("no Bluetooth adapter: none is plugged in")
        if sensor is None or sensor.misbehaves(sensor.clock.wall_ns()) is How.SILENT:
            raise TimeoutError(f"{address} does not answer")
        yield _Link(sensor)


async def _shout(sensor: BleSensor, heard: Callable[[str, Advertisement], None]) -> None:
    due = sensor.clock.monotonic_ns()
    while True:
        now_ns = sensor.clock.wall_ns()
        how = sensor.misbehaves(now_ns)
        if how is not How.SILENT:
            _say(sensor, how, now_ns, heard)
        due = sensor.following(due)
        await sensor.wait(sensor.clock.monotonic_ns() + round(_FLOOD_S * SECOND_NS) if how is How.FLOOD else due)


def _say(sensor: BleSensor, how: How | None, now_ns: int, heard: Callable[[str, Advertisement], None]) -> None:
    said = parse_advertising(sensor.speak(now_ns), sensor.loudness_dbm(now_ns))
    whole = how not in {How.NOISE, How.CUT, How.WRONG_UNIT}
    sensor.account.spoken += whole
    sensor.account.spoiled += not whole
    address = sensor.spec.address
    for _ in range(_REPEATS):
        heard(f"02{address[2:]}" if how is How.WRONG_UNIT else address, said)


class _Link:
    """One connection to a sensor."""

    def __init__(self, sensor: BleSensor) -> None:
        self._sensor = sensor
        self._framer = DoorFramer()
        self._told: Callable[[bytes], None] = lambda _: None

    async def read(self, uuid: str) -> bytes:
        return self._sensor.value(uuid, self._sensor.clock.wall_ns())

    async def notify(self, uuid: str, told: Callable[[bytes], None]) -> None:
        if uuid != TX or not self._sensor.wire.uart:
            raise KeyError(uuid)
        self._told = told

    async def write(self, uuid: str, data: bytes) -> None:
        if uuid != RX:
            raise KeyError(uuid)
        for frame in self._framer.feed(data):
            if isinstance(frame, Frame) and frame.type == FrameType.ORDER:
                self._answer(frame)

    def _answer(self, frame: Frame) -> None:
        how = self._sensor.misbehaves(self._sensor.clock.wall_ns())
        try:
            raw = encode_answer(frame.serial, self._sensor.obey(parse_order(frame)))
        except ParseError:
            return
        if how is How.LATE:
            return  # nobody waits any more when it answers
        raw = self._sensor.noise.spoil(raw) if how is How.NOISE else raw[: len(raw) // 2] if how is How.CUT else raw
        for piece in pieces(raw):
            self._told(piece)
