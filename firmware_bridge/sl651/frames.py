"""SL 651-2014 frames in both encodings (clauses 6.4 and 6.5).

HEX/BCD  7e7e | centre 1, station 5 | password 2 | function 1 | direction and length 2 | 02        | body | end 1 | CRC 2
                                                                                       | 16, packet 3 | ...
ASCII    01   | the same as hex digits: 2, 10 | 4 | 2 | 4                              | 02 or 16 (6) | text | end 1 | CRC 4

Down frames have the station before the centre. Direction is the highest digit (0 up, 8 down), the other three are the length of
what stands between the start character and the end, the packet's total and number (12 bits each) among it. The CRC is that of
Modbus, high byte first, over everything before it.
"""

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.frames import crc16
from firmware_bridge.resync import ResyncFramer
from telemetry.reason import Reason

__all__ = [
    "ENDS",
    "MAX_BODY_BYTES",
    "MAX_FRAME_BYTES",
    "Frame",
    "Sl651Framer",
    "crc_of",
    "encode_frame",
    "frame_size",
    "parse_frame",
    "without_password",
]

STX, SYN = 0x02, 0x16
ETX, EOT, ENQ, ACK, NAK, ETB, ESC = 0x03, 0x04, 0x05, 0x06, 0x15, 0x17, 0x1B
ENDS: dict[int, str] = {ETX: "ETX", EOT: "EOT", ENQ: "ENQ", ACK: "ACK", NAK: "NAK", ETB: "ETB", ESC: "ESC"}
"""End characters (table 10): ETX last of a report, ETB more to come, ENQ a question, ACK go on, NAK send again, EOT done, go
offline, ESC done, stay online."""

MAX_BODY_BYTES = 0xFFF
_HEX_HEAD, _ASCII_HEAD = 14, 24
MAX_FRAME_BYTES = _ASCII_HEAD + MAX_BODY_BYTES + 5


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame whose CRC is right.

    `station` is 10 hex digits, `centre` 2 and `password` 4. `packet` is (total, number from 1) after SYN, None after STX.
    `body` is what stands behind it; its serial number, times and elements are for `body.parse_body`.
    """

    up: bool
    centre: str
    station: str
    password: str
    function: int
    body: bytes
    end: int
    crc: int
    packet: tuple[int, int] | None = None
    text: bool = False
    raw: bytes = b""

    @property
    def body_at(self) -> int:
        """Where the body begins in `raw`."""
        return len(self.raw) - (5 if self.text else 3) - len(self.body)

    def __repr__(self) -> str:
        # The password is not to end up in a log.
        return (
            f"Frame({'up' if self.up else 'down'}, station {self.station}, function {self.function:02X}, {len(self.body)} bytes)"
        )


def crc_of(data: bytes) -> int:
    """The CRC over everything before it, end character included."""
    return crc16(data)


def frame_size(head: bytes) -> int:
    """The size of the frame that begins with `head`, 0 while more bytes are needed; ParseError where none begins."""
    if head[:1] == b"\x01":
        return _text_size(head)
    if head[:2] != b"\x7e\x7e"[: len(head)] or not head:
        raise ParseError(Reason.BAD_START, f"want 7e7e or 01, got {head[:2].hex() or 'nothing'}", 0)
    if len(head) < _HEX_HEAD:
        return 0
    return _HEX_HEAD + _length(head[11] << 8 | head[12], 11, head[13]) + 3


def _text_size(head: bytes) -> int:
    digits = head[1:23]
    wrong = next((at for at, byte in enumerate(digits) if byte not in b"0123456789ABCDEFabcdef"), None)
    if wrong is not None:
        raise ParseError(Reason.BAD_START, f"{digits[wrong]:02x} in the head of an ASCII frame, want hex digits", 1 + wrong)
    if len(head) < _ASCII_HEAD:
        return 0
    return _ASCII_HEAD + _length(int(head[19:23], 16), 19, head[23]) + 5


def _length(word: int, at: int, start: int) -> int:
    if word >> 12 not in {0, 8}:
        raise ParseError(Reason.BAD_FIELD, f"direction {word >> 12:x}, want 0 (up) or 8 (down)", at)
    if start not in {STX, SYN}:
        raise ParseError(Reason.BAD_FIELD, f"{start:02x} before the body, want STX 02 or SYN 16", at + (4 if at == 19 else 2))
    return word & 0xFFF


def parse_frame(raw: bytes) -> Frame:
    """The one frame in `raw`.

    ParseError, `at` counted in bytes of `raw`: bad_start, truncated, bad_length, bad_field (direction, start and end
    characters, packet), bad_checksum.
    """
    text = raw[:1] == b"\x01"
    head = _ASCII_HEAD if text else _HEX_HEAD
    # 1. Length: the frame is as long as it says.
    size = frame_size(raw[:head])
    if not size or len(raw) < size:
        raise ParseError(Reason.TRUNCATED, f"{len(raw)} bytes, want {size or f'at least {head + (5 if text else 3)}'}", len(raw))
    if len(raw) > size:
        raise ParseError(Reason.BAD_LENGTH, f"{len(raw) - size} bytes behind the frame", size)
    # 2. Integrity: end character and CRC.
    crc_at = size - (4 if text else 2)
    if raw[crc_at - 1] not in ENDS:
        raise ParseError(Reason.BAD_FIELD, f"{raw[crc_at - 1]:02x} behind the body, want an end character", crc_at - 1)
    crc = _crc(raw[crc_at:], crc_at, text=text)
    want = crc_of(raw[:crc_at])
    if crc != want:
        raise ParseError(Reason.BAD_CHECKSUM, f"CRC {crc:04x}, want {want:04x}", crc_at)
    # 3. Integers in wire order.
    fixed = bytes.fromhex(raw[1:23].decode()) if text else raw[2:13]
    packet, body = _packet(raw[head - 1], raw[head : crc_at - 1], head, text=text)
    # 4. Sanity: nothing more can be wrong here. 5. Build.
    up = not fixed[9] & 0x80
    centre, station = (fixed[:1], fixed[1:6]) if up else (fixed[5:6], fixed[:5])
    return Frame(
        up=up,
        centre=centre.hex().upper(),
        station=station.hex().upper(),
        password=fixed[6:8].hex().upper(),
        function=fixed[8],
        body=body,
        end=raw[crc_at - 1],
        crc=crc,
        packet=packet,
        text=text,
        raw=raw,
    )


def without_password(raw: bytes) -> bytes:
    """A sound frame with zeros for its password, and the CRC of that: fit to be shown, and to be read again."""
    if raw[:1] == b"\x01":
        checked = raw[:13] + b"0000" + raw[17:-4]
        return checked + b"%04X" % crc_of(checked)
    checked = raw[:8] + b"\0\0" + raw[10:-2]
    return checked + crc_of(checked).to_bytes(2, "big")


def _crc(written: bytes, at: int, *, text: bool) -> int:
    if not text:
        return int.from_bytes(written, "big")
    try:
        return int.from_bytes(bytes.fromhex(written.decode("ascii")), "big")
    except ValueError as error:
        raise ParseError(Reason.BAD_CHECKSUM, f"CRC {written!r}, want four hex digits", at) from error


def _packet(start: int, content: bytes, at: int, *, text: bool) -> tuple[tuple[int, int] | None, bytes]:
    if start == STX:
        return None, content
    size = 6 if text else 3
    field = content[:size]
    try:
        word = int(field, 16) if text else int.from_bytes(field, "big")
    except ValueError as error:
        raise ParseError(Reason.BAD_FIELD, f"packet {field!r}, want six hex digits", at) from error
    total, number = word >> 12, word & 0xFFF
    if len(field) < size or not 1 <= number <= total:
        raise ParseError(Reason.BAD_FIELD, f"packet {number} of {total}", at)
    return (total, number), content[size:]


class Sl651Framer(ResyncFramer[Frame]):
    """Cuts a connection's bytes into frames of either encoding. Holds at most some 12 KiB."""

    def __init__(self) -> None:
        super().__init__(
            starts=(b"\x7e\x7e", b"\x01"), measure=frame_size, parse=parse_frame, head=_ASCII_HEAD, limit=MAX_FRAME_BYTES
        )


