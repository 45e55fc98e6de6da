"""One bootloader, four languages: file records, JT/T 808, LwM2M's object 5, a prompt on a serial line.

A face holds what a power cut takes away; after one, boot the device and give it a new face.
"""

from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.files import FileData, FileRead, build_file_reply, parse_file_request
from firmware_bridge.update.manifest import HEADER_BYTES, parse_manifest
from firmware_bridge.update.prompt import PROMPT_BYTES, standing_line
from firmware_bridge.update.records import (
    HEADER_FILE,
    ORDER_FILE,
    STANDING_FILE,
    Order,
    bytes_of,
    chunk_at,
    words_of,
)
from firmware_bridge.update.standing import Phase, Refusal, Standing, pack_standing
from firmware_bridge.xmodem import Receiver
from simulators.devices.firmware.bootloader import Bootloader
from telemetry.reason import Reason

__all__ = ["Object5", "Prompt", "RecordFiles", "Terminal"]


class RecordFiles:
    """The device as files of records. A refused read or write raises ParseError(out_of_range): exception 2 on the wire."""

    def __init__(self, device: Bootloader) -> None:
        self._device = device
        self._part = bytearray()
        self._chunk = -1

    def read(self, file: int, record: int, count: int) -> tuple[int, ...]:
        """`count` records from `record` on; file 2 alone can be read."""
        words = words_of(pack_standing(self._device.standing()))
        if file != STANDING_FILE or record + count > len(words):
            raise ParseError(Reason.OUT_OF_RANGE, f"file {file}, records {record} to {record + count - 1}")
        return words[record : record + count]

    def write(self, file: int, record: int, words: tuple[int, ...]) -> None:
        """Take a header, an order or a piece of a chunk."""
        if file == HEADER_FILE and record == 0:
            self._device.offer(bytes_of(words))
        elif file == ORDER_FILE and record == 0 and words and words[0] in Order._value2member_map_:
            self._order(Order(words[0]))
        else:
            self._piece(file, record, bytes_of(words))

    def answer(self, pdu: bytes) -> bytes:
        """The reply to a request by function 20 or 21; exception 2 for records that are not there, 3 for what cannot be read
        (MODBUS Application Protocol V1.1b3, clause 7)."""
        try:
            request = parse_file_request(pdu)
            if isinstance(request, FileRead):
                words = [self.read(part.file, part.record, part.registers) for part in request.parts]
                return build_file_reply(FileData(parts=tuple(map(bytes_of, words))))
            for part, data in request.parts:
                self.write(part.file, part.record, words_of(data))
        except ParseError as error:
            return bytes((pdu[0] | 0x80, 2 if error.reason is Reason.OUT_OF_RANGE else 3))
        return pdu

    def _order(self, order: Order) -> None:
        match order:
            case Order.VERIFY:
                self._device.verify()
            case Order.START:
                self._device.start()
            case Order.CONFIRM:
                self._device.confirm()
            case Order.REVERT:
                self._device.revert()

    def _piece(self, file: int, record: int, data: bytes) -> None:
        manifest = self._device.offered()
        if manifest is None:
            raise ParseError(Reason.OUT_OF_RANGE, f"file {file}: nothing is offered")
        chunk, at = chunk_at(manifest, file, record)
        if at == 0:
            self._part, self._chunk = bytearray(), chunk
        if chunk != self._chunk or at != len(self._part):
            raise ParseError(Reason.OUT_OF_RANGE, f"chunk {chunk} at byte {at}, want {self._chunk} at {len(self._part)}")
        self._part += data
        size = min(manifest.chunk_bytes, manifest.size - chunk * manifest.chunk_bytes)
        if len(self._part) >= size:
            self._device.store(chunk, bytes(self._part[:size]))
            self._part, self._chunk = bytearray(), -1


def _take_package(device: Bootloader, package: bytes) -> Standing:
    """Put a whole package into the spare slot and check it."""
    header, image = package[:HEADER_BYTES], package[HEADER_BYTES:]
    standing = device.offer(header)
    if standing.phase is not Phase.RECEIVING:
        return standing
    manifest = parse_manifest(header)
    for number in range(manifest.chunks):
        device.store(number, image[number * manifest.chunk_bytes : (number + 1) * manifest.chunk_bytes])
    return device.verify() if len(image) == manifest.size else device.revert()


class Terminal:
    """A vehicle terminal: the packets of one 0x8108 gathered in memory, the package then checked and tried, and a 0x0108
    after it has logged in again (JT/T 808-2019, 8.27 and 8.28)."""

    OK, FAILED, CANCELLED = 0, 1, 2

    def __init__(self, device: Bootloader) -> None:
        self._device = device
        self._packets: list[bytes] = []
        self._told = True

    def packet(self, number: int, total: int, data: bytes) -> bool:
        """Packet `number` of `total`, counted from 1; True where it is taken, so that it gets a general answer of 0."""
        if number == 1:
            self._packets = []
        if number != len(self._packets) + 1:
            return False
        self._packets.append(data)
        if number == total:
            self._told = False
            if _take_package(self._device, b"".join(self._packets)).phase is Phase.VERIFIED:
                self._device.start()
            self._packets = []
        return True

    def logged_in(self) -> int | None:
        """The platform has taken the terminal's login: an image on trial has shown that it can do its work. The result that
        0x0108 then tells; None where there is none to tell."""
        standing = self._device.standing()
        if standing.phase is Phase.TRIAL:
            standing = self._device.confirm()
            return self.OK
        if self._told:
            return None
        self._told = True
        return self.OK if standing.phase is Phase.EMPTY else self.FAILED


