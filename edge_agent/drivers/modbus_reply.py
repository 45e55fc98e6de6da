"""Is this the reply to that request? Attribution of Modbus replies, which the transport library leaves to its user.

A reply counts when unit, function and byte count (for a write: the whole echo) are those of the request and the frame
is sound; everything else on the line is skipped. So noise in front of a reply costs nothing, and a late reply to an
earlier request is only mistaken for this one where it could not be told apart by any of these.
Source: MODBUS Application Protocol V1.1b3, clause 6; Modbus over Serial Line V1.02, clause 2.5.1.
"""

from typing import Protocol

import msgspec

from firmware_bridge.modbus.frames import crc16
from telemetry.reason import Reason

__all__ = ["Failure", "Finder", "Request", "RtuFinder", "TcpFinder"]

_BITS = (1, 2)
_WRITES = (5, 6)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request brought nothing. `raw` is what the line carried instead of the reply."""

    reason: Reason
    detail: str
    raw: bytes = b""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request: `count` bits or registers from `address` (functions 1 to 4), or `value` to `address` (5 and 6)."""

    unit: int
    function: int
    address: int
    count: int = 1
    value: int = 0

    def reply(self) -> tuple[bytes, int]:
        """What the reply's PDU must begin with, and its size in bytes."""
        if self.function in _WRITES:
            value = (0xFF00 if self.value else 0) if self.function == 5 else self.value
            echo = bytes([self.function]) + self.address.to_bytes(2, "big") + value.to_bytes(2, "big")
            return echo, len(echo)
        size = (self.count + 7) // 8 if self.function in _BITS else 2 * self.count
        return bytes([self.function, size]), 2 + size

    def fits(self, pdu: bytes) -> bool:
        """Whether `pdu` is this request's reply or the exception to it (function | 0x80, one byte of code)."""
        head, size = self.reply()
        return (pdu.startswith(head) and len(pdu) == size) or (len(pdu) == 2 and pdu[0] == self.function | 0x80)


class Finder(Protocol):
    """How replies lie on one kind of line."""

    def sent(self, frame: bytes) -> None:
        """Note the request as it went out."""
        ...

    def find(self, data: bytes, request: Request) -> bytes:
        """The reply's whole frame out of everything received since the request; empty where it is not (yet) there."""
        ...

    def explain(self, data: bytes, request: Request) -> Failure:
        """Why `data`, all that came until the time was up, holds no reply."""
        ...


class RtuFinder:
    """unit, PDU, CRC16 low byte first."""

    def sent(self, frame: bytes) -> None:
        """An RTU reply names nothing of its request's frame."""

    def find(self, data: bytes, request: Request) -> bytes:
        sizes = (request.reply()[1], 2)
        for start in range(len(data) - 4):
            if data[start] != request.unit:
                continue
            for size in sizes:
                frame = data[start : start + size + 3]
                if len(frame) == size + 3 and request.fits(frame[1:-2]) and crc16(frame) == 0:
                    return frame
        return b""

    def explain(self, data: bytes, request: Request) -> Failure:
        if not data:
            return Failure(reason=Reason.TIMEOUT, detail="no answer")
        wanted = request.reply()[1] + 3
        if len(data) >= 5 and crc16(data) == 0:
            return _sound_but_other(data[0], data[1:-2], request, data)
        if len(data) < wanted:
            return Failure(reason=Reason.TRUNCATED, detail=f"{len(data)} bytes, want {wanted}", raw=data)
        return Failure(reason=Reason.BAD_CHECKSUM, detail=f"{len(data)} bytes without a sound frame", raw=data)


class TcpFinder:
    """MBAP header (transaction, protocol 0, length, unit), then the PDU."""

    def __init__(self) -> None:
        self._transaction = b""

    def sent(self, frame: bytes) -> None:
        self._transaction = frame[:2]

    def find(self, data: bytes, request: Request) -> bytes:
        for frame in _mbap_frames(data):
            if frame[:2] == self._transaction and frame[6] == request.unit and request.fits(frame[7:]):
                return frame
        return b""

    def explain(self, data: bytes, request: Request) -> Failure:
        if not data:
            return Failure(reason=Reason.TIMEOUT, detail="no answer")
        for frame in _mbap_frames(data):
            if frame[:2] == self._transaction:
                return _sound_but_other(frame[6], frame[7:], request, data)
            return Failure(reason=Reason.WRONG_TRANSACTION, detail=f"{frame[:2].hex()}, want {self._transaction.hex()}", raw=data)
        if data[2:4] not in (b"", b"\0", b"\0\0"):
            return Failure(reason=Reason.BAD_START, detail=f"protocol {data[2:4].hex()}, want 0000", raw=data)
        return Failure(reason=Reason.TRUNCATED, detail=f"{len(data)} bytes, want {request.reply()[1] + 7}", raw=data)


def _mbap_frames(data: bytes) -> list[bytes]:
    frames = []
    while len(data) >= 8 and data[2:4] == b"\0\0":
        size = 6 + int.from_bytes(data[4:6], "big")
        if size < 8 or len(data) < size:
            break
        frames.append(data[:size])
        data = data[size:]
    return frames


def _sound_but_other(unit: int, pdu: bytes, request: Request, data: bytes) -> Failure:
    if unit != request.unit:
        return Failure(reason=Reason.WRONG_UNIT, detail=f"unit {unit} answered, want {request.unit}", raw=data)
    if pdu[0] & 0x7F != request.function:
        return Failure(reason=Reason.BAD_FIELD, detail=f"function {pdu[0]}, want {request.function}", raw=data)
    if request.function in _WRITES:
        return Failure(reason=Reason.CONFLICT, detail=f"echo {pdu.hex()}, want {request.reply()[0].hex()}", raw=data)
    return Failure(reason=Reason.BAD_LENGTH, detail=f"reply of {len(pdu)} bytes, want {request.reply()[1]}", raw=data)
