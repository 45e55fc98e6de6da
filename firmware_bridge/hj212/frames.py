"""HJ 212 frames: start, length, data segment, checksum, line end (HJ 212-2017, clause 6.3.1 and annex A).

## | length, 4 decimal digits | data segment, 0 to 1024 bytes | CRC, 4 hex digits | CR LF
"""

import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

import msgspec

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.hj212.deviations import REAL_DEVICES, Deviation, Deviations
from telemetry.reason import Reason

__all__ = ["MAX_FRAME_BYTES", "MAX_SEGMENT_BYTES", "Frame", "Hj212Framer", "crc16", "encode_frame", "parse_frame"]

MAX_SEGMENT_BYTES = 1024
MAX_FRAME_BYTES = 2 + 4 + 9999 + 4
"""Start, length, the longest segment that four digits can tell, checksum."""

_HEAD = re.compile(rb"##([0-9]{2,4})(?=[^0-9#])")
_HEAD_BYTES = 7
"""A start with four digits and the byte behind them, which shows that the length has ended."""
# The end of the data segment; the && that opens CP may stand before hex digits, too.
_CLOSE = re.compile(rb"(?<!CP=)&&([0-9A-Fa-f]{4})")
_TOKEN = re.compile(rb"(?P<close>(?<!CP=)&&[0-9A-Fa-f]{4})|(?P<head>##[0-9]{2,4}[^0-9#])|\n")
_CRC = re.compile(rb"[0-9A-Fa-f]{4}")
_BETWEEN = b"\r\n \t\0"
_NOISE_BYTES = 1024
_SLICE_BYTES = 4096


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One data segment whose checksum is right.

    `declared_length` is what the frame says of it; `segment_at` is where it begins in `raw`. `crc` is as written.
    """

    segment: bytes
    declared_length: int
    crc: str
    segment_at: int = 6
    deviations: tuple[Deviation, ...] = ()
    raw: bytes = b""

    @property
    def length_ok(self) -> bool:
        """Whether the frame's length is the data segment's."""
        return self.declared_length == len(self.segment)

    def __repr__(self) -> str:
        # The segment holds the access password: it is not to end up in a log.
        return f"Frame({len(self.segment)} bytes, crc {self.crc})"


def crc16(segment: bytes) -> int:
    """The CRC of annex A: every byte is put in the place of the register's low byte, exclusive or its high byte.

    The register is shifted by eight *before* the byte is added: with the same polynomial, this is not the CRC of Modbus.
    """
    register = 0xFFFF
    for byte in segment:
        register = _BITS[(register >> 8) ^ byte]
    return register


def _modbus_crc(segment: bytes) -> int:
    register = 0xFFFF
    for byte in segment:
        register = (register >> 8) ^ _BITS[(register ^ byte) & 0xFF]
    return register


def _swapped_crc(segment: bytes) -> int:
    return int.from_bytes(crc16(segment).to_bytes(2, "big"), "little")


def _shifted(register: int) -> int:
    for _ in range(8):
        register = (register >> 1) ^ (0xA001 if register & 1 else 0)
    return register


_BITS = tuple(_shifted(register) for register in range(256))
_OTHER_CRCS: dict[Deviation, Callable[[bytes], int]] = {
    Deviation.MODBUS_CRC: _modbus_crc,
    Deviation.SWAPPED_CRC: _swapped_crc,
}


def parse_frame(raw: bytes, tolerate: AbstractSet[Deviation] = REAL_DEVICES) -> Frame:
    """The one frame in `raw`, with or without its line end.

    ParseError, `at` counted in bytes of `raw`: bad_start, bad_length, truncated, oversized, bad_checksum.
    """
    met = Deviations(tolerate)
    # 1. Length: where the segment should end.
    head = _head(raw)
    start, declared = head.end(), int(head[1])
    if len(head[1]) != 4:
        met.meet(Deviation.SHORT_LENGTH, 2)
    # 2. Integrity: it ends there, or at its closing &&, whichever the checksum agrees with.
    end = _end(raw, start, declared, met)
    crc = raw[end : end + 4]
    # 3. Integers: the checksum's digits.
    if crc != crc.upper():
        met.meet(Deviation.LOWERCASE_CRC, end)
    # 4. Sanity: nothing behind it but the line end, and no more than the standard allows.
    _check_tail(raw, end + 4, met)
    if end - start != declared:
        met.meet(Deviation.WRONG_LENGTH, 2)
    if end - start > MAX_SEGMENT_BYTES:
        met.meet(Deviation.OVERLONG, 2)
    # 5. Build.
    return Frame(
        segment=raw[start:end], declared_length=declared, crc=crc.decode(), segment_at=start, deviations=met.met, raw=raw
    )


def _head(raw: bytes) -> re.Match[bytes]:
    if raw[:2] != b"##":
        raise ParseError(Reason.BAD_START, f"want ##, got {raw[:2].hex(' ') or 'nothing'}", 0)
    head = _HEAD.match(raw)
    if head is not None:
        return head
    digits = raw[2:7]
    if not digits or (digits.isdigit() and len(digits) < 5):
        raise ParseError(Reason.TRUNCATED, "the frame ends with its length", len(raw))
    raise ParseError(Reason.BAD_LENGTH, "want four decimal digits behind ##", 2)


def _end(raw: bytes, start: int, declared: int, met: Deviations) -> int:
    """Where the data segment ends and the checksum begins."""
    ends = [start + declared] if start + declared <= len(raw) else []
    close = _CLOSE.search(raw, start)
    if close is not None and close.start() + 2 not in ends:
        ends.append(close.start() + 2)
    for end in ends:
        if _checks(raw, start, end, met):
            return end
    raise _no_end(raw, start, declared)


def _checks(raw: bytes, start: int, end: int, met: Deviations) -> bool:
    written = raw[end : end + 4]
    if not _CRC.fullmatch(written):
        return False
    crc, segment = int(written, 16), raw[start:end]
    if crc == crc16(segment):
        return True
    for deviation, other in _OTHER_CRCS.items():
        if met.tolerates(deviation) and crc == other(segment):
            met.meet(deviation, end)
            return True
    return False


def _no_end(raw: bytes, start: int, declared: int) -> ParseError:
    """Why no end was believable: the frame is not all there, or its checksum is wrong."""
    due = start + declared
    text = raw.rstrip(_BETWEEN)
    last = text.rfind(b"&&", start)
    closed = last >= 0 and text[:last][-3:] != b"CP="
    end = last + 2 if closed else due
    missing = len(text) < due + 4
    if missing and (not closed or end == due):
        return ParseError(Reason.TRUNCATED, f"{len(text)} bytes, want {due + 4}", len(text))
    written = text[end : end + 4].decode("ascii", errors="replace")
    return ParseError(Reason.BAD_CHECKSUM, f"CRC {written!r}, want {crc16(raw[start:end]):04X}", end)


def _check_tail(raw: bytes, at: int, met: Deviations) -> None:
    tail = raw[at:]
    if tail == b"\r\n":
        return
    if tail.strip(_BETWEEN):
        raise ParseError(Reason.BAD_LENGTH, f"{len(tail)} bytes behind the checksum", at)
    met.meet(Deviation.NO_LINE_END, at)


class Hj212Framer:
    """Cuts a connection's bytes into frames.

    A frame ends where its length says, if the checksum agrees, or else at its closing && with four hex digits, at a line
    end that is due, or where the next frame begins: so no wrong length makes it wait for more than one frame, and noise
    costs no frame that is whole. Whatever is no frame comes out as `Refused`; line ends and blanks between frames are
    nothing. Any cut of the same bytes gives the same result. Holds at most MAX_FRAME_BYTES and some 4 KiB more.
    """

    def __init__(self, tolerate: AbstractSet[Deviation] = REAL_DEVICES) -> None:
        # The frame is told at its checksum, before its line end can have come.
        self._tolerate = frozenset(tolerate) | {Deviation.NO_LINE_END}
        self._held = bytearray()
        self._due: int | None = None
        self._due_tried = False
        self._scanned = 0

    def feed(self, data: bytes) -> list[Frame | Refused]:
        """The frames and refusals that `data` completes, in order."""
        return list(self._fed(data))

    def idle(self) -> list[Frame | Refused]:
        """What was begun and not finished before the line went quiet; the framer begins anew."""
        headed, rest = self._due is not None, bytes(self._held)
        self._drop(len(rest))
        if headed:
            return [self._judged(rest)]
        return [_noise(rest)] if rest.strip(_BETWEEN) else []

    def _fed(self, data: bytes) -> Iterator[Frame | Refused]:
        for at in range(0, len(data), _SLICE_BYTES):
            self._held += data[at : at + _SLICE_BYTES]
            while (said := self._next()) is not None:
                yield said

    def _next(self) -> Frame | Refused | None:
        if self._due is None:
            noise = self._find_head()
            if noise is not None or self._due is None:
                return noise
        size = self._find_end()
        if size is None:
            return None
        raw = bytes(self._held[:size])
        self._drop(size)
        return self._judged(raw)

    def _find_head(self) -> Refused | None:
        """Bring the held bytes to begin with a head, and note where its frame is due to end; noise before it, piece by piece."""
        del self._held[: len(self._held) - len(self._held.lstrip(_BETWEEN))]
        head = _HEAD.search(self._held)
        if head is not None and head.start() == 0:
            self._due = head.end() + int(head[1]) + 4
            self._scanned = head.end()
            return None
        before = len(self._held) - _HEAD_BYTES if head is None else head.start()
        if head is None and before < _NOISE_BYTES:
            return None
        noise = bytes(self._held[: min(before, _NOISE_BYTES)])
        self._drop(len(noise))
        return _noise(noise)

    def _find_end(self) -> int | None:
        """How many of the held bytes are the frame, or what must be given up; None while that is open."""
        due = self._due or 0
        while True:
            token = _TOKEN.search(self._held, self._scanned)
            if not self._due_tried and due <= len(self._held) and (token is None or due <= token.end()):
                self._due_tried = True
                if self._is_whole(due):
                    return due
            if token is not None and token.start() < MAX_FRAME_BYTES:
                if token["head"] is not None:
                    return token.start()
                if token["close"] is not None or token.end() > due:
                    return token.end()
                self._scanned = token.end()
                continue
            self._scanned = max(self._scanned, min(len(self._held), MAX_FRAME_BYTES) - _HEAD_BYTES + 1)
            return MAX_FRAME_BYTES if len(self._held) >= MAX_FRAME_BYTES + _HEAD_BYTES else None

    def _is_whole(self, size: int) -> bool:
        raw = bytes(self._held[:size])
        return _checks(raw, _head(raw).end(), size - 4, Deviations(self._tolerate))

    def _judged(self, raw: bytes) -> Frame | Refused:
        try:
            return parse_frame(raw, self._tolerate)
        except ParseError as error:
            return Refused.of(error, raw)

    def _drop(self, size: int) -> None:
        del self._held[:size]
        self._due, self._due_tried, self._scanned = None, False, 0


def _noise(raw: bytes) -> Refused:
    return Refused(reason=Reason.BAD_START, detail=f"{len(raw)} bytes before a ##", raw=raw)


def encode_frame(segment: bytes) -> bytes:
    """`segment` as it goes over the wire. ParseError(oversized) above 1024 bytes."""
    if len(segment) > MAX_SEGMENT_BYTES:
        raise ParseError(Reason.OVERSIZED, f"a data segment of {len(segment)} bytes, want at most {MAX_SEGMENT_BYTES}")
    return b"##%04d%b%04X\r\n" % (len(segment), segment, crc16(segment))
