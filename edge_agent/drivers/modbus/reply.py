"""Is this the reply to that request? Attribution of Modbus replies on a line.

A reply counts when unit, function and length (for a write: the whole echo) are those of the request, on TCP its
transaction too, and the frame is sound; everything else on the line is skipped. So noise in front of a reply costs nothing,
and a late reply to an earlier request is only mistaken for this one where it could not be told apart by any of these;
what is done about that is in `edge_agent.drivers.modbus.line`.
Source: MODBUS Application Protocol V1.1b3, clause 6; MODBUS over Serial Line V1.02, clause 2.5.1; MODBUS Messaging on
TCP/IP V1.0b, clause 3.1.3.
"""

import struct
from typing import Protocol

import msgspec

from firmware_bridge.modbus.frames import crc16, rtu_frame
from firmware_bridge.modbus.pdus import EXCEPTIONS
from telemetry.reason import Reason

__all__ = ["GATEWAY_SILENT", "Envelope", "Failure", "Request", "RtuEnvelope", "TcpEnvelope", "exception"]

GATEWAY_SILENT = frozenset({10, 11})
"""Exceptions by which a gateway says that the unit behind it does not answer (V1.1b3, clause 7)."""

_MBAP = struct.Struct(">HHHB")
_MOST_TCP_BYTES = 260
_KEPT_BYTES = 1024
"""What is kept of a line that says something else, to tell it by."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request brought nothing. `raw` is what the line carried instead of the reply, `code` the unit's exception."""

    reason: Reason
    detail: str
    raw: bytes = b""
    code: int = 0


class Request(msgspec.Struct, frozen=True):
    """One request, and what its reply must be: a PDU of `size` bytes that begins with `head`."""

    unit: int
    pdu: bytes
    head: bytes
    size: int

    @classmethod
    def of(cls, unit: int, pdu: bytes) -> "Request":
        """The request that `pdu` makes to `unit`; its function is one of those that the product speaks."""
        function = pdu[0]
        if function in (1, 2, 3, 4):
            count = int.from_bytes(pdu[3:5], "big")
            size = (count + 7) // 8 if function < 3 else 2 * count
            return cls(unit, pdu, bytes((function, size)), 2 + size)
        if function in (15, 16):
            return cls(unit, pdu, pdu[:5], 5)
        if function == 20:
            data = sum(2 + 2 * int.from_bytes(pdu[at + 5 : at + 7], "big") for at in range(2, len(pdu), 7))
            return cls(unit, pdu, bytes((function, data)), 2 + data)
        return cls(unit, pdu, pdu, len(pdu))  # 5, 6, 21 and 22 are echoed whole

    def fits(self, pdu: bytes) -> bool:
        """Whether `pdu` is this request's reply or the exception to it (function | 0x80, one byte of code)."""
        if len(pdu) == self.size and pdu.startswith(self.head):
            return True
        return len(pdu) == 2 and pdu[0] == self.pdu[0] | 0x80

    @property
    def shape(self) -> tuple[int, bytes]:
        """What replies of this unit have in common that cannot be told apart."""
        return self.unit, self.head


class Envelope(Protocol):
    """How requests and replies lie on one kind of line."""

    language: str
    """The name of this envelope among the languages."""
    frame: bytes
    """The whole frame of the last reply that was found."""

    def wrap(self, request: Request) -> bytes:
        """The request's frame; from now on its reply is looked for."""
        ...

    def feed(self, data: bytes) -> bytes | None:
        """Hear some bytes; the reply's PDU once it is whole."""
        ...

    def explain(self) -> Failure:
        """Why what came until the time was up holds no reply."""
        ...

    def line_s(self, request: Request) -> float:
        """How long the line itself takes for request and reply."""
        ...


