"""Modbus: where an order is written, and by which function.

    coil, one                function 5                     several coils (`coils: 4`)     function 15
    one register             function 6, or 16 (`multiple: true`) for units that know no other
    several registers        function 16                    `bit` or `bits` of a register  function 22, the rest untouched

Source: MODBUS Application Protocol V1.1b3, clauses 6.5, 6.6, 6.11, 6.12 and 6.16.
"""

import struct

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import NumberType
from device_profiles.wires.fields import WIDTH_BYTES, takes_bits
from device_profiles.wires.modbus import RegisterArea, RegisterField, read_number

__all__ = ["RegisterOrder", "order_limits", "read_order"]

_MOST_COILS = 16
_SIGNED = frozenset({NumberType.I16, NumberType.I32, NumberType.I64})
_LARGEST_F32 = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]


class RegisterOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order's place. `coils` coils from the field's address on take an integer, bit 0 the first of them; `multiple` writes
    a single coil or register by function 15 or 16."""

    field: RegisterField
    coils: int = 1
    multiple: bool = False

    def __str__(self) -> str:
        last = self.field.address + max(self.coils, self.field.width) - 1
        return f"{self.field.area} {self.field.address}" + (f" to {last}" if last > self.field.address else "")


def read_order(branch: Branch, name: str) -> RegisterOrder:
    """The place that an order called `name` is written to."""
    area = RegisterArea(branch.word("area", ("coil", "holding")))
    field = read_number(branch, name, area, None)
    coils = branch.integer("coils", 1, low=1, high=_MOST_COILS)
    if area is RegisterArea.HOLDING and branch.has("coils"):
        branch.wrong("coils", "a holding register is no coil", "no coils")
    if field.address + coils > 65536:
        branch.wrong("coils", f"{coils} coils from {field.address} on end beyond 65535", "fewer coils")
    if field.charset:
        branch.wrong("type", "an order's argument is a number", "a number's type")
    if takes_bits(field.scaling) and field.width > 1:
        branch.wrong("type", "a mask is written to one register", "type: u16")
    multiple = branch.flag("multiple", default=False)
    if multiple and takes_bits(field.scaling):
        branch.wrong("multiple", "bits of a register are written by a mask", "no multiple")
    return RegisterOrder(field=field, coils=coils, multiple=multiple)


def order_limits(order: RegisterOrder) -> tuple[float, float]:
    """The smallest and the largest argument that its place can hold."""
    field = order.field
    if field.area is RegisterArea.COIL:
        return 0, (1 << order.coils) - 1
    if field.scaling.bit is not None:
        return 0, 1
    if field.scaling.bits is not None:
        return 0, (1 << field.scaling.bits[1]) - 1
    if field.scaling.enum:
        numbers = [value for value in field.scaling.enum.values() if isinstance(value, (int, float))]
        return min(numbers, default=0), max(numbers, default=0)
    low, high = _raw_limits(field)
    ends = [raw * field.scaling.scale + field.scaling.offset for raw in (low, high)]
    return min(ends), max(ends)


def _raw_limits(field: RegisterField) -> tuple[float, float]:
    match field.type:
        case NumberType.BCD:
            return 0, 10 ** (4 * field.width) - 1
        case NumberType.F32 | NumberType.F64:
            return -_LARGEST_F32, _LARGEST_F32
        case _:
            bits = 8 * WIDTH_BYTES[field.type]
            return (-(1 << bits - 1), (1 << bits - 1) - 1) if field.type in _SIGNED else (0, (1 << bits) - 1)
