"""XMODEM (sum and CRC), XMODEM-1K and YMODEM, sender and receiver, sans-IO.

Source: C. Forsberg, "XMODEM/YMODEM Protocol Reference", 1988-10-14.

    SOH or STX | number | 255 - number | 128 or 1024 bytes | CRC-16 (polynomial 1021, start 0), or sum of the bytes

The receiver asks: C for packets with CRC, NAK for sums. Each packet is answered with ACK or NAK, the end (EOT) with NAK
the first time, so that a damaged byte ends nothing. YMODEM puts a packet 0 before each file, with its name, a zero byte
and its size in decimal, and an empty one after the last; its files have no padding. XMODEM's are padded with 1A.
"""

from binascii import crc_hqx
from collections.abc import Iterator, Sequence
from enum import Enum, auto

import msgspec

from firmware_bridge.errors import ParseError, Refused
from telemetry.reason import Reason

__all__ = ["CANCEL", "NamedFile", "Receiver", "Sender", "parse_packet", "xmodem_steps", "ymodem_steps"]

_SOH, _STX, _EOT, _ACK, _NAK, _CAN = 0x01, 0x02, 0x04, 0x06, 0x15, 0x18
_CRC = ord("C")
_SIZES = {_SOH: 128, _STX: 1024}
_PAD = b"\x1a"
CANCEL = bytes((_CAN,)) * 8 + b"\b" * 8
"""Ends a transfer from either side; the backspaces wipe it off a prompt (clause 7.2)."""
_TRIES = 10


class NamedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a YMODEM batch."""

    name: str
    data: bytes


class _Await(Enum):
    """What the sender waits for in a step."""

    START = auto()
    ACK = auto()


class Step(msgspec.Struct, frozen=True):
    """One step of a sender: wait for the start of a file, or say a packet (EOT where `data` is None) until it has an ACK."""

    awaits: _Await
    number: int = 0
    data: bytes | None = None


def xmodem_steps(data: bytes, block: int = 1024) -> Iterator[Step]:
    """One file without a name, in blocks of 128 or 1024 bytes; what is left at the end goes in blocks of 128."""
    yield Step(_Await.START)
    yield from _blocks(data, block)
    yield Step(_Await.ACK)


def ymodem_steps(files: Sequence[NamedFile]) -> Iterator[Step]:
    """A batch of files with their names and sizes."""
    for file in files:
        yield Step(_Await.START)
        head = file.name.encode() + b"\0" + str(len(file.data)).encode() + b"\0"
        yield Step(_Await.ACK, 0, head.ljust(128 if len(head) <= 128 else 1024, b"\0"))
        yield from xmodem_steps(file.data)
    yield Step(_Await.START)
    yield Step(_Await.ACK, 0, bytes(128))


def _blocks(data: bytes, block: int) -> Iterator[Step]:
    at = 0
    for number in range(1, len(data) + 2):
        if at >= len(data):
            return
        size = block if len(data) - at > 7 * 128 else 128
        yield Step(_Await.ACK, number % 256, data[at : at + size].ljust(size, _PAD))
        at += size


class Sender:
    """Says the steps one by one. `feed` takes what the receiver said, `quiet` is told that it said nothing for a while;
    both return what to put on the line. It is over when `done` is true or `refused` says why not; `sent` counts the bytes
    that have an ACK, padding included."""

    def __init__(self, steps: Iterator[Step]) -> None:
        self.done = False
        self.refused: Refused | None = None
        self.sent = 0
        self._steps = steps
        self._step = next(steps)
        self._with_crc: bool | None = None
        self._tries = 0
        self._cans = 0

    def feed(self, data: bytes) -> bytes:
        """What to send after the receiver's bytes; any that have no meaning now are noise."""
        out = b""
        for byte in data:
            if self.done or self.refused:
                break
            self._cans = self._cans + 1 if byte == _CAN else 0
            if self._cans == 2:
                self.refused = Refused(reason=Reason.INTERRUPTED, detail="the receiver cancelled")
            elif self._step.awaits is _Await.START:
                out += self._start(byte)
            elif byte == _ACK:
                out += self._next()
            elif byte == _NAK:
                out += self._again("the receiver did not take it")
        return out

    def quiet(self) -> bytes:
        """Say the packet again; a receiver that never asks is given up after as many rounds."""
        return self._again("the receiver is silent") if not (self.done or self.refused) else b""

    def _start(self, byte: int) -> bytes:
        if byte not in {_CRC, _NAK} or self._with_crc not in {None, byte == _CRC}:
            return b""  # a second file is asked for as the first was; anything else is late
        self._with_crc = byte == _CRC
        return self._next()

    def _next(self) -> bytes:
        self.sent += len(self._step.data or b"")
        self._tries = 0
        following = next(self._steps, None)
        if following is None:
            self.done = True
            return b""
        self._step = following
        return self._said()

    def _again(self, why: str) -> bytes:
        self._tries += 1
        if self._tries <= _TRIES:
            return self._said()
        self.refused = Refused(reason=Reason.TIMEOUT, detail=f"{why}, {_TRIES} times")
        return CANCEL

    def _said(self) -> bytes:
        if self._step.awaits is _Await.START:
            return b""
        if self._step.data is None:
            return bytes((_EOT,))
        return _packet(self._step.number, self._step.data, with_crc=bool(self._with_crc))


