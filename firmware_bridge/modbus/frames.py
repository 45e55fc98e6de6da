"""Modbus envelopes: RTU and TCP frames, and a framer for a serial line.

Sources: MODBUS over Serial Line V1.02 (RTU frame, clause 2.5.1; CRC, clause 6.2.2), MODBUS Messaging on TCP/IP V1.0b (MBAP
header, clause 3.1.3). What lies inside is in `firmware_bridge.modbus.pdus`.

    RTU   unit 1, PDU, CRC 2 (low byte first)         TCP   transaction 2, protocol 2 (0), length 2, unit 1, PDU
"""

import struct

import msgspec

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.modbus.pdus import FILES, READS, SINGLE, Function
from telemetry.reason import Reason

__all__ = [
    "MAX_RTU_BYTES",
    "RtuFrame",
    "RtuFramer",
    "TcpFrame",
    "crc16",
    "parse_rtu",
    "parse_tcp",
    "rtu_frame",
    "tcp_frame",
]

MAX_RTU_BYTES = 256  # MODBUS over Serial Line V1.02, clause 2.5.1
_MAX_TCP_BYTES = 260  # MODBUS Messaging on TCP/IP V1.0b, clause 3.1.3: 7 bytes of header, 253 of PDU


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
    if function in READS:
        return (8,) if len(data) < 3 else tuple(sorted({8, min(5 + data[2], MAX_RTU_BYTES)}))
    if function in SINGLE:
        return (8,)
    if function in {Function.WRITE_MULTIPLE_COILS, Function.WRITE_MULTIPLE_REGISTERS}:
        return (8, min(9 + data[6], MAX_RTU_BYTES)) if len(data) > 6 else (8,)
    if function in FILES:
        return (min(5 + data[2], MAX_RTU_BYTES),) if len(data) > 2 else (MAX_RTU_BYTES,)
    if function == Function.MASK_WRITE_REGISTER:
        return (10,)
    return ()


def _crc_fits(data: bytearray, size: int) -> bool:
    return crc16(bytes(data[: size - 2])) == int.from_bytes(data[size - 2 : size], "little")