def encode_frame(
    function: int,
    body: bytes,
    *,
    station: str,
    centre: str = "01",
    password: str = "0000",  # noqa: S107 (what a station has before it is given one)
    up: bool = True,
    end: int = ETX,
    packet: tuple[int, int] | None = None,
    text: bool = False,
) -> bytes:
    """One frame as it goes over the wire; `body` is text where `text` says so.

    ParseError: not_hex for an address or password that is no hex, out_of_range for one that is too long, oversized for a
    body above 4095 bytes (send it in packets), bad_field for a packet that cannot be.
    """
    sizes = ((centre, 1, "centre"), (station, 5, "station"))
    addresses = b"".join(_hex(*each) for each in (sizes if up else reversed(sizes)))
    content = _packet_bytes(packet, text=text) + body
    if len(content) > MAX_BODY_BYTES:
        raise ParseError(Reason.OVERSIZED, f"a body of {len(content)} bytes, want at most {MAX_BODY_BYTES}")
    word = len(content) | (0 if up else 0x8000)
    fixed = addresses + _hex(password, 2, "password") + bytes((function,)) + word.to_bytes(2, "big")
    head = b"\x01" + fixed.hex().upper().encode() if text else b"\x7e\x7e" + fixed
    checked = head + bytes((STX if packet is None else SYN,)) + content + bytes((end,))
    crc = crc_of(checked)
    return checked + (b"%04X" % crc if text else crc.to_bytes(2, "big"))


def _hex(digits: str, size: int, name: str) -> bytes:
    try:
        data = bytes.fromhex(digits.rjust(2 * size, "0"))
    except ValueError as error:
        raise ParseError(Reason.NOT_HEX, f"{name} {digits!r}: want hex digits") from error
    if len(data) != size:
        raise ParseError(Reason.OUT_OF_RANGE, f"{name} {digits!r}: want at most {2 * size} hex digits")
    return data


def _packet_bytes(packet: tuple[int, int] | None, *, text: bool) -> bytes:
    if packet is None:
        return b""
    total, number = packet
    if not 1 <= number <= total <= 0xFFF:
        raise ParseError(Reason.BAD_FIELD, f"packet {number} of {total}")
    word = total << 12 | number
    return b"%06X" % word if text else word.to_bytes(3, "big")
