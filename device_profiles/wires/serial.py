"""A device on a serial line: what it says, in binary frames or lines of text, and how it is asked."""

from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.serial_binary import BinaryField, BinaryLayout, BinaryMessage, binary_rows, hex_bytes, read_binary
from device_profiles.wires.serial_lines import LineChecksum, LineField, LineLayout, LineMessage, Place, line_rows, read_lines

__all__ = [
    "ADDRESS",
    "BinaryField",
    "BinaryLayout",
    "BinaryMessage",
    "LineChecksum",
    "LineField",
    "LineLayout",
    "LineMessage",
    "Place",
    "SerialWire",
    "read_serial",
    "serial_rows",
]

ADDRESS = b"{address}"
"""What the device's address takes the place of in a question of text."""


class SerialWire(msgspec.Struct, frozen=True, kw_only=True):
    """A device on a serial line that sends `layout` on its own, or answers it to `poll`; None when it speaks unasked.

    A binary poll is a frame whose hole for the address is at `poll_address_at`, the layout's checksum and end appended. A
    poll of text is sent as it is, `{address}` replaced by the address in at least `poll_digits` characters; with
    `poll_checked` the layout's checksum and end are appended to it, too.
    """

    layout: BinaryLayout | LineLayout
    poll: bytes | None = None
    poll_address_at: int = 0
    poll_digits: int = 1
    poll_checked: bool = False
    poll_s: float = 10.0
    timeout_s: float = 1.0


def read_serial(branch: Branch, metrics: Mapping[str, Metric]) -> SerialWire:
    """The layout's keys and how the device is asked, if it must be."""
    lines = branch.optional("lines")
    layout = read_binary(branch, metrics) if lines is None else read_lines(lines, metrics)
    poll = branch.optional("poll")
    wire = SerialWire(
        layout=layout,
        poll_s=branch.number("poll_s", 10.0, low=0.1, high=86400),
        timeout_s=branch.number("timeout_s", 1.0, low=0.05, high=60),
    )
    branch.finish()
    return wire if poll is None else _polled(poll, wire)


def _polled(branch: Branch, wire: SerialWire) -> SerialWire:
    layout = wire.layout
    if isinstance(layout, LineLayout):
        text = branch.quoted("text")
        if not text or not text.isascii():
            branch.wrong("text", f"{text[:40]!r} is not ASCII", 'the question in quotes: "#{address}R\\r\\n"')
        digits = branch.integer("digits", 1, low=1, high=16)
        checked = branch.flag("checksum", default=False)
        if checked and layout.checksum.kind == "none":
            branch.wrong("checksum", "the lines have none", "checksum: {kind: ...} under lines")
        branch.finish()
        question = text.encode("ascii", errors="replace")
        return msgspec.structs.replace(wire, poll=question, poll_digits=digits, poll_checked=checked)
    frame = hex_bytes(branch, "frame")
    needs_hole = layout.address_at is not None
    hole = branch.integer("address_at", None if needs_hole else 0, low=0, high=max(len(frame) - layout.address_size, 0))
    branch.finish()
    return msgspec.structs.replace(wire, poll=frame, poll_address_at=hole)


def serial_rows(wire: SerialWire) -> Iterator[Row]:
    """The map as a person reads it."""
    return line_rows(wire.layout) if isinstance(wire.layout, LineLayout) else binary_rows(wire.layout)
