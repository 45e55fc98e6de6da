"""Modbus frames: PDUs of the common functions, the RTU and TCP envelopes, and a framer for a serial line.

Sources: MODBUS Application Protocol Specification V1.1b3 (PDUs, clause 6; exceptions, clause 7), MODBUS over Serial
Line V1.02 (RTU frame, clause 2.5.1; CRC, clause 6.2.2), MODBUS Messaging on TCP/IP V1.0b (MBAP header, clause 3.1.3).

    RTU   unit 1, PDU, CRC 2 (low byte first)         TCP   transaction 2, protocol 2 (0), length 2, unit 1, PDU
"""

import struct
from collections.abc import Sequence
from enum import IntEnum

import msgspec

from firmware_bridge.errors import ParseError, Refused
from telemetry.reason import Reason

__all__ = [
    "EXCEPTIONS",
    "MAX_RTU_BYTES",
    "ExceptionReply",
    "Function",
    "ReadReply",
    "ReadRequest",
    "RtuFrame",
    "RtuFramer",
    "TcpFrame",
    "WriteReply",
    "WriteRequest",
    "build_reply",
    "build_request",
    "crc16",
    "parse_reply",
    "parse_request",
    "parse_rtu",
    "parse_tcp",
    "rtu_frame",
    "tcp_frame",
]

MAX_RTU_BYTES = 256  # MODBUS over Serial Line V1.02, clause 2.5.1
_MAX_TCP_BYTES = 260  # MODBUS Messaging on TCP/IP V1.0b, clause 3.1.3: 7 bytes of header, 253 of PDU
_MAX_READ = {1: 2000, 2: 2000, 3: 125, 4: 125}  # V1.1b3, clauses 6.1 to 6.4

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


_BITS = frozenset({Function.READ_COILS, Function.READ_DISCRETE_INPUTS})
_READS = frozenset(
    {Function.READ_COILS, Function.READ_DISCRETE_INPUTS, Function.READ_HOLDING_REGISTERS, Function.READ_INPUT_REGISTERS}
)
_SINGLE = frozenset({Function.WRITE_SINGLE_COIL, Function.WRITE_SINGLE_REGISTER})


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


class RtuFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame off a serial line whose CRC is right."""

    unit: int
    pdu: bytes


class TcpFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame off a TCP connection."""

    transaction: int
    unit: int
    pdu: bytes


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS: polynomial A001 reflected, start FFFF (Serial Line V1.02, clause 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """`pdu` for `unit`, with its CRC."""
    head = bytes((unit,)) + pdu
    return head + crc16(head).to_bytes(2, "little")


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """`pdu` for `unit` behind an MBAP header."""
    return struct.pack(">HHHB", transaction & 0xFFFF, 0, len(pdu) + 1, unit) + pdu


def parse_rtu(frame: bytes) -> RtuFrame:
    """The frame, its CRC checked. ParseError: truncated, oversized, bad_checksum."""
    if len(frame) < 4:
        raise ParseError(Reason.TRUNCATED, f"{len(frame)} bytes, want at least 4", len(frame))
    if len(frame) > MAX_RTU_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(frame)} bytes, want at most {MAX_RTU_BYTES}", MAX_RTU_BYTES)
    want = crc16(frame[:-2]).to_bytes(2, "little")
    if frame[-2:] != want:
        raise ParseError(Reason.BAD_CHECKSUM, f"CRC {frame[-2:].hex()}, want {want.hex()}", len(frame) - 2)
    return RtuFrame(unit=frame[0], pdu=frame[1:-2])


def parse_tcp(frame: bytes) -> TcpFrame:
    """The frame behind an MBAP header. ParseError: truncated, oversized, bad_field (protocol), bad_length."""
    if len(frame) < 8:
        raise ParseError(Reason.TRUNCATED, f"{len(frame)} bytes, want at least 8", len(frame))
    transaction, protocol, length, unit = struct.unpack_from(">HHHB", frame)
    if protocol != 0:
        raise ParseError(Reason.BAD_FIELD, f"protocol {protocol}, want 0", 2)
    if len(frame) > _MAX_TCP_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(frame)} bytes, want at most {_MAX_TCP_BYTES}", _MAX_TCP_BYTES)
    if length != len(frame) - 6:
        raise ParseError(Reason.BAD_LENGTH, f"length {length}, but {len(frame) - 6} bytes follow", 4)
    return TcpFrame(transaction=transaction, unit=unit, pdu=frame[7:])


def build_request(request: ReadRequest | WriteRequest) -> bytes:
    """The request's PDU."""
    if isinstance(request, ReadRequest):
        return struct.pack(">BHH", request.function, request.address, request.count)
    if request.function in _SINGLE:
        (value,) = request.values
        on_wire = (0xFF00 if value else 0) if request.function is Function.WRITE_SINGLE_COIL else int(value)
        return struct.pack(">BHH", request.function, request.address, on_wire)
    data = _pack_values(request.function, request.values)
    return struct.pack(">BHHB", request.function, request.address, len(request.values), len(data)) + data


