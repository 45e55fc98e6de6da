"""A message that is longer than a frame, as the packets it travels in (JT/T 808-2013 and -2019, clause 4.4.3)."""

import struct
from collections.abc import Sequence
from typing import overload

from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.frames import encode_frame
from firmware_bridge.jt808.parameters import gbk
from telemetry.reason import Reason

__all__ = ["PACKET_BYTES", "Packets", "upgrade_body"]

PACKET_BYTES = 1000
"""Body of one packet: below the 1,023 bytes that a header can tell, as terminals keep a buffer of 1 KiB for a whole frame."""
_MOST_PACKETS = 65535


class Packets(Sequence[bytes]):
    """The frames of one message, each made when it is asked for and the same every time: one where the body fits, otherwise
    packets whose serials follow each other. ParseError(oversized) above 65,535 packets, and what `encode_frame` says."""

    def __init__(self, message_id: int, phone: str, first_serial: int, body: bytes, version: int = 2013) -> None:
        self._message_id, self._phone, self._version = message_id, phone, version
        self._first_serial, self._body = first_serial, body
        self._total = max(1, -(-len(body) // PACKET_BYTES))
        if self._total > _MOST_PACKETS:
            raise ParseError(Reason.OVERSIZED, f"{self._total} packets, want at most {_MOST_PACKETS}")
        self[0]  # a phone that has no form is told at once

    def __len__(self) -> int:
        return self._total

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._total))]
        number = range(self._total)[index]
        part = self._body[number * PACKET_BYTES : (number + 1) * PACKET_BYTES]
        packet = (self._total, number + 1) if self._total > 1 else None
        serial = self._first_serial + number
        return encode_frame(self._message_id, self._phone, serial, part, self._version, packet=packet)


def upgrade_body(kind: int, maker: str, version: str, data: bytes) -> bytes:
    """0x8108: kind (0 the terminal, 12 card reader, 52 satellite module), maker, counted version, size, data.

    The maker's field has 5 bytes in 2013. Published implementations of 2019 differ: 5, or 11 as in 2019's registration. A maker
    of up to 5 bytes gets 5, one of 6 to 11 bytes, zeros at its end included, gets 11. ParseError(oversized) above that.
    """
    makers, versions = gbk(maker, "maker"), gbk(version, "version")
    if len(makers) > 11 or len(versions) > 255:
        raise ParseError(Reason.OVERSIZED, "a maker above 11 bytes or a version above 255")
    head = bytes((kind,)) + makers.ljust(5 if len(makers) <= 5 else 11, b"\0")
    return head + bytes((len(versions),)) + versions + struct.pack(">I", len(data)) + data
