"""Modbus: which register of which table becomes which metric, and how a unit wants to be asked."""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric, MetricType, NumberType, Scaling
from device_profiles.wires.fields import (
    WIDTH_BYTES,
    Row,
    check_number_fits,
    metric_fields,
    read_scaling,
    scaling_text,
    takes_bits,
)

__all__ = ["ModbusWire", "RegisterArea", "RegisterField", "modbus_rows", "read_modbus"]


class RegisterArea(StrEnum):
    """The four Modbus tables (function codes 1, 2, 3, 4)."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"


class RegisterField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a Modbus device: zero-based protocol address, `word_order`/`byte_order` "big" or "little"."""

    metric: str
    area: RegisterArea
    address: int
    type: NumberType = NumberType.U16
    word_order: str = "big"
    byte_order: str = "big"
    scaling: Scaling = Scaling()


class ModbusWire(msgspec.Struct, frozen=True, kw_only=True):
    """How to poll a Modbus device. `max_gap` registers nobody asked for may be read to save a request,
    `max_block` registers at most go into one; `turnaround_ms` is the silence the unit needs between requests."""

    registers: tuple[RegisterField, ...]
    poll_s: float = 5.0
    max_gap: int = 8
    max_block: int = 120
    turnaround_ms: int = 0
    timeout_s: float = 1.0


_ONE_BIT = frozenset({RegisterArea.COIL, RegisterArea.DISCRETE})
# Modbus Application Protocol 1.1b3, 6.3 and 6.4: at most 125 registers in one read.
_MOST_REGISTERS = 125


def read_modbus(branch: Branch, metrics: Mapping[str, Metric]) -> ModbusWire:
    """The registers of a unit, each in a place of its own, and how it is polled."""
    read = [(_register(name, metric, field), field) for name, metric, field in metric_fields(branch, "registers", metrics)]
    for _, field in read:
        field.finish()
    _check_overlaps(read)
    wire = ModbusWire(
        registers=tuple(register for register, _ in read),
        poll_s=branch.number("poll_s", 5.0, low=0.1, high=86400),
        max_gap=branch.integer("max_gap", 8, low=0, high=_MOST_REGISTERS),
        max_block=branch.integer("max_block", 120, low=1, high=_MOST_REGISTERS),
        turnaround_ms=branch.integer("turnaround_ms", 0, low=0, high=5000),
        timeout_s=branch.number("timeout_s", 1.0, low=0.05, high=60),
    )
    branch.finish()
    return wire


def modbus_rows(wire: ModbusWire) -> Iterator[Row]:
    """The map as a person reads it."""
    for register in wire.registers:
        yield "modbus", register.metric, f"{register.area} {register.address}", _register_text(register)


def _register(name: str, metric: Metric | None, field: Branch) -> RegisterField:
    area = field.choice("area", RegisterArea)
    if not field.is_sound("area"):
        area = RegisterArea.INPUT
    one_bit = area in _ONE_BIT
    kind = NumberType.U16 if one_bit else NumberType(field.word("type", _register_types(), "u16"))
    address = field.integer("address", low=0, high=65535)
    if one_bit:
        _check_one_bit(field, metric)
    elif metric is not None:
        check_number_fits(field, metric)
    if address + _registers(kind) > 65536:
        field.wrong("address", f"a {kind} at {address} ends beyond register 65535", "a smaller address")
    return RegisterField(
        metric=name,
        area=area,
        address=address,
        type=kind,
        word_order=field.word("word_order", ("big", "little"), "big"),
        byte_order=field.word("byte_order", ("big", "little"), "big"),
        scaling=Scaling(invert=field.flag("invert", default=False)) if one_bit else read_scaling(field, metric, kind),
    )


def _register_types() -> list[str]:
    one_byte_or_free = {NumberType.U8, NumberType.I8, NumberType.BCD}
    return [str(kind) for kind in NumberType if kind not in one_byte_or_free]


def _registers(kind: NumberType) -> int:
    return WIDTH_BYTES[kind] // 2


def _check_one_bit(field: Branch, metric: Metric | None) -> None:
    if metric is not None and metric.type is not MetricType.BOOLEAN:
        field.wrong("area", f"one bit for a {metric.type} metric", "area: holding or input")
    for key in ("type", "word_order", "byte_order", "scale", "offset", "no_value", "enum", "bit", "bits"):
        if field.has(key):
            field.wrong(key, "a coil or discrete input is one bit already", f"no {key}")


def _check_overlaps(read: list[tuple[RegisterField, Branch]]) -> None:
    """Two metrics share registers only where one takes bits of the very number that the other reads."""
    placed = [pair for pair in read if pair[1].is_sound("area", "address", "type")]
    one: RegisterField | None = None
    for other, branch in sorted(placed, key=lambda pair: (pair[0].area, pair[0].address)):
        if one is None or one.area is not other.area or other.address >= one.address + _registers(one.type):
            one = other
            continue
        same_number = (one.address, one.type) == (other.address, other.type)
        if same_number and (takes_bits(one.scaling) or takes_bits(other.scaling)):
            continue
        taken = f"{one.address} to {one.address + _registers(one.type) - 1}"
        branch.wrong(
            "address", f"{one.area} register {other.address} belongs to {one.metric} ({taken})", "a free address, or bit or bits"
        )


def _register_text(register: RegisterField) -> str:
    if register.area in {RegisterArea.COIL, RegisterArea.DISCRETE}:
        return scaling_text(register.scaling)
    order = "" if register.word_order == "big" else ", low word first"
    swapped = "" if register.byte_order == "big" else ", low byte first"
    return f"{register.type}{order}{swapped} {scaling_text(register.scaling)}".strip()