def _packet(number: int, data: bytes, *, with_crc: bool) -> bytes:
    start = _SOH if len(data) == 128 else _STX
    return bytes((start, number, 255 - number)) + data + _check(data, with_crc=with_crc)


def _check(data: bytes, *, with_crc: bool) -> bytes:
    return crc_hqx(data, 0).to_bytes(2, "big") if with_crc else bytes((sum(data) & 0xFF,))


def parse_packet(packet: bytes, *, with_crc: bool = True) -> tuple[int, bytes]:
    """Number and data of one whole packet. ParseError: bad_start, truncated, bad_length, bad_field (number), bad_checksum."""
    if not packet or packet[0] not in _SIZES:
        raise ParseError(Reason.BAD_START if packet else Reason.TRUNCATED, "no packet begins here", 0)
    size = _packet_size(packet[0], with_crc=with_crc)
    if len(packet) != size:
        reason = Reason.TRUNCATED if len(packet) < size else Reason.BAD_LENGTH
        raise ParseError(reason, f"{len(packet)} bytes, want {size}", min(len(packet), size))
    number, data = packet[1], packet[3 : 3 + _SIZES[packet[0]]]
    if number + packet[2] != 255:
        raise ParseError(Reason.BAD_FIELD, f"number {number} and its complement {packet[2]} do not fit", 1)
    if packet[3 + len(data) :] != _check(data, with_crc=with_crc):
        raise ParseError(Reason.BAD_CHECKSUM, f"of packet {number}", 3 + len(data))
    return number, data


def _packet_size(start: int, *, with_crc: bool) -> int:
    return 3 + _SIZES[start] + (2 if with_crc else 1)