def build_reply(reply: ReadReply | WriteReply | ExceptionReply) -> bytes:
    """The reply's PDU."""
    match reply:
        case ReadReply():
            data = _pack_values(reply.function, reply.values)
            return bytes((reply.function, len(data))) + data
        case WriteReply():
            return struct.pack(">BHH", reply.function, reply.address, reply.value)
        case ExceptionReply():
            return bytes((reply.function | 0x80, reply.code))


def parse_request(pdu: bytes) -> ReadRequest | WriteRequest:
    """A request's PDU. ParseError: truncated, bad_length, bad_field, unknown_message (function)."""
    function = _function(pdu)
    _need(pdu, 5)
    address, second = struct.unpack_from(">HH", pdu, 1)
    if function in _READS:
        _exactly(pdu, 5)
        if not 1 <= second <= _MAX_READ[function]:
            raise ParseError(Reason.BAD_FIELD, f"quantity {second}, want 1 to {_MAX_READ[function]}", 3)
        return ReadRequest(function=function, address=address, count=second)
    if function in _SINGLE:
        _exactly(pdu, 5)
        return WriteRequest(function=function, address=address, values=(_single(function, second),))
    _need(pdu, 6)
    _exactly(pdu, 6 + pdu[5])
    values = _unpack_values(function, pdu[6:])
    want = (second + 7) // 8 if function is Function.WRITE_MULTIPLE_COILS else 2 * second
    if pdu[5] != want or not second:
        raise ParseError(Reason.BAD_LENGTH, f"{pdu[5]} bytes for {second} values, want {want}", 5)
    return WriteRequest(function=function, address=address, values=values[:second])


def parse_reply(pdu: bytes) -> ReadReply | WriteReply | ExceptionReply:
    """A reply's PDU. ParseError: truncated, bad_length, unknown_message (function)."""
    if pdu and pdu[0] & 0x80:
        _exactly(pdu, 2)
        return ExceptionReply(function=pdu[0] & 0x7F, code=pdu[1])
    function = _function(pdu)
    _need(pdu, 2)
    if function in _READS:
        _exactly(pdu, 2 + pdu[1])
        return ReadReply(function=function, values=_unpack_values(function, pdu[2:]))
    _exactly(pdu, 5)
    address, value = struct.unpack_from(">HH", pdu, 1)
    return WriteReply(function=function, address=address, value=value)


class RtuFramer:
    """Cuts a serial line's bytes into frames by length and CRC, whoever speaks: requests and replies alike.

    Bytes that begin no frame are given up one by one until one does, and come out together as one refusal. A frame
    whose length byte lies waits for bytes that never come: `idle`, told when the line has been quiet, looks
    through them for the good frames behind it. Never holds more than 256 bytes of frame and 256 of noise.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._noise = bytearray()

    def feed(self, data: bytes) -> list[RtuFrame | Refused]:
        """The frames that `data` completes, in order."""
        out: list[RtuFrame | Refused] = []
        for start in range(0, len(data), MAX_RTU_BYTES):
            self._buffer += data[start : start + MAX_RTU_BYTES]
            self._drain(out, quiet=False)
        return out

    def idle(self) -> list[RtuFrame | Refused]:
        """What is left once the line has gone quiet: any frames in it, and the rest as refused."""
        out: list[RtuFrame | Refused] = []
        self._drain(out, quiet=True)
        self._give_up(out)
        return out

    def _drain(self, out: list[RtuFrame | Refused], *, quiet: bool) -> None:
        while self._buffer:
            sizes = _possible_sizes(self._buffer)
            size = next((s for s in sizes if s <= len(self._buffer) and _crc_fits(self._buffer, s)), None)
            if size is not None:
                self._give_up(out)
                out.append(parse_rtu(bytes(self._buffer[:size])))
                del self._buffer[:size]
            elif quiet or all(s <= len(self._buffer) for s in sizes):
                self._noise.append(self._buffer.pop(0))
                if len(self._noise) == MAX_RTU_BYTES:
                    self._give_up(out)
            else:
                return

    def _give_up(self, out: list[RtuFrame | Refused]) -> None:
        if self._noise:
            out.append(
                Refused(reason=Reason.BAD_CHECKSUM, detail=f"{len(self._noise)} bytes that make no frame", raw=bytes(self._noise))
            )
            self._noise.clear()


def _possible_sizes(data: bytearray) -> tuple[int, ...]:
    """The sizes, smallest first, that a frame beginning with `data` may have; the largest of all while they cannot be told."""
    if len(data) < 2:
        return (MAX_RTU_BYTES,)
    function = data[1]
    if function & 0x80:
        return (5,)
    if function in _READS:
        return (8,) if len(data) < 3 else tuple(sorted({8, min(5 + data[2], MAX_RTU_BYTES)}))
    if function in _SINGLE:
        return (8,)
    if function in {Function.WRITE_MULTIPLE_COILS, Function.WRITE_MULTIPLE_REGISTERS}:
        return (8, min(9 + data[6], MAX_RTU_BYTES)) if len(data) > 6 else (8,)
    return ()


def _crc_fits(data: bytearray, size: int) -> bool:
    return crc16(bytes(data[: size - 2])) == int.from_bytes(data[size - 2 : size], "little")


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
