"""Modbus PDUs: requests and replies of the functions that the product speaks, exceptions among them.

Source: MODBUS Application Protocol Specification V1.1b3, clause 6 (functions) and clause 7 (exceptions).
"""

import struct
from collections.abc import Sequence
from enum import IntEnum

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.files import (
    FileData,
    FileRead,
    FileWrite,
    build_file_reply,
    build_file_request,
    parse_file_reply,
    parse_file_request,
)
from telemetry.reason import Reason

__all__ = [
    "EXCEPTIONS",
    "FILES",
    "READS",
    "SINGLE",
    "ExceptionReply",
    "Function",
    "MaskWrite",
    "ReadReply",
    "ReadRequest",
    "Reply",
    "Request",
    "WriteReply",
    "WriteRequest",
    "build_reply",
    "build_request",
    "parse_reply",
    "parse_request",
]

_MAX_READ = {1: 2000, 2: 2000, 3: 125, 4: 125}  # clauses 6.1 to 6.4

EXCEPTIONS = {  # V1.1b3, clause 7
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}


class Function(IntEnum):
    """The function codes that the product speaks."""

    READ_COILS = 1
    READ_DISCRETE_INPUTS = 2
    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_SINGLE_COIL = 5
    WRITE_SINGLE_REGISTER = 6
    WRITE_MULTIPLE_COILS = 15
    WRITE_MULTIPLE_REGISTERS = 16
    READ_FILE_RECORD = 20
    WRITE_FILE_RECORD = 21
    MASK_WRITE_REGISTER = 22


_BITS = frozenset({Function.READ_COILS, Function.READ_DISCRETE_INPUTS})
READS = frozenset(
    {Function.READ_COILS, Function.READ_DISCRETE_INPUTS, Function.READ_HOLDING_REGISTERS, Function.READ_INPUT_REGISTERS}
)
SINGLE = frozenset({Function.WRITE_SINGLE_COIL, Function.WRITE_SINGLE_REGISTER})
FILES = frozenset({Function.READ_FILE_RECORD, Function.WRITE_FILE_RECORD})


class ReadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Functions 1 to 4: `count` coils or registers from zero-based `address` on."""

    function: Function
    address: int
    count: int


class WriteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Functions 5, 6, 15 and 16: coils as booleans, registers as 0 to 65535."""

    function: Function
    address: int
    values: tuple[int | bool, ...]


class MaskWrite(msgspec.Struct, frozen=True, kw_only=True):
    """Function 22, request and reply alike: the register becomes (register AND and_mask) OR (or_mask AND NOT and_mask)."""

    address: int
    and_mask: int
    or_mask: int


class ReadReply(msgspec.Struct, frozen=True, kw_only=True):
    """Functions 1 to 4. Coils come in whole bytes: the caller cuts them to the count it asked for."""

    function: Function
    values: tuple[int | bool, ...]


class WriteReply(msgspec.Struct, frozen=True, kw_only=True):
    """Functions 5, 6, 15 and 16: for one value `value` is its echo, for several their number."""

    function: Function
    address: int
    value: int


class ExceptionReply(msgspec.Struct, frozen=True, kw_only=True):
    """The unit says no. `code` is one of EXCEPTIONS, or the vendor's own."""

    function: int
    code: int


Request = ReadRequest | WriteRequest | MaskWrite | FileRead | FileWrite
Reply = ReadReply | WriteReply | MaskWrite | FileData | FileWrite | ExceptionReply


def build_request(request: Request) -> bytes:
    """The request's PDU."""
    if isinstance(request, MaskWrite):
        return _mask_pdu(request)
    if isinstance(request, FileRead | FileWrite):
        return build_file_request(request)
    if isinstance(request, ReadRequest):
        return struct.pack(">BHH", request.function, request.address, request.count)
    if request.function in SINGLE:
        (value,) = request.values
        on_wire = (0xFF00 if value else 0) if request.function is Function.WRITE_SINGLE_COIL else int(value)
        return struct.pack(">BHH", request.function, request.address, on_wire)
    data = _pack_values(request.function, request.values)
    return struct.pack(">BHHB", request.function, request.address, len(request.values), len(data)) + data


def _mask_pdu(mask: MaskWrite) -> bytes:
    return struct.pack(">BHHH", Function.MASK_WRITE_REGISTER, mask.address, mask.and_mask, mask.or_mask)


def _parse_mask(pdu: bytes) -> MaskWrite:
    _exactly(pdu, 7)
    address, and_mask, or_mask = struct.unpack_from(">HHH", pdu, 1)
    return MaskWrite(address=address, and_mask=and_mask, or_mask=or_mask)


