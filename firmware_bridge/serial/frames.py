"""A serial device's frames, binary or lines of text: one door for whoever does not care which."""

from collections.abc import Mapping

from device_profiles.model import Profile
from device_profiles.wires.serial import BinaryLayout, LineLayout, SerialWire
from firmware_bridge.errors import ParseError
from firmware_bridge.serial.encoding import encode_line, poll_line
from firmware_bridge.serial.layout import LayoutFramer, address_of, decode_frame, encode_frame, poll_frame
from firmware_bridge.serial.lines import LineFramer, decode_line, line_address
from firmware_bridge.values import Decoded
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["canonical_address", "framer", "question", "read_frame", "speaker", "write_frame"]

Layout = BinaryLayout | LineLayout


def framer(layout: Layout) -> LayoutFramer | LineFramer:
    """What cuts the line's bytes into this layout's frames."""
    return LineFramer(layout) if isinstance(layout, LineLayout) else LayoutFramer(layout)


def canonical_address(layout: Layout, address: str) -> str | None:
    """A configured address as `speaker` tells it, None where the layout has none.

    ParseError(out_of_range) where no frame of the layout can hold it.
    """
    if isinstance(layout, LineLayout):
        return None if layout.address is None else address.lstrip("0") or "0"
    if layout.address_at is None:
        return None
    most = (1 << 8 * layout.address_size) - 1
    if not (address.isascii() and address.isdigit() and int(address) <= most):
        raise ParseError(Reason.OUT_OF_RANGE, f"address {address!r}, want a unit number from 0 to {most}")
    return str(int(address))


def speaker(layout: Layout, frame: bytes) -> str | None:
    """The address in a frame that the framer gave out, None where the layout has none; ParseError where it is empty."""
    if isinstance(layout, LineLayout):
        return line_address(layout, frame)
    number = address_of(layout, frame)
    return None if number is None else str(number)


def read_frame(profile: Profile, frame: bytes) -> tuple[str | None, Decoded]:
    """Who sent a frame, and its values; ParseError where it is not whole, or no message of the profile."""
    if isinstance(_wire(profile).layout, LineLayout):
        return decode_line(profile, frame)
    number, decoded = decode_frame(profile, frame)
    return None if number is None else str(number), decoded


def write_frame(profile: Profile, address: str, values: Mapping[str, Value], which: int = 0) -> bytes:
    """The frame that `read_frame` reads as `values`, of the layout's message number `which`, counted from 0.

    ParseError where a value has no wire form.
    """
    layout = _wire(profile).layout
    if isinstance(layout, LineLayout):
        return encode_line(profile, address, values, layout.messages[which].tag)
    return encode_frame(profile, _number(layout, address), values, layout.messages[which].type_value)


def question(wire: SerialWire, address: str) -> bytes | None:
    """The question to the device at `address`, None for one that speaks unasked."""
    if isinstance(wire.layout, LineLayout):
        return poll_line(wire, address)
    return poll_frame(wire, _number(wire.layout, address))


def _number(layout: BinaryLayout, address: str) -> int:
    return int(canonical_address(layout, address) or 0)


def _wire(profile: Profile) -> SerialWire:
    if profile.wire.serial is None:
        raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} has no serial wire")
    return profile.wire.serial
