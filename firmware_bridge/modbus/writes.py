"""An order's argument as a write to its registers, and how to see afterwards that the unit holds it.

Source: MODBUS Application Protocol V1.1b3, clauses 6.5, 6.6, 6.11, 6.12 and 6.16.
"""

import math

import msgspec

from device_profiles.quantities import Metric, MetricType, Text
from device_profiles.wires.modbus import ONE_BIT, RegisterField
from device_profiles.wires.modbus_orders import RegisterOrder
from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.layout import FLOATS, in_wire_order, registers_of, words_of
from firmware_bridge.modbus.pdus import Function, MaskWrite, ReadRequest, WriteRequest, build_request
from firmware_bridge.numbers import unpack
from firmware_bridge.values import undo_scaling
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["Write", "plan_write"]

_WHOLE_WORD = 0xFFFF
_CLOSE = 1e-6
"""How near a float must read back: a unit that keeps another width gives it back rounded (f32 holds seven digits)."""


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A write and its proof: the request's PDU, the PDU that reads the same place, and what its data must be, of each word
    the bits in `mask`."""

    pdu: bytes
    read_pdu: bytes
    want: bytes
    mask: int = _WHOLE_WORD
    field: RegisterField

    def holds(self, data: bytes) -> bool:
        """Whether the unit, by the data of its reply, holds what was written."""
        if data == self.want:
            return True
        if len(data) != len(self.want) or self.field.area in ONE_BIT:
            return False
        if self.field.type in FLOATS:
            held, wanted = (unpack(in_wire_order(self.field, one), self.field.type) for one in (data, self.want))
            return math.isclose(held, wanted, rel_tol=_CLOSE)
        return all((a ^ b) & self.mask == 0 for a, b in zip(words_of(data), words_of(self.want), strict=True))


def plan_write(order: RegisterOrder, value: Value) -> Write:
    """The write of `value`, in the argument's own unit, to the order's place.

    ParseError: wrong_type, not_in_enum or out_of_range where the place has no form for it.
    """
    field = order.field
    if field.area in ONE_BIT:
        return _coils(order, value)
    if field.scaling.bit is not None or field.scaling.bits is not None:
        return _masked(field, value)
    data = registers_of(field, _raw(field, value))
    words = words_of(data)
    several = order.multiple or len(words) > 1
    function = Function.WRITE_MULTIPLE_REGISTERS if several else Function.WRITE_SINGLE_REGISTER
    write = WriteRequest(function=function, address=field.address, values=words)
    return Write(
        pdu=build_request(write),
        read_pdu=_read(Function.READ_HOLDING_REGISTERS, field.address, len(words)),
        want=data,
        field=field,
    )


def _coils(order: RegisterOrder, value: Value) -> Write:
    field = order.field
    number = _whole(field, value)
    if not 0 <= number < 1 << order.coils:
        raise ParseError(Reason.OUT_OF_RANGE, f"{field.metric}: {number} for {order.coils} coils")
    if field.scaling.invert:
        number ^= (1 << order.coils) - 1
    bits = tuple(bool(number >> place & 1) for place in range(order.coils))
    several = order.multiple or order.coils > 1
    function = Function.WRITE_MULTIPLE_COILS if several else Function.WRITE_SINGLE_COIL
    write = WriteRequest(function=function, address=field.address, values=bits)
    return Write(
        pdu=build_request(write),
        read_pdu=_read(Function.READ_COILS, field.address, order.coils),
        want=number.to_bytes((order.coils + 7) // 8, "little"),
        field=field,
    )


def _masked(field: RegisterField, value: Value) -> Write:
    """Some bits of one register: the others keep what the unit holds at that moment, not what it held when it was read."""
    lowest, count = (field.scaling.bit, 1) if field.scaling.bit is not None else field.scaling.bits or (0, 16)
    mask = ((1 << count) - 1) << lowest
    raw = undo_scaling(bool(value) if field.scaling.bit is not None else value, field.scaling, _metric(field))
    or_mask = int.from_bytes(in_wire_order(field, int(raw).to_bytes(2, "big")), "big")
    mask = int.from_bytes(in_wire_order(field, mask.to_bytes(2, "big")), "big")
    change = MaskWrite(address=field.address, and_mask=_WHOLE_WORD & ~mask, or_mask=or_mask)
    return Write(
        pdu=build_request(change),
        read_pdu=_read(Function.READ_HOLDING_REGISTERS, field.address, 1),
        want=or_mask.to_bytes(2, "big"),
        mask=mask,
        field=field,
    )


def _raw(field: RegisterField, value: Value) -> float:
    if isinstance(value, bool) and not field.scaling.enum:
        value = int(value)
    raw = undo_scaling(value, field.scaling, _metric(field))
    if isinstance(raw, str):
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric} {value!r}, want a number")
    if field.type not in FLOATS and abs(raw - round(raw)) > _CLOSE * max(1.0, abs(raw)):
        step = abs(field.scaling.scale)
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric} {value}, want a multiple of {step:g}")
    return raw


def _whole(field: RegisterField, value: Value) -> int:
    if isinstance(value, str) or value is None or value != int(value):
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric} {value!r}, want a whole number")
    return int(value)


def _metric(field: RegisterField) -> Metric:
    """The argument as the scaling sees it: a number without a range of its own."""
    return Metric(name=field.metric, type=MetricType.FLOAT, unit="1", title=Text(field.metric, field.metric))


def _read(function: Function, address: int, count: int) -> bytes:
    return build_request(ReadRequest(function=function, address=address, count=count))
