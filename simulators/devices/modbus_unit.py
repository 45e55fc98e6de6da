"""A Modbus unit, for lamp loop controllers and air transmitters: registers out of a profile, PDUs in and out, no transport."""

from collections.abc import Mapping

from device_profiles.model import Profile
from device_profiles.wires.modbus import ModbusWire, RegisterArea
from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.frames import (
    ExceptionReply,
    Function,
    ReadReply,
    ReadRequest,
    WriteReply,
    WriteRequest,
    build_reply,
    parse_request,
)
from firmware_bridge.modbus.registers import encode_registers, width
from firmware_bridge.values import apply_scaling
from simulators.actions import How
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
            (field.area, field.address + n) for field in self.wire.registers for n in range(width(field))
        )
        self._unread = set(self._cells)

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
        if isinstance(request, ReadRequest):
            return build_reply(self._read(request, now_ns))
        return build_reply(self._write(request))

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

    def _write(self, request: WriteRequest) -> WriteReply | ExceptionReply:
        area = _AREA[request.function]
        pins = {}
        for address, raw in enumerate(request.values, request.address):
            fields = [f for f in self.wire.registers if f.area is area and f.address == address and width(f) == 1]
            if not fields:
                return ExceptionReply(function=request.function, code=_ILLEGAL_ADDRESS)
            for field in fields:
                try:
                    pins[field.metric] = apply_scaling(raw, field.scaling, self.profile.metrics[field.metric])
                except ParseError:
                    return ExceptionReply(function=request.function, code=_ILLEGAL_VALUE)
        for metric, value in pins.items():
            self.body.pin(metric, value)
        return WriteReply(function=request.function, address=request.address, value=_echo(request))


def _echo(request: WriteRequest) -> int:
    if request.function is Function.WRITE_SINGLE_COIL:
        return 0xFF00 if request.values[0] else 0
    if request.function is Function.WRITE_SINGLE_REGISTER:
        return int(request.values[0])
    return len(request.values)
