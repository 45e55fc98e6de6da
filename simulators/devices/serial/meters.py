"""Electricity, water, heat and gas meters on a line: DL/T 645 and CJ/T 188, asked one identifier at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from device_profiles.model import Profile
from device_profiles.quantities import Metric
from device_profiles.wires.cjt188 import CURRENT_DATA, Cjt188Wire
from device_profiles.wires.dlt645 import Dlt645Wire
from firmware_bridge.cjt188 import commands as cjt188
from firmware_bridge.cjt188.frames import ANY_TYPE, Cjt188Framer
from firmware_bridge.cjt188.frames import WILDCARD as CJT188_WILDCARD
from firmware_bridge.cjt188.frames import Frame as Cjt188Frame
from firmware_bridge.cjt188.messages import Message, parse_message
from firmware_bridge.cjt188.rounds import identifier
from firmware_bridge.dlt645 import commands as dlt645
from firmware_bridge.dlt645.blocks import members
from firmware_bridge.dlt645.frames import WILDCARD, Dlt645Framer, encode_frame
from firmware_bridge.dlt645.frames import Frame as Dlt645Frame
from firmware_bridge.dlt645.items import find
from firmware_bridge.dlt645.parts import Form, Part, write_part
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.items import encode_items
from firmware_bridge.meter_units import UNITS, in_unit
from simulators.devices.base import Device, Surroundings
from simulators.devices.pty_bus import PtyBus
from simulators.scenario import DeviceSpec
from telemetry.clock import SECOND_NS

__all__ = ["Cjt188Meter", "Dlt645Meter", "MeterBus"]

_VALVE = "A017"

Items = dict[str, int | float | bool | str | None]


class Meter(Device):
    """What meters have in common. `spoken` grows by one whenever everything that the profile reads was asked for and
    answered since the last time."""

    wire: Dlt645Wire | Cjt188Wire

    def _begin(self, data_ids: Sequence[str]) -> None:
        self.data_ids = frozenset(data_ids)
        self._unread = set(data_ids)

    def count(self, answered: Sequence[str]) -> None:
        """These identifiers were answered, and understood."""
        self._unread -= set(answered)
        if not self._unread:
            self._unread = set(self.data_ids)
            self.account.spoken += 1

    def metric_of(self, item: str) -> Metric:
        """The metric that an item of the profile becomes."""
        return self.profile.metrics[next(field.metric for field in self.wire.items if field.item == item)]

    def speak(self, now_ns: int) -> Items:
        """The items of the profile as of `now_ns`."""
        return encode_items(self.profile, self.wire.items, self.values(now_ns))

    def framer(self) -> Dlt645Framer | Cjt188Framer:
        """What cuts the questions out of the line."""
        raise NotImplementedError

    def answer(self, frame: Any, now_ns: int, address: str) -> tuple[bytes, tuple[str, ...]] | None:
        """The answer to a question in the name of `address`, and what of the profile it says; None for another's."""
        raise NotImplementedError

    def another(self) -> str:
        """The address of somebody else."""
        digits = self.spec.address
        return f"{(int(digits) + 1) % 10 ** len(digits):0{len(digits)}d}" if digits.isdigit() else "1".rjust(len(digits), "0")


class Dlt645Meter(Meter):
    """An electricity meter; blocks it answers as far as it has members, `most_bytes` of an answer in one frame."""

    wire: Dlt645Wire
    takes_blocks = True
    most_bytes = 200

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.dlt645 is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no DL/T 645 wire")
        self.wire = profile.wire.dlt645
        self._begin([field.item.partition(".")[0] for field in self.wire.items])
        self._rest: dict[str, bytes] = {}

    def framer(self) -> Dlt645Framer:
        return Dlt645Framer()

    def answer(self, frame: Dlt645Frame, now_ns: int, address: str) -> tuple[bytes, tuple[str, ...]] | None:
        if frame.from_meter or frame.address not in (self.spec.address, WILDCARD):
            return None
        if frame.function == 0x13:
            return dlt645.answer_address(address), ()
        if frame.address == WILDCARD:
            return None
        width = 2 if frame.version == 1997 else 4
        asked = frame.data[:width][::-1].hex().upper()
        if frame.function in (0x01, 0x11):
            return self._read(asked, frame, now_ns, address)
        if frame.function == 0x12 and len(frame.data) == width + 1:
            return self._part(asked, self._rest.get(asked, b""), frame, address), ()
        return dlt645.refuse(address, frame.function, ["not_authorised"]), ()

    def speak(self, now_ns: int) -> Items:
        items = super().speak(now_ns)
        for data_id in self.data_ids:
            self._bytes(data_id, items)
        return items

    def _read(self, asked: str, frame: Dlt645Frame, now_ns: int, address: str) -> tuple[bytes, tuple[str, ...]]:
        brought = members(asked)
        known = [data_id for data_id in brought if data_id in self.data_ids]
        if not known or (len(brought) > 1 and not self.takes_blocks):
            return dlt645.refuse(address, frame.function, ["no_such_data"]), ()
        items = self.speak(now_ns)
        data = b"".join(self._bytes(data_id, items) for data_id in brought[: brought.index(known[-1]) + 1])
        return self._part(asked, data, frame, address), tuple(known)

    def _part(self, asked: str, data: bytes, frame: Dlt645Frame, address: str) -> bytes:
        """As much of `data` as one frame takes; the rest is kept to be asked for."""
        said, self._rest[asked] = data[: self.most_bytes], data[self.most_bytes :]
        more = 0x20 if self._rest[asked] else 0
        sequence = frame.data[-1:] if frame.function == 0x12 else b""
        return encode_frame(address, frame.function | 0x80 | more, bytes.fromhex(asked)[::-1] + said + sequence)

    def _bytes(self, data_id: str, items: Items) -> bytes:
        item = find(data_id)
        return b"" if item is None else b"".join(self._part_bytes(data_id, part, items) for part in item.parts)

    def _part_bytes(self, data_id: str, part: Part, items: Items) -> bytes:
        item = next((name for name in (f"{data_id}.{part.name}", data_id) if name in items), None)
        if item is None:
            return bytes(part.size)
        value = items[item]
        if value is None:
            return b"\xff" * part.size
        if part.form is Form.BITS:
            return int(value).to_bytes(part.size, "little")
        if isinstance(value, str):
            return write_part(part, value)
        return write_part(part, in_unit(value, self.metric_of(item).unit, part.unit or "1"))


