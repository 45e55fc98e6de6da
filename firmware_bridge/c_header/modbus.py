"""A Modbus register map in C: for each run of registers a struct that is the data of a reply, byte for byte."""

from collections.abc import Iterator

from device_profiles.model import Profile
from device_profiles.quantities import NumberType
from device_profiles.wires.fields import takes_bits
from device_profiles.wires.modbus import ONE_BIT, ModbusWire, RegisterArea, RegisterField
from firmware_bridge.c_header.field import CField, field_lines, order_of
from firmware_bridge.c_header.layout import Member, struct_lines
from firmware_bridge.c_header.names import Names, comment

__all__ = ["modbus_lines"]

_MOST_GAP = 32
"""Registers between two fields from which on a struct of their own costs less than the hole."""
_FUNCTIONS = {
    RegisterArea.COIL: "function 1",
    RegisterArea.DISCRETE: "function 2",
    RegisterArea.HOLDING: "function 3",
    RegisterArea.INPUT: "function 4",
}


def modbus_lines(names: Names, profile: Profile, wire: ModbusWire) -> Iterator[str]:
    """Structs, addresses and fields of the map."""
    prefix = profile.name
    for area in RegisterArea:
        runs = _runs([field for field in wire.registers if field.area is area])
        for run in runs:
            title = [prefix, str(area)] + ([str(run[0].address)] if len(runs) > 1 else [])
            yield ""
            yield from _run_lines(names, profile, run, title)
    for name, command in profile.commands.items():
        if command.register is not None:
            yield ""
            yield comment(f"The order {name}: {command.title.en}; written to {command.register}.")
            order = names.give(prefix, "ORDER", name, "ADDRESS", upper=True)
            yield f"#define {order} {command.register.field.address}u"


def _runs(fields: list[RegisterField]) -> list[list[RegisterField]]:
    runs: list[list[RegisterField]] = []
    end = 0
    for field in sorted(fields, key=lambda field: field.address):
        if not runs or field.address > end + _MOST_GAP:
            runs.append([])
        runs[-1].append(field)
        end = max(end, field.address + field.width)
    return runs


def _run_lines(names: Names, profile: Profile, run: list[RegisterField], title: list[str]) -> Iterator[str]:
    first = run[0].address
    count = max(field.address + field.width for field in run) - first
    area = run[0].area
    struct = names.give(*title, "t")
    what = "bits, the first of them the lowest of byte 0" if area in ONE_BIT else "registers, high byte first"
    yield comment(f"{area} {first} to {first + count - 1} ({_FUNCTIONS[area]}): {what}; addresses count from 0.")
    yield f"#define {names.give(*title, 'FIRST', upper=True)} {first}u"
    yield f"#define {names.give(*title, 'COUNT', upper=True)} {count}u"
    if area in ONE_BIT:
        size = (count + 7) // 8
        yield from struct_lines(names, struct, [Member("bits", 0, size)], size)
        for field in run:
            yield ""
            yield from _coil_lines(names, profile, struct, field, first)
        return
    members = _members(run, first)
    yield from struct_lines(names, struct, list(members.values()), 2 * count)
    for field in run:
        yield ""
        address = names.give(profile.name, field.metric, "ADDRESS", upper=True)
        yield f"#define {address} {field.address}u"
        yield f"#define {names.give(profile.name, field.metric, 'REGISTERS', upper=True)} {field.width}u"
        yield from field_lines(names, profile.name, _c_field(profile, field, struct, members[field.address].name))


def _members(run: list[RegisterField], first: int) -> dict[int, Member]:
    """One member for each place; a place that several metrics share is named by its address."""
    names = Names()
    members: dict[int, Member] = {}
    for field in run:
        if field.address in members:
            continue
        sharing = sum(other.address == field.address for other in run)
        name = names.give("at", str(field.address)) if sharing > 1 else names.give(field.metric)
        members[field.address] = Member(name, 2 * (field.address - first), 2 * field.width)
    return members


def _c_field(profile: Profile, field: RegisterField, struct: str, member: str) -> CField:
    pattern = min((one for one in field.scaling.no_value if one >= 0), default=None)
    if pattern is None and field.scaling.no_value:
        pattern = min(field.scaling.no_value) % (1 << 16 * field.width)
    return CField(
        metric=profile.metrics[field.metric],
        struct=struct,
        member=member,
        size=2 * field.width,
        order=order_of(field.word_order, field.byte_order),
        type=field.type,
        scaling=field.scaling,
        charset=field.charset,
        none=None if takes_bits(field.scaling) or field.type in {NumberType.F32, NumberType.F64} else pattern,
    )


def _coil_lines(names: Names, profile: Profile, struct: str, field: RegisterField, first: int) -> Iterator[str]:
    metric = profile.metrics[field.metric]
    place = field.address - first
    said = ", turned over" if field.scaling.invert else ""
    yield comment(f"{metric.name}: {metric.title.en}{said}")
    yield f"#define {names.give(profile.name, metric.name, 'ADDRESS', upper=True)} {field.address}u"
    yes, no = ("0u", "1u") if field.scaling.invert else ("1u", "0u")
    yield f"static inline void {names.give(profile.name, 'put', metric.name)}({struct} *to, int on)"
    yield from ("{", f"    cn_put_bits(to->bits + {place // 8}, 1u, CN_ABCD, {place % 8}u, 1u, on ? {yes} : {no});", "}")