_RESULTS = {
    Refusal.NONE: 8,
    Refusal.BAD_MANIFEST: 6,
    Refusal.BAD_SIGNATURE: 5,
    Refusal.WRONG_MODEL: 6,
    Refusal.WRONG_HARDWARE: 6,
    Refusal.NOT_NEWER: 6,
    Refusal.TOO_LARGE: 2,
    Refusal.BAD_IMAGE: 5,
    Refusal.NOT_CONFIRMED: 8,
    Refusal.CANCELLED: 10,
    Refusal.UNTOLD: 8,
}


class Object5:
    """LwM2M's firmware object, push only: /5/0/0 is written whole, in blocks that CoAP puts together. ParseError(not_found)
    for a path that is not there, ParseError(not_allowed) for a step out of turn (4.04 and 4.05 on the wire)."""

    def __init__(self, device: Bootloader) -> None:
        self._device = device
        self._blocks = bytearray()
        self._result = 0

    def read(self, path: str) -> int | str:
        """A resource's value now."""
        standing = self._device.standing()
        match path:
            case "/5/0/3":
                return self._state(standing)
            case "/5/0/5":
                return self._outcome(standing)
            case "/5/0/7":
                offered = self._device.offered()
                return "" if offered is None else offered.release
            case "/3/0/3":
                return self._device.running.release
            case _:
                raise ParseError(Reason.NOT_FOUND, path)

    def _state(self, standing: Standing) -> int:
        if self._blocks:
            return 1
        return {Phase.VERIFIED: 2, Phase.TRIAL: 3}.get(standing.phase, 0)

    def _outcome(self, standing: Standing) -> int:
        if standing.phase is Phase.REFUSED:
            return _RESULTS[standing.refusal]
        return self._result

    def block(self, data: bytes, *, first: bool, last: bool) -> None:
        """One block of a write to /5/0/0; a single zero byte sets the object back (OMA LwM2M 1.0.2, E.6)."""
        if first:
            self._blocks = bytearray()
        self._blocks += data
        if not last:
            return
        package, self._blocks = bytes(self._blocks), bytearray()
        self._result = 0
        if package == b"\0":
            self._device.revert()
        else:
            _take_package(self._device, package)

    def execute(self, path: str) -> None:
        """Update, where the package has been checked."""
        if path != "/5/0/2" or self._device.standing().phase is not Phase.VERIFIED:
            raise ParseError(Reason.NOT_ALLOWED, f"{path} in state {self.read('/5/0/3')}")
        self._device.start()

    def registered(self) -> None:
        """The server has taken the device's registration: an image on trial has shown that it can do its work."""
        if self._device.standing().phase is Phase.TRIAL:
            self._device.confirm()
            self._result = 1


class Prompt:
    """A bootloader's prompt, as bytes in and bytes out; `quiet` is told that the line has been still for a while."""

    def __init__(self, device: Bootloader) -> None:
        self._device = device
        self._line = bytearray()
        self._receiver: Receiver | None = None
        self._part = bytearray()
        self._chunk = -1

    def feed(self, data: bytes) -> bytes:
        """What the device says to bytes off the line."""
        out = b""
        if self._receiver is not None:
            return self._transfer(self._receiver, data)
        for byte in data:
            if byte in b"\r\n":
                line, self._line = bytes(self._line), bytearray()
                out += self._obey(line)
            elif 32 <= byte < 127:
                self._line = (self._line + bytes((byte,)))[-PROMPT_BYTES:]
        return out

    def quiet(self) -> bytes:
        """What the device says when nothing came for a while: only a transfer has something to ask."""
        if self._receiver is None:
            return b""
        return self._over(self._receiver, self._receiver.quiet())

    def _obey(self, line: bytes) -> bytes:
        match line.split():
            case [b"offer"]:
                return self._receive(-1)
            case [b"load", number] if number.isdigit() and len(number) < 10:
                return self._receive(int(number))
            case [b"verify"]:
                return standing_line(self._device.verify())
            case [b"start"]:
                return standing_line(self._device.start())
            case [b"confirm"]:
                return standing_line(self._device.confirm())
            case [b"revert"]:
                return standing_line(self._device.revert())
            case [b"?"]:
                return standing_line(self._device.standing())
            case _:
                return b""  # noise, or a word that a later release knows

    def _receive(self, chunk: int) -> bytes:
        self._receiver = Receiver(limit_bytes=PROMPT_BYTES if chunk < 0 else 64 * 1024)
        self._part, self._chunk = bytearray(), chunk
        return self._receiver.start()

    def _transfer(self, receiver: Receiver, data: bytes) -> bytes:
        answer = receiver.feed(data)
        if self._chunk >= 0 and not receiver.done:
            self._keep(receiver.take())
        return self._over(receiver, answer)

    def _over(self, receiver: Receiver, answer: bytes) -> bytes:
        if not (receiver.done or receiver.refused):
            return answer
        if receiver.done and self._chunk < 0:
            self._device.offer(receiver.files[0].data[:HEADER_BYTES])
        elif receiver.done:
            self._keep(receiver.files[0].data)
        self._receiver = None
        return answer + standing_line(self._device.standing())

    def _keep(self, data: bytes) -> None:
        """Store every chunk that is whole; what XMODEM pads the last one with is dropped."""
        self._part += data
        manifest = self._device.offered()
        while manifest is not None and self._chunk < manifest.chunks:
            size = min(manifest.chunk_bytes, manifest.size - self._chunk * manifest.chunk_bytes)
            if len(self._part) < size:
                return
            self._device.store(self._chunk, bytes(self._part[:size]))
            del self._part[:size]
            self._chunk += 1
        self._part.clear()