def build_reply(reply: Reply) -> bytes:
    """The reply's PDU."""
    match reply:
        case MaskWrite():
            return _mask_pdu(reply)
        case FileData() | FileWrite():
            return build_file_reply(reply)
        case ReadReply():
            data = _pack_values(reply.function, reply.values)
            return bytes((reply.function, len(data))) + data
        case WriteReply():
            return struct.pack(">BHH", reply.function, reply.address, reply.value)
        case ExceptionReply():
            return bytes((reply.function | 0x80, reply.code))


def parse_request(pdu: bytes) -> Request:
    """A request's PDU. ParseError: truncated, bad_length, bad_field, unknown_message (function)."""
    function = _function(pdu)
    if function is Function.MASK_WRITE_REGISTER:
        return _parse_mask(pdu)
    if function in FILES:
        return parse_file_request(pdu)
    _need(pdu, 5)
    address, second = struct.unpack_from(">HH", pdu, 1)
    if function in READS:
        _exactly(pdu, 5)
        if not 1 <= second <= _MAX_READ[function]:
            raise ParseError(Reason.BAD_FIELD, f"quantity {second}, want 1 to {_MAX_READ[function]}", 3)
        return ReadRequest(function=function, address=address, count=second)
    if function in SINGLE:
        _exactly(pdu, 5)
        return WriteRequest(function=function, address=address, values=(_single(function, second),))
    _need(pdu, 6)
    _exactly(pdu, 6 + pdu[5])
    values = _unpack_values(function, pdu[6:])
    want = (second + 7) // 8 if function is Function.WRITE_MULTIPLE_COILS else 2 * second
    if pdu[5] != want or not second:
        raise ParseError(Reason.BAD_LENGTH, f"{pdu[5]} bytes for {second} values, want {want}", 5)
    return WriteRequest(function=function, address=address, values=values[:second])


def parse_reply(pdu: bytes) -> Reply:
    """A reply's PDU. ParseError: truncated, bad_length, unknown_message (function)."""
    if pdu and pdu[0] & 0x80:
        _exactly(pdu, 2)
        return ExceptionReply(function=pdu[0] & 0x7F, code=pdu[1])
    function = _function(pdu)
    if function is Function.MASK_WRITE_REGISTER:
        return _parse_mask(pdu)
    if function in FILES:
        return parse_file_reply(pdu)
    _need(pdu, 2)
    if function in READS:
        _exactly(pdu, 2 + pdu[1])
        return ReadReply(function=function, values=_unpack_values(function, pdu[2:]))
    _exactly(pdu, 5)
    address, value = struct.unpack_from(">HH", pdu, 1)
    return WriteReply(function=function, address=address, value=value)


def _function(pdu: bytes) -> Function:
    if not pdu:
        raise ParseError(Reason.TRUNCATED, "no function code", 0)
    try:
        return Function(pdu[0])
    except ValueError:
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"function {pdu[0]}, want one of {[int(f) for f in Function]}", 0) from None


def _need(pdu: bytes, size: int) -> None:
    if len(pdu) < size:
        raise ParseError(Reason.TRUNCATED, f"{len(pdu)} bytes, want at least {size}", len(pdu))


def _exactly(pdu: bytes, size: int) -> None:
    _need(pdu, size)
    if len(pdu) != size:
        raise ParseError(Reason.BAD_LENGTH, f"{len(pdu)} bytes, want {size}", size)


def _single(function: Function, word: int) -> int | bool:
    if function is Function.WRITE_SINGLE_REGISTER:
        return word
    if word not in {0, 0xFF00}:
        raise ParseError(Reason.BAD_FIELD, f"coil value {word:#06x}, want 0x0000 or 0xff00", 3)
    return word == 0xFF00


def _is_bits(function: Function) -> bool:
    return function in _BITS or function is Function.WRITE_MULTIPLE_COILS


def _unpack_values(function: Function, data: bytes) -> tuple[int | bool, ...]:
    if _is_bits(function):
        return tuple(bool(byte >> bit & 1) for byte in data for bit in range(8))
    if len(data) % 2:
        raise ParseError(Reason.BAD_LENGTH, f"{len(data)} bytes of registers, want an even number", 1)
    return struct.unpack(f">{len(data) // 2}H", data)


def _pack_values(function: Function, values: Sequence[int | bool]) -> bytes:
    if not _is_bits(function):
        return struct.pack(f">{len(values)}H", *values)
    packed = bytearray((len(values) + 7) // 8)
    for position, value in enumerate(values):
        packed[position // 8] |= bool(value) << position % 8
    return bytes(packed)
