"""DL/T 645 frames: wake-up, start, address, control code, length, data, checksum, end (DL/T 645-2007, clause 5.2).

fe .. fe | 68 | address BCD[6], low byte first | 68 | control 1 | length 1 | data, each byte + 33 | sum 1 | 16

Control code: bit 7 from the meter, bit 6 an error answer, bit 5 more frames follow, bits 0-4 function. The sum runs from the
first 68 to the last byte of data. DL/T 645-1997 has the same frame with functions of its own, see `Frame.version`.
"""

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.meter_line import END, check_whole, parse_woken
from firmware_bridge.resync import ResyncFramer
from telemetry.reason import Reason

__all__ = ["BROADCAST", "MAX_FRAME_BYTES", "WILDCARD", "Dlt645Framer", "Frame", "address_bytes", "encode_frame", "parse_frame"]

START, WAKE_UP = 0x68, 0xFE
OFFSET = 0x33
"""Added to every byte of data on the wire."""
BROADCAST = "999999999999"
WILDCARD = "AAAAAAAAAAAA"

_HEAD_BYTES, _TAIL_BYTES = 10, 2
MAX_FRAME_BYTES = _HEAD_BYTES + 255 + _TAIL_BYTES
# Functions that 2007 does not have (DL/T 645-1997, clause 7): read, read following, write, write address, baud, password, demand.
_ONLY_1997 = frozenset({0x01, 0x02, 0x04, 0x0A, 0x0C, 0x0F, 0x10})


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame whose checksum is right.

    `address` is 12 hex digits, high byte first as on the meter's plate: decimal by the standard, AA pairs are wildcards.
    `data` is what the sender meant: the offset 33 is taken off.
    """

    address: str
    control: int
    data: bytes = b""
    raw: bytes = b""

    @property
    def from_meter(self) -> bool:
        return bool(self.control & 0x80)

    @property
    def is_error(self) -> bool:
        """Whether the meter refuses: its data is the error word."""
        return self.control & 0xC0 == 0xC0

    @property
    def more(self) -> bool:
        """Whether the meter has more data, to be asked for by function 12."""
        return self.from_meter and bool(self.control & 0x20)

    @property
    def function(self) -> int:
        return self.control & 0x1F

    @property
    def version(self) -> int:
        """2007, or 1997 where the function belongs to that standard alone."""
        return 1997 if self.function in _ONLY_1997 else 2007


def _measure(head: bytes) -> int:
    """The size of the frame that begins with `head`, 0 while more bytes are needed; ParseError where none begins."""
    if head[:1] != b"\x68":
        raise ParseError(Reason.BAD_START, f"want 68, got {head[:1].hex() or 'nothing'}", 0)
    if len(head) > 7 and head[7] != START:
        raise ParseError(Reason.BAD_START, f"{head[7]:02x} behind the address, want 68", 7)
    return _HEAD_BYTES + head[9] + _TAIL_BYTES if len(head) >= _HEAD_BYTES else 0


def parse_frame(raw: bytes) -> Frame:
    """The one frame in `raw`, wake-up bytes before it or not.

    ParseError, `at` counted in bytes of `raw`: bad_start, truncated, bad_length, bad_field (the end), bad_checksum.
    """
    return parse_woken(raw, _parse)


def _parse(raw: bytes) -> Frame:
    # 1. and 2. Length, end byte and sum.
    check_whole(raw, _measure(raw[:_HEAD_BYTES]), 12)
    # 3. to 5. Nothing more can be wrong: the address may hold wildcards, the data is for the function to judge.
    data = bytes(byte - OFFSET & 0xFF for byte in raw[_HEAD_BYTES:-_TAIL_BYTES])
    return Frame(address=raw[6:0:-1].hex().upper(), control=raw[8], data=data, raw=raw)


class Dlt645Framer(ResyncFramer[Frame]):
    """Cuts a serial line's bytes into frames; wake-up bytes are nothing. Holds some MAX_FRAME_BYTES."""

    def __init__(self) -> None:
        super().__init__(
            starts=(b"\x68",), measure=_measure, parse=_parse, head=_HEAD_BYTES, limit=MAX_FRAME_BYTES, silence=b"\xfe"
        )


def address_bytes(address: str) -> bytes:
    """The six bytes of an address of up to 12 digits (decimal, or A for a wildcard), low byte first.

    ParseError: not_hex, out_of_range for one that is too long.
    """
    digits = address.upper().rjust(12, "0")
    if set(digits) - set("0123456789A"):
        raise ParseError(Reason.NOT_HEX, f"address {address!r}: want decimal digits, or A for any")
    if len(digits) > 12:
        raise ParseError(Reason.OUT_OF_RANGE, f"address {address!r} has more than 12 digits")
    return bytes.fromhex(digits)[::-1]


def encode_frame(address: str, control: int, data: bytes = b"", *, wake_up: int = 4) -> bytes:
    """One frame as it goes over the wire, `wake_up` bytes FE before it. ParseError(oversized) above 255 bytes of data."""
    if len(data) > 255:
        raise ParseError(Reason.OVERSIZED, f"{len(data)} bytes of data, want at most 255")
    moved = bytes(byte + OFFSET & 0xFF for byte in data)
    body = bytes((START, *address_bytes(address), START, control, len(data))) + moved
    return bytes((WAKE_UP,)) * wake_up + body + bytes((sum(body) & 0xFF, END))
