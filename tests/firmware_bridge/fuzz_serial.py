"""Any bytes on the serial line of a device whose frame is laid out by its profile."""

import json

from fuzz_modbus import bitwise_crc

from device_profiles.loader import load_profile
from device_profiles.shelf import catalog_path
from firmware_bridge.errors import ParseError
from firmware_bridge.serial.frames import framer as cutter
from firmware_bridge.serial.layout import decode_frame

NODE = load_profile(catalog_path() / "toilet_node_serial")
START, CHECKED_FROM = b"\xaa\x55", 2

SEEDS = (bytes.fromhex("AA 55 03 01 0C 00 80 00 04 FF F1 02 8F 05 01 2F 30 3F 6F"), bytes.fromhex("AA 55 03 02 00 80 A0"))
"""A reading and a poll, as the model's README lays them out."""


def framed(data: bytes) -> bytes:
    """A frame whose length and checksum are right, however odd what it carries is."""
    body = START + b"\x03\x01" + bytes((len(data[:57]),)) + data[:57]
    return body + bitwise_crc(body[CHECKED_FROM:])


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError; no byte of a line is lost, and a frame that is believed has the right checksum."""
    for raw in (data, framed(data), data[:20] + framed(data) + data[20:]):
        _line(raw)
        _frame(raw)


def _line(raw: bytes) -> None:
    wire = NODE.wire.serial
    assert wire is not None
    framer = cutter(wire.layout)
    said = [one for at in range(0, len(raw), 5) for one in framer.feed(raw[at : at + 5])] + framer.idle()
    assert b"".join(one if isinstance(one, bytes) else one.raw for one in said) == raw
    for one in said:
        if isinstance(one, bytes):
            assert one[-2:] == bitwise_crc(one[CHECKED_FROM:-2]), "a frame with a wrong checksum was believed"
            _frame(one)


def _frame(raw: bytes) -> None:
    try:
        _, decoded = decode_frame(NODE, raw)
    except ParseError as error:
        assert error.at is None or 0 <= error.at <= len(raw)  # noqa: PT017 (either outcome is right)
        return
    json.dumps(decoded.values, allow_nan=False)
