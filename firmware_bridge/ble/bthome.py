"""BTHome v2 advertisements: sensors that say in the clear what they measure, object after object.

    service data of FCD2: information 1 | [address 6, low byte first] | object id 1 | value, low byte first | object id 1 | ...

Information: bit 0 encrypted, bit 1 the address follows, bit 2 speaks only when something happens, bits 5-7 version (2).
Objects stand in the order of their ids, so that a reader that does not know a new one still has all before it: a value has no
length of its own. Source: bthome.io, "Format"; F0 to F2 as listed there, in no advertisement seen here. Encrypted ones
(AES-CCM with a key per device) are refused: the gateway keeps no such keys.
"""

from collections.abc import Mapping

import msgspec

from firmware_bridge.ble.advertising import uuid_of
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["NAMES", "SERVICE", "SHORT_UUID", "BtHome", "encode_bthome", "parse_bthome"]

SHORT_UUID = 0xFCD2
SERVICE = uuid_of(SHORT_UUID)
_ENCRYPTED, _ADDRESSED, _TRIGGERED, _VERSION = 0x01, 0x02, 0x04, 2

_Number = tuple[str, int, bool, float, int]
"""(name, bytes, signed, factor, decimal places)"""


def _whole(name: str, size: int, *, signed: bool = False) -> _Number:
    return name, size, signed, 1, 0


def _scaled(name: str, size: int, places: int, *, signed: bool = False) -> _Number:
    return name, size, signed, 10.0**-places, places


_NUMBERS: Mapping[int, _Number] = {
    0x00: _whole("packet_id", 1),
    0x01: _whole("battery", 1),  # %
    0x02: _scaled("temperature", 2, 2, signed=True),  # degrees Celsius
    0x03: _scaled("humidity", 2, 2),  # %
    0x04: _scaled("pressure", 3, 2),  # hPa
    0x05: _scaled("illuminance", 3, 2),  # lx
    0x06: _scaled("mass_kg", 2, 2),
    0x07: _scaled("mass_lb", 2, 2),
    0x08: _scaled("dew_point", 2, 2, signed=True),
    0x09: _whole("count", 1),
    0x0A: _scaled("energy", 3, 3),  # kWh
    0x0B: _scaled("power", 3, 2),  # W
    0x0C: _scaled("voltage", 2, 3),  # V
    0x0D: _whole("pm25", 2),  # ug/m3
    0x0E: _whole("pm10", 2),
    0x12: _whole("co2", 2),  # ppm
    0x13: _whole("tvoc", 2),  # ug/m3
    0x14: _scaled("moisture", 2, 2),  # %
    0x2E: _whole("humidity", 1),
    0x2F: _whole("moisture", 1),
    0x3D: _whole("count", 2),
    0x3E: _whole("count", 4),
    0x3F: _scaled("rotation", 2, 1, signed=True),  # degrees
    0x40: _whole("distance_mm", 2),
    0x41: _scaled("distance_m", 2, 1),
    0x42: _scaled("duration", 3, 3),  # s
    0x43: _scaled("current", 2, 3),  # A
    0x44: _scaled("speed", 2, 2),  # m/s
    0x45: _scaled("temperature", 2, 1, signed=True),
    0x46: _scaled("uv_index", 1, 1),
    0x47: _scaled("volume_l", 2, 1),
    0x48: _whole("volume_ml", 2),
    0x49: _scaled("volume_flow_rate", 2, 3),  # m3/h
    0x4A: _scaled("voltage", 2, 1),
    0x4B: _scaled("gas", 3, 3),  # m3
    0x4C: _scaled("gas", 4, 3),
    0x4D: _scaled("energy", 4, 3),
    0x4E: _scaled("volume_l", 4, 3),
    0x4F: _scaled("water", 4, 3),  # l
    0x50: _whole("timestamp", 4),  # seconds since 1970 UTC; a measurement, not when the others were made
    0x51: _scaled("acceleration", 2, 3),  # m/s2
    0x52: _scaled("gyroscope", 2, 3),  # degrees a second
    0x55: _scaled("volume_storage", 4, 3),  # l
    0x56: _whole("conductivity", 2),  # uS/cm
    0x57: _whole("temperature", 1, signed=True),
    0x58: ("temperature", 1, True, 0.35, 2),
    0x59: _whole("count", 1, signed=True),
    0x5A: _whole("count", 2, signed=True),
    0x5B: _whole("count", 4, signed=True),
    0x5C: _scaled("power", 4, 2, signed=True),
    0x5D: _scaled("current", 2, 3, signed=True),
    0x5E: _scaled("direction", 2, 2),  # degrees
    0x5F: _scaled("precipitation", 2, 1),  # mm
    0x60: _whole("channel", 1),
    0x61: _whole("rotational_speed", 2),  # 1/min
    0x62: _scaled("speed", 4, 6, signed=True),
    0x63: _scaled("acceleration", 4, 6, signed=True),
    0x64: _whole("light_level", 1),
    0xF0: _whole("device_type", 2),
}

