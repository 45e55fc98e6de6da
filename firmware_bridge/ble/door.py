"""The maintenance door: orders and answers of our own over Nordic's UART service.

    c7 | length 2 | type 1 | serial 1 | body | CRC 2

Numbers are big-endian; the length counts type, serial and body; the CRC is CRC-16/CCITT-FALSE (polynomial 1021, start FFFF) over
length to body. An answer repeats the serial of its order. A notification carries MTU - 3 bytes, 20 where nothing was agreed
on, so that frames come in pieces.

    01 order     code 1, argument 4 (signed)
    81 answer    code 1, result 1, value 4 (signed): what the device holds afterwards

The framing is citynerve's; the service is Nordic Semiconductor's: 6E400001, RX 6E400002 (written), TX 6E400003 (notifies).
"""

import binascii
import struct
from enum import IntEnum

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.resync import ResyncFramer
from telemetry.reason import Reason

__all__ = [
    "MAX_FRAME_BYTES",
    "PIECE",
    "RX",
    "SERVICE",
    "TX",
    "Answer",
    "DoorFramer",
    "Frame",
    "FrameType",
    "Order",
    "Result",
    "encode_answer",
    "encode_frame",
    "encode_order",
    "parse_answer",
    "parse_frame",
    "parse_order",
    "pieces",
]

_UUID = "6e40000{}-b5a3-f393-e0a9-e50e24dcca9e"
SERVICE, RX, TX = (_UUID.format(number) for number in (1, 2, 3))
PIECE = 20
"""Bytes of one write where no larger MTU was agreed on (core specification: MTU 23, three of them taken)."""

_START = 0xC7
_HEAD = struct.Struct(">BH")
_MAX_LENGTH = 258
MAX_FRAME_BYTES = _HEAD.size + _MAX_LENGTH + 2
_ORDER = struct.Struct(">Bi")
_ANSWER = struct.Struct(">BBi")


class FrameType(IntEnum):
    ORDER = 0x01
    ANSWER = 0x81


class Result(IntEnum):
    """What became of an order."""

    DONE = 0
    UNKNOWN_ORDER = 1
    OUT_OF_RANGE = 2
    NOT_NOW = 3
    FAILED = 4


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame whose CRC is right."""

    type: int
    serial: int
    body: bytes = b""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    argument: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`result` is a Result, or another number of a newer device."""

    code: int
    result: int
    value: int = 0


class DoorFramer(ResyncFramer[Frame]):
    """Frames out of notifications, whatever stands between them."""

    def __init__(self) -> None:
        super().__init__(starts=(bytes([_START]),), measure=_measure, parse=parse_frame, head=_HEAD.size, limit=MAX_FRAME_BYTES)


def _measure(head: bytes) -> int:
    if len(head) < _HEAD.size:
        return 0
    length = int(_HEAD.unpack(head)[1])
    if not 2 <= length <= _MAX_LENGTH:
        raise ParseError(Reason.BAD_LENGTH, f"length {length}, want 2 to {_MAX_LENGTH}", 1)
    return _HEAD.size + length + 2


def parse_frame(raw: bytes) -> Frame:
    """The frame in exactly `raw`. ParseError: truncated, bad_start, bad_length, bad_checksum."""
    if len(raw) < _HEAD.size + 4:
        raise ParseError(Reason.TRUNCATED, f"{len(raw)} bytes, want {_HEAD.size + 4} or more", len(raw))
    if raw[0] != _START:
        raise ParseError(Reason.BAD_START, f"{raw[0]:#04x}, want {_START:#04x}", 0)
    size = _measure(raw[: _HEAD.size])
    if size != len(raw):
        raise ParseError(Reason.BAD_LENGTH, f"a frame of {size} bytes in {len(raw)}", 1)
    told, counted = int.from_bytes(raw[-2:], "big"), _crc(raw[1:-2])
    if told != counted:
        raise ParseError(Reason.BAD_CHECKSUM, f"CRC {told:#06x}, want {counted:#06x}", len(raw) - 2)
    return Frame(type=raw[3], serial=raw[4], body=raw[5:-2])


def _crc(data: bytes) -> int:
    return binascii.crc_hqx(data, 0xFFFF)


def parse_order(frame: Frame) -> Order:
    """The order in a frame. ParseError: unknown_message, bad_length."""
    code, argument = _unpack(frame, FrameType.ORDER, _ORDER)
    return Order(code=code, argument=argument)


def parse_answer(frame: Frame) -> Answer:
    """The answer in a frame. ParseError: unknown_message, bad_length."""
    code, result, value = _unpack(frame, FrameType.ANSWER, _ANSWER)
    return Answer(code=code, result=result, value=value)


def _unpack(frame: Frame, wanted: FrameType, layout: struct.Struct) -> tuple[int, ...]:
    if frame.type != wanted:
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"type {frame.type:#04x}, want {wanted:#04x}", 3)
    if len(frame.body) != layout.size:
        raise ParseError(Reason.BAD_LENGTH, f"{len(frame.body)} bytes of body, want {layout.size}", 5)
    return layout.unpack(frame.body)


def encode_frame(frame: Frame) -> bytes:
    """The bytes of `frame`. ParseError(oversized) for a body of more than 256 bytes."""
    length = 2 + len(frame.body)
    if length > _MAX_LENGTH:
        raise ParseError(Reason.OVERSIZED, f"{len(frame.body)} bytes of body, want at most {_MAX_LENGTH - 2}")
    counted = length.to_bytes(2, "big") + bytes([frame.type & 0xFF, frame.serial & 0xFF]) + frame.body
    return bytes([_START]) + counted + _crc(counted).to_bytes(2, "big")


def encode_order(serial: int, order: Order) -> bytes:
    """The frame of an order. ParseError(out_of_range) where the numbers do not fit."""
    return encode_frame(Frame(type=FrameType.ORDER, serial=serial, body=_pack(_ORDER, order.code, order.argument)))


def encode_answer(serial: int, answer: Answer) -> bytes:
    """The frame of an answer; for simulators and tests."""
    body = _pack(_ANSWER, answer.code, answer.result, answer.value)
    return encode_frame(Frame(type=FrameType.ANSWER, serial=serial, body=body))


def _pack(layout: struct.Struct, *numbers: int) -> bytes:
    try:
        return layout.pack(*numbers)
    except struct.error as error:
        raise ParseError(Reason.OUT_OF_RANGE, f"{numbers}: {error}") from error


def pieces(data: bytes, size: int = PIECE) -> list[bytes]:
    """What one write after the other carries."""
    return [data[at : at + size] for at in range(0, len(data), size)]
