"""JT/T 808 frames: flags, escapes, checksum and header (JT/T 808-2013 and -2019, clause 4.4).

    7e | id 2 | attributes 2 | phone BCD[6]            | serial 2 | [total 2, number 2] | body | xor 1 | 7e     2011, 2013
    7e | id 2 | attributes 2 | version 1 | phone BCD[10] | serial 2 | [total 2, number 2] | body | xor 1 | 7e     2019

Attributes: bits 0-9 body length, 10-12 encryption, 13 sub-packaged, 14 set in 2019. Between the flags 7e is sent as
7d 02 and 7d as 7d 01.
"""

import struct
from functools import reduce
from operator import xor

import msgspec

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.jt808.register import register_layout
from telemetry.reason import Reason

__all__ = ["FLAG", "MAX_FRAME_BYTES", "Frame", "Jt808Framer", "checksum", "encode_frame", "escape", "parse_frame", "wire_offset"]

FLAG = 0x7E
_ESCAPE = 0x7D
MAX_BODY_BYTES = 1023
MAX_FRAME_BYTES = 2 * (21 + MAX_BODY_BYTES + 1) + 2 + 1024
"""A full frame with every byte escaped, and some more for terminals whose bodies outgrow the length attribute."""

_SUBPACKAGED, _VERSIONED = 1 << 13, 1 << 14
_REGISTER = 0x0100
_BRACKETED = "a message in round brackets, not JT/T 808"


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One message, or one packet of a sub-packaged one, whose checksum is right.

    `phone` is the header's identity field in hex, 12 digits or 20, leading zeros kept: decimal digits by the standard,
    but some terminals put a binary IMEI there. `declared_length` is what the header says of the body; real terminals err,
    so `body` is what lies between header and checksum. `encryption` is 0, 1 (RSA) or reserved. `packet` is (total, number
    from 1), None for a whole message. `escaped` is false for a capture taken after the escapes were undone.
    """

    message_id: int
    version: int
    phone: str
    serial: int
    body: bytes
    declared_length: int
    encryption: int = 0
    packet: tuple[int, int] | None = None
    protocol_version: int | None = None
    checksum_ok: bool = True
    escaped: bool = True
    raw: bytes = b""

    @property
    def length_ok(self) -> bool:
        """Whether the header's length is the body's."""
        return self.declared_length == len(self.body)

    @property
    def body_at(self) -> int:
        """Where the body begins, counted in unescaped bytes from the opening flag."""
        return 1 + _header_size(versioned=self.version == 2019, subpackaged=self.packet is not None)


def checksum(data: bytes) -> int:
    """XOR of all bytes."""
    return reduce(xor, data, 0)


def escape(data: bytes) -> bytes:
    """What is sent between the flags for `data`."""
    return data.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02")


def _unescape(data: bytes) -> bytes:
    """The bytes behind the escapes; ParseError(bad_escape) with the offset of a bare flag, or of a 7d that begins none."""
    if FLAG in data:
        raise ParseError(Reason.BAD_ESCAPE, "a bare flag 7e within the frame", data.index(FLAG))
    if _ESCAPE not in data:
        return data
    out = bytearray()
    at = 0
    while at < len(data):
        byte = data[at]
        if byte == _ESCAPE:
            following = data[at + 1 : at + 2]
            if following not in {b"\x01", b"\x02"}:
                raise ParseError(Reason.BAD_ESCAPE, f"7d {following.hex() or 'at the end'}, want 7d 01 or 7d 02", at)
            byte = _ESCAPE if following == b"\x01" else FLAG
            at += 1
        out.append(byte)
        at += 1
    return bytes(out)


def wire_offset(raw: bytes, offset: int) -> int:
    """Where the unescaped byte `offset` (0 = opening flag) of the frame `raw` stands on the wire."""
    at = 0
    for _ in range(offset):
        if at >= len(raw):
            break
        at += 2 if raw[at] == _ESCAPE and at + 1 < len(raw) and raw[at + 1] in {1, 2} else 1
    return min(at, len(raw))


def parse_frame(raw: bytes) -> Frame:
    """The frame in `raw`, both flags included.

    ParseError, `at` counted in bytes of `raw`: bad_start, truncated, oversized, bad_escape, bad_checksum. A length
    attribute that disagrees with the body is no error: see `Frame.length_ok`.
    """
    if raw[:1] == b"(" and raw[-1:] == b")" and _is_text(raw):
        raise ParseError(Reason.UNKNOWN_MESSAGE, _BRACKETED, 0)
    if raw[:1] != b"\x7e":
        raise ParseError(Reason.BAD_START, f"want the flag 7e, got {raw[:1].hex() or 'nothing'}", 0)
    if len(raw) < 2 or raw[-1] != FLAG:
        raise ParseError(Reason.TRUNCATED, "no closing flag 7e", len(raw))
    if len(raw) > MAX_FRAME_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(raw)} bytes, want at most {MAX_FRAME_BYTES}", MAX_FRAME_BYTES)
    inner = raw[1:-1]
    as_it_stands = _parse_unescaped_capture(inner, raw)
    try:
        frame = _parse_inner(_unescape(inner), raw)
    except ParseError as error:
        if as_it_stands is not None:
            return as_it_stands
        raise ParseError(error.reason, error.detail, _wire_at(raw, error)) from error
    return frame if as_it_stands is None or frame.length_ok else as_it_stands


def _wire_at(raw: bytes, error: ParseError) -> int | None:
    if error.at is None or error.reason is Reason.BAD_ESCAPE:
        return None if error.at is None else error.at + 1
    return wire_offset(raw, error.at + 1)


def _parse_unescaped_capture(inner: bytes, raw: bytes) -> Frame | None:
    """The frame in bytes whose escapes somebody undid before writing them down, as published captures often are.

    Only checksum and length attribute together make this reading believable.
    """
    if _ESCAPE not in inner and FLAG not in inner:
        return None
    try:
        frame = _parse_inner(inner, raw)
    except ParseError:
        return None
    return msgspec.structs.replace(frame, escaped=False) if frame.length_ok else None


def _header_size(*, versioned: bool, subpackaged: bool) -> int:
    return (17 if versioned else 12) + (4 if subpackaged else 0)


def _parse_inner(data: bytes, raw: bytes) -> Frame:
    if len(data) < 4:
        raise ParseError(Reason.TRUNCATED, f"{len(data)} bytes between the flags, want at least 13", len(data))
    message_id, attributes = struct.unpack_from(">HH", data)
    versioned, subpackaged = bool(attributes & _VERSIONED), bool(attributes & _SUBPACKAGED)
    size = _header_size(versioned=versioned, subpackaged=subpackaged)
    if len(data) < size + 1:
        raise ParseError(Reason.TRUNCATED, f"{len(data)} bytes between the flags, want at least {size + 1}", len(data))
    want = checksum(data[:-1])
    if data[-1] != want:
        raise ParseError(Reason.BAD_CHECKSUM, f"checksum {data[-1]:02x}, want {want:02x}", len(data) - 1)
    phone = data[5:15] if versioned else data[4:10]
    after = 15 if versioned else 10
    body = data[size:-1]
    return Frame(
        message_id=message_id,
        version=2019 if versioned else _older_version(message_id, body, subpackaged=subpackaged),
        phone=phone.hex(),
        serial=int.from_bytes(data[after : after + 2], "big"),
        body=body,
        declared_length=attributes & 0x3FF,
        encryption=attributes >> 10 & 7,
        packet=struct.unpack_from(">HH", data, after + 2) if subpackaged else None,
        protocol_version=data[4] if versioned else None,
        raw=raw,
    )


def _older_version(message_id: int, body: bytes, *, subpackaged: bool) -> int:
    """2011 and 2013 share one header; only a register message's field sizes tell them apart."""
    return register_layout(body) if message_id == _REGISTER and not subpackaged else 2013


