"""Any bytes through everything that reads Modbus: a serial line, single frames, PDUs both ways, a profile's registers."""

import json

from device_profiles.loader import load_profile
from device_profiles.shelf import catalog_path
from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.frames import RtuFrame, RtuFramer, parse_rtu
from firmware_bridge.modbus.pdus import build_reply, build_request, parse_reply, parse_request
from firmware_bridge.modbus.plan import plan_reads
from firmware_bridge.modbus.reader import RegisterReader
from firmware_bridge.modbus.record import LANGUAGES

LAMP = load_profile(catalog_path() / "lamp_loop")
WIRE = LAMP.wire.modbus
assert WIRE is not None
BLOCKS = plan_reads(WIRE)
READER = RegisterReader(LAMP, BLOCKS)

SEEDS = (bytes.fromhex("01 04 00 00 00 12 70 07"), bytes.fromhex("01 03 02 00 50 B8 78"), bytes.fromhex("07 84 02 22 C0"))
"""A question, an answer and an exception, each with its CRC."""


def bitwise_crc(data: bytes) -> bytes:
    """CRC-16/MODBUS as the standard's flow chart draws it, apart from the table that the product uses."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError; a frame that is believed has the right CRC; a line's bytes are all accounted for."""
    _frame(data)
    _line(data)
    for pdu in (data, data[1:]):
        _pdu(pdu)
    _registers(data)


def _frame(data: bytes) -> None:
    for language in LANGUAGES.values():
        try:
            json.dumps(language.describe(data), allow_nan=False)
            shown = language.explain(data)
        except ParseError:
            continue
        assert all(0 <= field.at <= field.at + field.size <= len(data) for field in shown)
    for raw in (data, data[:-2] + bitwise_crc(data[:-2])):
        try:
            frame = parse_rtu(raw)
        except ParseError:
            continue
        assert raw == _rebuilt(frame), "a frame with a wrong CRC was believed"
        _pdu(frame.pdu)


def _rebuilt(frame: RtuFrame) -> bytes:
    head = bytes((frame.unit,)) + frame.pdu
    return head + bitwise_crc(head)


def _line(data: bytes) -> None:
    framer = RtuFramer()
    said = [one for at in range(0, len(data), 5) for one in framer.feed(data[at : at + 5])] + framer.idle()
    assert b"".join(_rebuilt(one) if isinstance(one, RtuFrame) else one.raw for one in said) == data


def _pdu(pdu: bytes) -> None:
    try:
        request = parse_request(pdu)
    except ParseError:
        pass
    else:
        assert parse_request(build_request(request)) == request
    try:
        reply = parse_reply(pdu)
    except ParseError:
        return
    assert parse_reply(build_reply(reply)) == reply


def _registers(data: bytes) -> None:
    decoded = READER.read(dict.fromkeys(BLOCKS, data))
    assert decoded.values.keys() == LAMP.metrics.keys()
    json.dumps(decoded.values, allow_nan=False)