class Receiver:
    """Takes one XMODEM file, or a YMODEM batch. `start` asks for it; then as with Sender.

    `take` hands over what came since it was called last; `names` and `sizes` of a batch are in `files`, which is filled
    as files end (and holds one of name "" for XMODEM, where nobody took its bytes). Never holds more than `limit_bytes` of
    data and one packet.
    """

    def __init__(self, *, ymodem: bool = False, with_crc: bool = True, limit_bytes: int = 64 * 1024 * 1024) -> None:
        self.done = False
        self.refused: Refused | None = None
        self.files: list[NamedFile] = []
        self._ymodem = ymodem
        self._with_crc = with_crc or ymodem
        self._limit_bytes = limit_bytes
        self._room_bytes = limit_bytes
        self._buffer = bytearray()
        self._data = bytearray()
        self._expected = 0 if ymodem else 1
        self._name = ""
        self._size: int | None = None
        self._begun = False
        self._asking = True
        self._damaged: ParseError | None = None
        self._ended = False
        self._tries = 0
        self._cans = 0

    def start(self) -> bytes:
        """The request for the first packet."""
        return bytes((_CRC if self._with_crc else _NAK,))

    def feed(self, data: bytes) -> bytes:
        """What to answer to the sender's bytes. A damaged packet is answered once the line is quiet (see `quiet`)."""
        if self.done:
            return bytes((_ACK,)) if _EOT in data else b""  # the last ACK was lost
        out = b""
        for at in range(0, len(data), 1024):
            if self._deaf:
                break
            self._buffer += data[at : at + 1024]
            while self._buffer and not self._deaf:
                answer = self._one()
                if answer is None:
                    break
                out += answer
        return out

    def quiet(self) -> bytes:
        """Nothing came for a while: ask again; after too many times cancel."""
        if self.refused or self.done:
            return b""
        why = self._damaged or ParseError(Reason.TIMEOUT, "the sender is silent")
        self._damaged = None
        self._buffer.clear()
        self._ended = False
        self._tries += 1
        if self._tries > _TRIES:
            return self._give_up(why.reason, f"{why.detail}, {_TRIES} times")
        return self.start() if self._asking else bytes((_NAK,))

    def take(self) -> bytes:
        """The bytes of the current file that came since the last call; they are not kept any longer."""
        taken = bytes(self._data)
        self._data.clear()
        self._room_bytes += len(taken)
        return taken

    @property
    def _deaf(self) -> bool:
        """Whether more bytes mean nothing: it is over, or a packet is damaged and the line not quiet yet."""
        return self.done or self.refused is not None or self._damaged is not None

    def _one(self) -> bytes | None:
        """The answer to what the buffer begins with, None while more bytes are needed."""
        first = self._buffer[0]
        if first in _SIZES:
            return self._packet(first)
        del self._buffer[0]
        self._cans = self._cans + 1 if first == _CAN else 0
        if self._cans == 2:
            self.refused = Refused(reason=Reason.INTERRUPTED, detail="the sender cancelled")
        elif first == _EOT:
            return self._end()
        return b""

    def _packet(self, start: int) -> bytes | None:
        size = _packet_size(start, with_crc=self._with_crc)
        if len(self._buffer) < size:
            return None
        packet = bytes(self._buffer[:size])
        try:
            number, data = parse_packet(packet, with_crc=self._with_crc)
        except ParseError as error:
            self._damaged = error
            return b""
        del self._buffer[:size]
        self._cans = 0
        self._ended = False
        if number == self._expected:
            return self._take_in(data)
        if self._begun and number == (self._expected - 1) % 256:
            return bytes((_ACK,))  # our ACK was lost and it came again
        return self._give_up(Reason.BAD_FIELD, f"packet {number}, want {self._expected}")

    def _take_in(self, data: bytes) -> bytes:
        self._tries = 0
        if self._ymodem and not self._begun:
            return self._head(data)
        self._begun = True
        self._asking = False
        if self._size is not None:
            data = data[: max(0, self._size)]
            self._size -= len(data)
        if len(data) > self._room_bytes:
            return self._give_up(Reason.OVERSIZED, f"more than {self._limit_bytes} bytes")
        self._room_bytes -= len(data)
        self._data += data
        self._expected = (self._expected + 1) % 256
        return bytes((_ACK,))

    def _head(self, data: bytes) -> bytes:
        """Packet 0 of a file, or the empty one that ends the batch."""
        name, _, rest = data.partition(b"\0")
        if not name:
            self.done = True
            return bytes((_ACK,))
        digits = rest.partition(b"\0")[0].split(b" ")[0]
        self._name = name.decode("utf-8", errors="replace")
        self._size = int(digits) if digits.isdigit() and len(digits) <= 12 else None
        self._begun = True
        self._expected = 1
        return bytes((_ACK,)) + self.start()

    def _end(self) -> bytes:
        if self._ymodem and not self._begun:  # our word that the last file is whole was lost
            return bytes((_ACK,)) + self.start() if self.files else b""
        if not self._ended:
            self._ended = True
            return bytes((_NAK,))
        self.files.append(NamedFile(name=self._name, data=bytes(self._data)))
        self._data.clear()
        self._tries = 0
        self._ended = False
        if not self._ymodem:
            self.done = True
            return bytes((_ACK,))
        self._begun = False
        self._asking = True
        self._expected = 0
        return bytes((_ACK,)) + self.start()

    def _give_up(self, reason: Reason, detail: str) -> bytes:
        self.refused = Refused(reason=reason, detail=detail)
        return CANCEL