class RtuEnvelope:
    """unit, PDU, CRC16 low byte first. `byte_s` is how long one byte takes, 0 where the line does not say."""

    language = "modbus-rtu"

    def __init__(self, byte_s: float = 0.0) -> None:
        self.frame = b""
        self._byte_s = byte_s
        self._request = Request(0, b"\0", b"\0", 1)
        self._heard = b""

    def wrap(self, request: Request) -> bytes:
        self._request, self._heard = request, b""
        return rtu_frame(request.unit, request.pdu)

    def line_s(self, request: Request) -> float:
        return (len(request.pdu) + request.size + 6) * self._byte_s

    def feed(self, data: bytes) -> bytes | None:
        request = self._request
        heard = self._heard = (self._heard + data)[-_KEPT_BYTES:]
        start = heard.find(request.unit)
        while 0 <= start <= len(heard) - 5:
            for size in (request.size, 2):
                end = start + size + 3
                if len(heard) >= end and request.fits(heard[start + 1 : end - 2]) and crc16(heard[start:end]) == 0:
                    self._heard, self.frame = heard[end:], heard[start:end]
                    return heard[start + 1 : end - 2]
            start = heard.find(request.unit, start + 1)
        return None

    def explain(self) -> Failure:
        data, request = self._heard, self._request
        if not data:
            return Failure(reason=Reason.TIMEOUT, detail="no answer")
        wanted = request.size + 3
        if len(data) >= 5 and crc16(data) == 0:
            return _sound_but_other(data[0], data[1:-2], request, data)
        if len(data) < wanted:
            return Failure(reason=Reason.TRUNCATED, detail=f"{len(data)} bytes, want {wanted}", raw=data)
        return Failure(reason=Reason.BAD_CHECKSUM, detail=f"{len(data)} bytes without a sound frame", raw=data)


class TcpEnvelope:
    """MBAP header (transaction, protocol 0, length, unit), then the PDU. Each request has a transaction of its own."""

    language = "modbus-tcp"

    def __init__(self) -> None:
        self.frame = b""
        self._transaction = 0
        self._request = Request(0, b"\0", b"\0", 1)
        self._buffer = b""
        self._other: tuple[int, bytes] | None = None
        """(transaction, frame) of the last frame that was not the reply."""
        self._lost = False
        """Whether what came is no Modbus, so that no frame's end can be found any more."""

    def wrap(self, request: Request) -> bytes:
        if self._lost:
            self._buffer, self._lost = b"", False
        self._request, self._other = request, None
        self._transaction = (self._transaction + 1) & 0xFFFF
        return _MBAP.pack(self._transaction, 0, len(request.pdu) + 1, request.unit) + request.pdu

    def line_s(self, request: Request) -> float:
        return 0.0

    def feed(self, data: bytes) -> bytes | None:
        buffer = self._buffer + data if self._buffer else data
        while len(buffer) >= 8:
            transaction, protocol, length, unit = _MBAP.unpack_from(buffer)
            size = 6 + length
            if protocol or not 8 <= size <= _MOST_TCP_BYTES:
                self._lost = True
                break
            if len(buffer) < size:
                break
            frame, buffer = buffer[:size], buffer[size:]
            if transaction == self._transaction and unit == self._request.unit and self._request.fits(frame[7:]):
                self._buffer, self.frame = buffer, frame
                return frame[7:]
            self._other = transaction, frame
        self._buffer = buffer[:_KEPT_BYTES]
        return None

    def explain(self) -> Failure:
        data, request = self._buffer, self._request
        if self._lost or data[2:4] not in (b"", b"\0", b"\0\0"):
            return Failure(reason=Reason.BAD_START, detail=f"protocol {data[2:4].hex()}, want 0000", raw=data)
        if self._other is not None:
            transaction, frame = self._other
            if transaction == self._transaction:
                return _sound_but_other(frame[6], frame[7:], request, frame)
            detail = f"{transaction:04x}, want {self._transaction:04x}"
            return Failure(reason=Reason.WRONG_TRANSACTION, detail=detail, raw=frame)
        if not data:
            return Failure(reason=Reason.TIMEOUT, detail="no answer")
        return Failure(reason=Reason.TRUNCATED, detail=f"{len(data)} bytes, want {request.size + 7}", raw=data)


def exception(code: int) -> Failure:
    """What a unit's exception reply means."""
    detail = f"exception {code}: {EXCEPTIONS.get(code, 'not in the standard')}"
    return Failure(reason=Reason.DEVICE_EXCEPTION, detail=detail, code=code)


def _sound_but_other(unit: int, pdu: bytes, request: Request, data: bytes) -> Failure:
    if unit != request.unit:
        return Failure(reason=Reason.WRONG_UNIT, detail=f"unit {unit} answered, want {request.unit}", raw=data)
    if pdu[0] & 0x7F != request.pdu[0]:
        return Failure(reason=Reason.BAD_FIELD, detail=f"function {pdu[0]}, want {request.pdu[0]}", raw=data)
    if len(request.head) > 2:
        return Failure(reason=Reason.CONFLICT, detail=f"echo {pdu.hex()}, want {request.head.hex()}", raw=data)
    return Failure(reason=Reason.BAD_LENGTH, detail=f"reply of {len(pdu)} bytes, want {request.size}", raw=data)
