"""A Modbus unit, for lamp loop controllers and air transmitters: registers out of a profile, PDUs in and out, no transport."""

from collections.abc import Mapping

from device_profiles.model import Profile
from device_profiles.wires.modbus import ModbusWire, RegisterArea
from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.files import FileData, FileRead, FileWrite
from firmware_bridge.modbus.pdus import (
    ExceptionReply,
    Function,
    MaskWrite,
    ReadReply,
    ReadRequest,
    Reply,
    Request,
    WriteReply,
    WriteRequest,
    build_reply,
    parse_request,
)
from firmware_bridge.modbus.plan import ReadBlock
from firmware_bridge.modbus.registers import decode_registers, encode_registers
from simulators.deeds import How
from simulators.devices.base import Device, Surroundings
from simulators.scenario import DeviceSpec
from telemetry.reason import Reason

__all__ = ["ModbusUnit"]

_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3  # Modbus Application Protocol V1.1b3, clause 7

_AREA: Mapping[Function, RegisterArea] = {
    Function.READ_COILS: RegisterArea.COIL,
    Function.READ_DISCRETE_INPUTS: RegisterArea.DISCRETE,
    Function.READ_HOLDING_REGISTERS: RegisterArea.HOLDING,
    Function.READ_INPUT_REGISTERS: RegisterArea.INPUT,
    Function.WRITE_SINGLE_COIL: RegisterArea.COIL,
    Function.WRITE_MULTIPLE_COILS: RegisterArea.COIL,
    Function.WRITE_SINGLE_REGISTER: RegisterArea.HOLDING,
    Function.WRITE_MULTIPLE_REGISTERS: RegisterArea.HOLDING,
}
_BITS = frozenset({RegisterArea.COIL, RegisterArea.DISCRETE})

_MOST_RECORDS = 10_000  # V1.1b3, clause 6.15: record numbers 0 to 9999

_Cell = tuple[RegisterArea, int]


class ModbusUnit(Device):
    """Answers PDUs. A read must lie between the lowest and highest register of its area; gaps read as 0, as in most units.

    `spoken` grows by one whenever every register of the profile has been answered since the last time, undamaged.
    """

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.modbus is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no Modbus wire")
        self.wire: ModbusWire = profile.wire.modbus
        self.unit = int(spec.address)
        self._cells: frozenset[_Cell] = frozenset(
            (field.area, field.address + n) for field in self.wire.registers for n in range(field.width)
        )
        self._unread = set(self._cells)
        self.files: dict[int, bytearray] = {}
        """File records by the number of their file; a file is there once something was written to it."""

    def speak(self, now_ns: int) -> Mapping[RegisterArea, Mapping[int, int | bool]]:
        """Every register's content now."""
        return encode_registers(self.profile, self.values(now_ns))

    def answer(self, pdu: bytes, now_ns: int) -> bytes:
        """The reply's PDU to a request's; an exception reply where the request asks for what there is not."""
        self.account.requests += 1
        try:
            request = parse_request(pdu)
        except ParseError as error:
            code = _ILLEGAL_FUNCTION if error.reason is Reason.UNKNOWN_MESSAGE else _ILLEGAL_VALUE
            return build_reply(ExceptionReply(function=(pdu[:1] or b"\0")[0] & 0x7F, code=code))
        return build_reply(self._reply(request, now_ns))

    def _reply(self, request: Request, now_ns: int) -> Reply:
        match request:
            case ReadRequest():
                return self._read(request, now_ns)
            case WriteRequest():
                return self._write(request, now_ns)
            case MaskWrite():
                return self._mask(request, now_ns)
            case FileRead():
                return self._read_files(request)
            case FileWrite():
                return self._write_files(request)

    def _read(self, request: ReadRequest, now_ns: int) -> ReadReply | ExceptionReply:
        area = _AREA[request.function]
        wanted = range(request.address, request.address + request.count)
        known = [address for cell_area, address in self._cells if cell_area is area]
        if not known or wanted[0] < min(known) or wanted[-1] > max(known):
            return ExceptionReply(function=request.function, code=_ILLEGAL_ADDRESS)
        content = self.speak(now_ns).get(area, {})
        if self.misbehaves(now_ns) in {None, How.FLOOD}:  # in any other way this reply will not be understood
            self._count_sweep({(area, address) for address in wanted})
        nothing: int | bool = False if area in _BITS else 0
        return ReadReply(function=request.function, values=tuple(content.get(address, nothing) for address in wanted))

    def _count_sweep(self, answered: set[_Cell]) -> None:
        self._unread -= answered
        if not self._unread:
            self._unread = set(self._cells)
            self.account.spoken += 1

    def _write(self, request: WriteRequest, now_ns: int) -> WriteReply | ExceptionReply:
        words = dict(enumerate(request.values, request.address))
        code = self._put(_AREA[request.function], words, now_ns)
        if code:
            return ExceptionReply(function=request.function, code=code)
        return WriteReply(function=request.function, address=request.address, value=_echo(request))

    def _mask(self, request: MaskWrite, now_ns: int) -> MaskWrite | ExceptionReply:
        held = int(self.speak(now_ns).get(RegisterArea.HOLDING, {}).get(request.address, 0))
        word = held & request.and_mask | request.or_mask & ~request.and_mask  # clause 6.16
        code = self._put(RegisterArea.HOLDING, {request.address: word & 0xFFFF}, now_ns)
        return ExceptionReply(function=Function.MASK_WRITE_REGISTER, code=code) if code else request

    def _put(self, area: RegisterArea, words: Mapping[int, int | bool], now_ns: int) -> int:
        """Hold what was written, of numbers in several registers also where only a part was; 0, or an exception's code."""
        if not all((area, address) in self._cells for address in words):
            return _ILLEGAL_ADDRESS
        content = {**self.speak(now_ns).get(area, {}), **words}
        written = [f for f in self.wire.registers if f.area is area and words.keys() & set(range(f.address, f.address + f.width))]
        blocks = {ReadBlock(area, f.address, f.width): [content.get(f.address + n, 0) for n in range(f.width)] for f in written}
        decoded = decode_registers(self.profile, blocks)
        if any(f.metric in decoded.flaws and decoded.flaws[f.metric].reason is not Reason.NO_VALUE for f in written):
            return _ILLEGAL_VALUE
        for field in written:
            self.body.pin(field.metric, decoded.values[field.metric])
        return 0

    def _read_files(self, request: FileRead) -> FileData | ExceptionReply:
        parts = []
        for part in request.parts:
            data = self.files.get(part.file, b"")[2 * part.record : 2 * (part.record + part.registers)]
            if len(data) != 2 * part.registers or not data:
                return ExceptionReply(function=Function.READ_FILE_RECORD, code=_ILLEGAL_ADDRESS)
            parts.append(bytes(data))
        return FileData(parts=tuple(parts))

    def _write_files(self, request: FileWrite) -> FileWrite | ExceptionReply:
        if any(part.record + part.registers > _MOST_RECORDS for part, _ in request.parts):
            return ExceptionReply(function=Function.WRITE_FILE_RECORD, code=_ILLEGAL_ADDRESS)
        for part, data in request.parts:
            file = self.files.setdefault(part.file, bytearray())
            file.extend(bytes(max(0, 2 * part.record - len(file))))
            file[2 * part.record : 2 * part.record + len(data)] = data
        return request


def _echo(request: WriteRequest) -> int:
    if request.function is Function.WRITE_SINGLE_COIL:
        return 0xFF00 if request.values[0] else 0
    if request.function is Function.WRITE_SINGLE_REGISTER:
        return int(request.values[0])
    return len(request.values)
