"""CJ/T 188 frames: wake-up, start, meter type, address, control code, length, data, checksum, end (CJ/T 188-2018, clause 7).

fe .. fe | 68 | type 1 | address BCD[7], low byte first | control 1 | length 1 | data | sum 1 | 16

Control code: bit 7 from the meter, bit 6 an error answer, bit 5 more frames follow, bits 0-4 function. The sum runs from 68 to
the last byte of data. The two highest bytes of the address are the maker's code.
"""

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.meter_line import END, check_whole, parse_woken
from firmware_bridge.resync import ResyncFramer
from telemetry.reason import Reason

__all__ = ["ANY_TYPE", "MAX_FRAME_BYTES", "WILDCARD", "Cjt188Framer", "Frame", "encode_frame", "parse_frame"]

START, WAKE_UP = 0x68, 0xFE
ANY_TYPE = 0xAA
WILDCARD = "AA" * 7

_HEAD_BYTES, _TAIL_BYTES = 11, 2
MAX_FRAME_BYTES = _HEAD_BYTES + 255 + _TAIL_BYTES


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame whose checksum is right. `address` is 14 hex digits, high byte first: decimal by the standard."""

    meter_type: int
    address: str
    control: int
    data: bytes = b""
    raw: bytes = b""

    @property
    def from_meter(self) -> bool:
        return bool(self.control & 0x80)

    @property
    def is_error(self) -> bool:
        return self.control & 0xC0 == 0xC0

    @property
    def more(self) -> bool:
        return self.from_meter and bool(self.control & 0x20)

    @property
    def function(self) -> int:
        return self.control & 0x1F

    @property
    def maker(self) -> str:
        return self.address[:4]

    @property
    def meter(self) -> str:
        """The meter's number without its maker's code."""
        return self.address[4:]


def _measure(head: bytes) -> int:
    """The size of the frame that begins with `head`, 0 while more bytes are needed; ParseError where none begins."""
    if head[:1] != b"\x68":
        raise ParseError(Reason.BAD_START, f"want 68, got {head[:1].hex() or 'nothing'}", 0)
    return _HEAD_BYTES + head[10] + _TAIL_BYTES if len(head) >= _HEAD_BYTES else 0


def parse_frame(raw: bytes) -> Frame:
    """The one frame in `raw`, wake-up bytes before it or not.

    ParseError, `at` counted in bytes of `raw`: bad_start, truncated, bad_length, bad_field (the end), bad_checksum.
    """
    return parse_woken(raw, _parse)


def _parse(raw: bytes) -> Frame:
    # 1. and 2. Length, end byte and sum.
    check_whole(raw, _measure(raw[:_HEAD_BYTES]), 13)
    # 3. to 5. Nothing more can be wrong: the address may hold wildcards, the data is for the function to judge.
    address = raw[8:1:-1].hex().upper()
    return Frame(meter_type=raw[1], address=address, control=raw[9], data=raw[_HEAD_BYTES:-_TAIL_BYTES], raw=raw)


class Cjt188Framer(ResyncFramer[Frame]):
    """Cuts a serial line's bytes into frames; wake-up bytes are nothing. Holds some MAX_FRAME_BYTES."""

    def __init__(self) -> None:
        super().__init__(
            starts=(b"\x68",), measure=_measure, parse=_parse, head=_HEAD_BYTES, limit=MAX_FRAME_BYTES, silence=b"\xfe"
        )


def address_bytes(address: str) -> bytes:
    """The seven bytes of an address of up to 14 digits (decimal, or A for a wildcard), low byte first.

    ParseError: not_hex, out_of_range for one that is too long.
    """
    digits = address.upper().rjust(14, "0")
    if set(digits) - set("0123456789A"):
        raise ParseError(Reason.NOT_HEX, f"address {address!r}: want decimal digits, or A for any")
    if len(digits) > 14:
        raise ParseError(Reason.OUT_OF_RANGE, f"address {address!r} has more than 14 digits")
    return bytes.fromhex(digits)[::-1]


def encode_frame(meter_type: int, address: str, control: int, data: bytes = b"", *, wake_up: int = 3) -> bytes:
    """One frame as it goes over the wire, `wake_up` bytes FE before it. ParseError(oversized) above 255 bytes of data."""
    if len(data) > 255:
        raise ParseError(Reason.OVERSIZED, f"{len(data)} bytes of data, want at most 255")
    body = bytes((START, meter_type, *address_bytes(address), control, len(data))) + data
    return bytes((WAKE_UP,)) * wake_up + body + bytes((sum(body) & 0xFF, END))