# One byte, 0 or 1; true is what the name says, for "lock" an open one.
_FLAGS: Mapping[int, str] = {
    0x0F: "generic", 0x10: "power_on", 0x11: "opening", 0x15: "battery_low", 0x16: "battery_charging",
    0x17: "carbon_monoxide", 0x18: "cold", 0x19: "connectivity", 0x1A: "door", 0x1B: "garage_door", 0x1C: "gas_detected",
    0x1D: "heat", 0x1E: "light", 0x1F: "unlocked", 0x20: "moisture_detected", 0x21: "motion", 0x22: "moving",
    0x23: "occupancy", 0x24: "plug", 0x25: "presence", 0x26: "problem", 0x27: "running", 0x28: "safety", 0x29: "smoke",
    0x2A: "sound", 0x2B: "tamper", 0x2C: "vibration", 0x2D: "window",
}  # fmt: skip

_TEXT, _RAW, _BUTTON, _DIMMER = 0x53, 0x54, 0x3A, 0x3C
_FIRMWARE = {0xF1: 4, 0xF2: 3}
_PRESSES = {
    0: "none", 1: "press", 2: "double_press", 3: "triple_press", 4: "long_press", 5: "long_double_press",
    6: "long_triple_press", 0x80: "hold_press",
}  # fmt: skip
_TURNS = {0: "none", 1: "rotate_left", 2: "rotate_right"}

NAMES = frozenset(
    {name for name, *_ in _NUMBERS.values()}
    | {*_FLAGS.values(), "text", "raw", "button", "dimmer", "dimmer_steps", "firmware_version"}
)
"""Every name that an item may have."""


class BtHome(msgspec.Struct, frozen=True, kw_only=True):
    """One advertisement. `items` maps names to numbers, booleans and texts, the second of one name with .2 and so on;
    `unreadable` names what was there and cannot be used. `unknown` is the first object id that nobody here knows: what stood
    behind it is not read."""

    items: Mapping[str, object]
    unreadable: Mapping[str, Reason] = {}
    packet_id: int | None = None
    address: str = ""
    triggered: bool = False
    unknown: int | None = None


