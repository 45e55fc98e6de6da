"""Values of the standard characteristics that a gateway reads: battery, device information, environmental sensing.

Source: Bluetooth Assigned Numbers, 3.8 (characteristics), and GATT Specification Supplement. Ammonia (2BCF) is left out: its
half-precision "medfloat16" was not to be verified here.
"""

from collections.abc import Mapping

import msgspec

from firmware_bridge.ble.advertising import uuid_of
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["CHARACTERISTICS", "Characteristic", "encode_value", "parse_value"]

_MAX_TEXT = 512  # the longest attribute value, core specification volume 3, part F, 3.2.9


class Characteristic(msgspec.Struct, frozen=True, kw_only=True):
    """One characteristic: `size` bytes, low byte first, in steps of `10 ** -places`; size 0 is a text. `none` is the raw number
    that means "not known"."""

    uuid: str
    size: int = 0
    signed: bool = False
    places: int = 0
    none: int | None = None


def _number(short: int, size: int, places: int = 0, *, signed: bool = False, none: int | None = None) -> Characteristic:
    return Characteristic(uuid=uuid_of(short), size=size, signed=signed, places=places, none=none)


def _text(short: int) -> Characteristic:
    return Characteristic(uuid=uuid_of(short))


CHARACTERISTICS: Mapping[str, Characteristic] = {
    "battery_level": _number(0x2A19, 1),  # %
    "temperature": _number(0x2A6E, 2, 2, signed=True, none=-0x8000),  # degrees Celsius
    "humidity": _number(0x2A6F, 2, 2, none=0xFFFF),  # %
    "pressure": _number(0x2A6D, 4, 1),  # Pa
    "illuminance": _number(0x2AFB, 3, 2, none=0xFFFFFF),  # lx
    "model_number": _text(0x2A24),
    "serial_number": _text(0x2A25),
    "firmware_revision": _text(0x2A26),
    "hardware_revision": _text(0x2A27),
    "software_revision": _text(0x2A28),
    "manufacturer_name": _text(0x2A29),
}


def parse_value(name: str, data: bytes) -> int | float | str | None:
    """The value of a characteristic, None where the device does not know it. ParseError: unknown_metric, bad_length,
    oversized, bad_field (a text that is not UTF-8)."""
    kind = _known(name)
    if not kind.size:
        return _read_text(data)
    if len(data) != kind.size:
        raise ParseError(Reason.BAD_LENGTH, f"{name}: {len(data)} bytes, want {kind.size}")
    raw = int.from_bytes(data, "little", signed=kind.signed)
    if raw == kind.none:
        return None
    return round(raw * 10.0**-kind.places, kind.places) if kind.places else raw


def _read_text(data: bytes) -> str:
    if len(data) > _MAX_TEXT:
        raise ParseError(Reason.OVERSIZED, f"{len(data)} bytes, want at most {_MAX_TEXT}", _MAX_TEXT)
    try:
        return data.decode("utf-8").strip("\0 ")
    except UnicodeDecodeError as error:
        raise ParseError(Reason.BAD_FIELD, "a text that is not UTF-8", error.start) from error


def encode_value(name: str, value: float | str | None) -> bytes:
    """The bytes of a value; for simulators and tests. ParseError: unknown_metric, wrong_type, no_value, out_of_range."""
    kind = _known(name)
    if isinstance(value, str) == bool(kind.size) and value is not None:
        raise ParseError(Reason.WRONG_TYPE, f"{name}: {value!r}")
    if isinstance(value, str):
        return value.encode()
    if value is None and kind.none is None:
        raise ParseError(Reason.NO_VALUE, f"{name} has no word for none")
    raw = kind.none if value is None else round(value * 10**kind.places)
    try:
        return (raw or 0).to_bytes(kind.size, "little", signed=kind.signed)
    except OverflowError as error:
        raise ParseError(Reason.OUT_OF_RANGE, f"{name}: {value} does not fit {kind.size} bytes") from error


def _known(name: str) -> Characteristic:
    if name not in CHARACTERISTICS:
        raise ParseError(Reason.UNKNOWN_METRIC, f"{name!r} is no characteristic that is read")
    return CHARACTERISTICS[name]