class Jt808Framer:
    """Cuts a connection's bytes into frames at the flags.

    One 7e may close a frame and open the next. Whatever lies between two flags is a candidate, so noise costs no
    frame that is whole; a message in round brackets, which some terminals mix in, ends at its bracket. Whatever is no
    frame comes out as `Refused`. Any cut of the same bytes gives the same result. Holds at most MAX_FRAME_BYTES.
    """

    def __init__(self) -> None:
        self._segment = bytearray()
        self._opened = False
        self._discarding = False

    def feed(self, data: bytes) -> list[Frame | Refused]:
        """The frames and refusals that `data` completes, in order."""
        out: list[Frame | Refused] = []
        pieces = data.split(b"\x7e")
        for piece in pieces[:-1]:
            self._take(piece, out)
            self._close(out)
        self._take(pieces[-1], out)
        return out

    def idle(self) -> list[Frame | Refused]:
        """What was begun and not finished before the line went quiet, as refused; the framer waits for the next flag."""
        out: list[Frame | Refused] = []
        if self._segment and self._opened:
            detail = "the line went quiet within a frame"
            out.append(Refused(reason=Reason.TRUNCATED, detail=detail, raw=self._flagged(closed=False)))
        elif self._segment:
            out.append(self._noise())
        # A closing flag with nothing behind it may still open the next frame.
        self._opened = self._opened and not self._segment and not self._discarding
        self._segment.clear()
        self._discarding = False
        return out

    def _take(self, piece: bytes, out: list[Frame | Refused]) -> None:
        while piece and not self._discarding:
            room = MAX_FRAME_BYTES - 1 - len(self._segment)
            taken = self._take_bracketed(piece[:room], out)
            piece = piece[taken:]
            if len(self._segment) + 1 >= MAX_FRAME_BYTES:
                detail = f"no closing flag within {MAX_FRAME_BYTES} bytes"
                out.append(Refused(reason=Reason.OVERSIZED, detail=detail, raw=self._flagged(closed=False)))
                self._segment.clear()
                self._discarding = True

    def _take_bracketed(self, piece: bytes, out: list[Frame | Refused]) -> int:
        """Add `piece` to the segment, up to the bracket that closes a bracketed message; how many bytes were used."""
        if not (self._segment or piece).startswith(b"("):
            self._segment += piece
            return len(piece)
        end = piece.find(b")")
        used = len(piece) if end < 0 else end + 1
        self._segment += piece[:used]
        if end >= 0 and _is_text(self._segment):
            out.append(Refused(reason=Reason.UNKNOWN_MESSAGE, detail=_BRACKETED, raw=bytes(self._segment)))
            self._segment.clear()
            self._opened = False
        return used

    def _close(self, out: list[Frame | Refused]) -> None:
        """A flag has come: judge what lies before it."""
        if self._discarding:
            self._discarding = False
        elif self._segment and not self._opened:
            out.append(self._noise())
        elif self._segment:
            out.append(_frame_or_refusal(self._flagged(closed=True)))
        self._segment.clear()
        self._opened = True

    def _flagged(self, *, closed: bool) -> bytes:
        return (b"\x7e" if self._opened else b"") + bytes(self._segment) + (b"\x7e" if closed else b"")

    def _noise(self) -> Refused:
        detail = f"{len(self._segment)} bytes before a flag 7e"
        return Refused(reason=Reason.BAD_START, detail=detail, raw=bytes(self._segment))