class Cjt188Meter(Meter):
    """A water, heat or gas meter; it counts in its metrics' own units where the standard has a code for them."""

    wire: Cjt188Wire

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.cjt188 is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no CJ/T 188 wire")
        self.wire = profile.wire.cjt188
        self._begin([identifier(field.item) for field in self.wire.items])

    def framer(self) -> Cjt188Framer:
        return Cjt188Framer()

    def answer(self, frame: Cjt188Frame, now_ns: int, address: str) -> tuple[bytes, tuple[str, ...]] | None:
        if frame.from_meter or frame.address not in (self.spec.address, CJT188_WILDCARD):
            return None
        if frame.meter_type not in (self.wire.meter_type, ANY_TYPE):
            return None
        message = parse_message(frame)
        kind, sequence = self.wire.meter_type, message.sequence or 0
        if frame.function == 0x03:
            return cjt188.answer_address(kind, address, sequence, low_first=message.low_first), ()
        asked = f"{message.data_id or 0:04X}"
        if (frame.function, asked) == (0x04, _VALVE) and self._move(message):
            return cjt188.answer_write(kind, address, asked, self._status(now_ns), sequence, low_first=message.low_first), ()
        if frame.function != 0x01 or asked not in self.data_ids:
            return cjt188.refuse(kind, address, frame.function, {}, sequence), ()
        said = self._named(asked, self.speak(now_ns), now_ns)
        return cjt188.answer(kind, address, asked, said, sequence, low_first=message.low_first), (asked,)

    def speak(self, now_ns: int) -> Items:
        items = super().speak(now_ns)
        for data_id in self.data_ids:
            cjt188.data_bytes(self.wire.meter_type, data_id, self._named(data_id, items, now_ns))
        return items

    def _move(self, message: Message) -> bool:
        """Have the valve go where an order says; whether the model takes such an order. A stuck valve stays where it is."""
        action = next((reading.value for reading in message.readings if reading.name == "valve_action"), None)
        orders = [spec.valve for spec in self.profile.commands.values() if spec.valve is not None]
        order = next((order for order in orders if order.action == action), None)
        now_ns = self.clock.wall_ns()
        if order is not None and self.values(now_ns)[order.metric] != "fault":
            self.body.pin(order.metric, order.done)
        return order is not None

    def _status(self, now_ns: int) -> dict[str, float | int | str | None]:
        return {"status": self._named(CURRENT_DATA, super().speak(now_ns), now_ns).get("status")}

    def _named(self, asked: str, items: Items, now_ns: int) -> dict[str, float | int | str | None]:
        # Meters show civil time, eight hours ahead of UTC.
        said: dict[str, float | int | str | None] = {
            "time": (datetime.fromtimestamp(now_ns / SECOND_NS, UTC) + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%S")
        }
        for item, value in items.items():
            if identifier(item) == asked:
                name, unit = item.rpartition(".")[2], self.metric_of(item).unit
                said[name] = value
                if unit in UNITS:
                    said[f"{name}_unit"] = unit
        return said


class MeterBus(PtyBus[Meter]):
    """Meters of one language on one pair of wires."""

    def __init__(self, devices: Sequence[Meter]) -> None:
        super().__init__(devices)
        self._framer = devices[0].framer()

    def late_s(self, device: Meter) -> float:
        return 1.2 * device.wire.timeout_s

    def hear(self, data: bytes) -> None:
        for frame in self._framer.feed(data):
            if isinstance(frame, Refused):
                continue
            for meter in self.devices:
                self._answer(meter, frame)

    def _answer(self, meter: Meter, frame: Any) -> None:
        now_ns = meter.clock.wall_ns()
        try:
            found = meter.answer(frame, now_ns, meter.spec.address)
        except ParseError:
            return  # a question that is none; a meter is silent then
        if found is None:
            return
        meter.account.requests += 1
        said, known = found

        def stranger() -> bytes:
            other = meter.answer(frame, now_ns, meter.another())
            return b"" if other is None else other[0]

        if self.put(meter, said, stranger):
            meter.count(known)