def parse_bthome(data: bytes) -> BtHome:
    """The service data of FCD2. ParseError: truncated, unsupported_encryption, unsupported_version."""
    if not data:
        raise ParseError(Reason.TRUNCATED, "no information byte", 0)
    information = data[0]
    if information >> 5 != _VERSION:
        raise ParseError(Reason.UNSUPPORTED_VERSION, f"BTHome version {information >> 5}, want {_VERSION}", 0)
    if information & _ENCRYPTED:
        raise ParseError(Reason.UNSUPPORTED_ENCRYPTION, "encrypted, and this gateway keeps no keys: let it speak openly", 0)
    reader = _Reader(data)
    address = reader.take(6)[::-1].hex(":").upper() if information & _ADDRESSED else ""
    while reader.unknown is None and reader.at < len(data):
        reader.read_object()
    packet_id = reader.items.pop("packet_id", None)
    return BtHome(
        items=reader.items,
        unreadable=reader.unreadable,
        packet_id=packet_id if isinstance(packet_id, int) else None,
        address=address,
        triggered=bool(information & _TRIGGERED),
        unknown=reader.unknown,
    )


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 1
        self.items: dict[str, object] = {}
        self.unreadable: dict[str, Reason] = {}
        self.unknown: int | None = None
        self._seen: dict[str, int] = {}

    def take(self, size: int) -> bytes:
        taken = self._data[self.at : self.at + size]
        if len(taken) < size:
            raise ParseError(Reason.TRUNCATED, f"{size} bytes wanted, {len(taken)} are left", self.at)
        self.at += size
        return taken

    def read_object(self) -> None:
        """Read one object."""
        kind = self.take(1)[0]
        if kind in _NUMBERS:
            name, size, signed, factor, places = _NUMBERS[kind]
            raw = int.from_bytes(self.take(size), "little", signed=signed)
            self._add(name, round(raw * factor, places) if places else raw)
        elif kind in _FLAGS:
            self._choose(_FLAGS[kind], self.take(1)[0], {0: False, 1: True})
        elif kind in {_TEXT, _RAW}:
            self._add_text(kind, self.take(self.take(1)[0]))
        elif kind == _BUTTON:
            self._choose("button", self.take(1)[0], _PRESSES)
        elif kind == _DIMMER:
            turn, steps = self.take(2)
            self._choose("dimmer", turn, _TURNS)
            self._add("dimmer_steps", steps)
        elif kind in _FIRMWARE:
            self._add("firmware_version", ".".join(map(str, self.take(_FIRMWARE[kind])[::-1])))
        else:
            self.unknown = kind

    def _add(self, name: str, value: object) -> None:
        self.items[self._named(name)] = value

    def _choose(self, name: str, raw: int, meanings: Mapping[int, object]) -> None:
        if raw in meanings:
            self._add(name, meanings[raw])
        else:
            self.unreadable[self._named(name)] = Reason.NOT_IN_ENUM

    def _add_text(self, kind: int, content: bytes) -> None:
        if kind == _RAW:
            self._add("raw", content.hex())
            return
        try:
            self._add("text", content.decode("utf-8"))
        except UnicodeDecodeError:
            self.unreadable[self._named("text")] = Reason.BAD_FIELD

    def _named(self, name: str) -> str:
        self._seen[name] = self._seen.get(name, 0) + 1
        return name if self._seen[name] == 1 else f"{name}.{self._seen[name]}"


_WRITTEN = {name: kind for kind, (name, *_) in reversed(list(_NUMBERS.items()))} | {name: kind for kind, name in _FLAGS.items()}


def encode_bthome(items: Mapping[str, object], packet_id: int | None = None) -> bytes:
    """Service data that `parse_bthome` reads as `items`, numbers and booleans in the first form that the table has for their
    name; for simulators and tests. ParseError: unknown_metric, out_of_range, wrong_type."""
    objects = {} if packet_id is None else {0x00: bytes([packet_id & 0xFF])}
    for name, value in items.items():
        kind = _WRITTEN.get(name)
        if kind is None or name == "packet_id":
            raise ParseError(Reason.UNKNOWN_METRIC, f"{name!r} has no number in BTHome")
        objects[kind] = _written(kind, name, value)
    return bytes([_VERSION << 5]) + b"".join(bytes([kind]) + objects[kind] for kind in sorted(objects))


def _written(kind: int, name: str, value: object) -> bytes:
    if kind in _FLAGS and isinstance(value, bool):
        return bytes([value])
    if kind in _FLAGS or isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ParseError(Reason.WRONG_TYPE, f"{name}: {value!r}")
    _, size, signed, factor, _ = _NUMBERS[kind]
    try:
        return round(value / factor).to_bytes(size, "little", signed=signed)
    except OverflowError as error:
        raise ParseError(Reason.OUT_OF_RANGE, f"{name}: {value} does not fit {size} bytes") from error