def _is_text(data: bytes | bytearray) -> bool:
    return data.isascii() and data.decode().isprintable()


def _frame_or_refusal(raw: bytes) -> Frame | Refused:
    try:
        return parse_frame(raw)
    except ParseError as error:
        return Refused.of(error, raw)


def encode_frame(
    message_id: int, phone: str, serial: int, body: bytes, version: int = 2013, *, packet: tuple[int, int] | None = None
) -> bytes:
    """One frame as it goes over the wire. `phone` is hex digits, padded on the left with 0 to 12, or 20 in 2019.

    ParseError(oversized) for a body above 1023 bytes or a phone that is too long, not_hex for one that is no hex.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ParseError(Reason.OVERSIZED, f"a body of {len(body)} bytes, want at most {MAX_BODY_BYTES}; send it in packets")
    versioned = version == 2019
    attributes = len(body) | (_VERSIONED if versioned else 0) | (_SUBPACKAGED if packet else 0)
    head = struct.pack(">HH", message_id, attributes) + (b"\x01" if versioned else b"")
    head += _phone_bytes(phone, 10 if versioned else 6) + struct.pack(">H", serial & 0xFFFF)
    head += struct.pack(">HH", *packet) if packet else b""
    data = head + body
    return b"\x7e" + escape(data + bytes((checksum(data),))) + b"\x7e"


def _phone_bytes(phone: str, size: int) -> bytes:
    digits = phone.rjust(2 * size, "0")
    if len(digits) > 2 * size:
        surplus, digits = digits[: -2 * size], digits[-2 * size :]
        if surplus.strip("0"):
            raise ParseError(Reason.OVERSIZED, f"phone {phone} has more than {2 * size} digits")
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise ParseError(Reason.NOT_HEX, f"phone {phone!r}: want decimal or hex digits") from error
