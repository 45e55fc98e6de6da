"""Modbus: which register of which table becomes which metric, and how a unit wants to be asked."""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec
from msgspec.structs import replace

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

__all__ = [
    "ONE_BIT",
    "ModbusWire",
    "RegisterArea",
    "RegisterField",
    "RegisterRange",
    "modbus_rows",
    "read_modbus",
    "read_number",
]


class RegisterArea(StrEnum):
    """The four Modbus tables (function codes 1, 2, 3, 4)."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"


class RegisterField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a Modbus device: zero-based protocol address, `word_order`/`byte_order` "big" or "little".

    `registers` is how many a BCD number or a text takes (0: as many as the type says), `charset` how a text is written and
    empty for everything else, `poll_s` how often the register is read where that is not the wire's own period.
    """

    metric: str
    area: RegisterArea
    address: int
    type: NumberType = NumberType.U16
    word_order: str = "big"
    byte_order: str = "big"
    scaling: Scaling = Scaling()
    registers: int = 0
    charset: str = ""
    poll_s: float | None = None

    @property
    def width(self) -> int:
        """Registers, coils or discrete inputs that it takes."""
        if self.area in ONE_BIT:
            return 1
        return self.registers or max(1, WIDTH_BYTES.get(self.type, 2) // 2)


class RegisterRange(msgspec.Struct, frozen=True):
    """Addresses `first` to `last` of one table, both of them included."""

    area: RegisterArea
    first: int
    last: int


class ModbusWire(msgspec.Struct, frozen=True, kw_only=True):
    """How to poll a Modbus device. `max_gap` registers nobody asked for may be read to save a request,
    `max_block` registers at most go into one; `turnaround_ms` is the silence the unit needs between requests.
    No request touches `do_not_read`: addresses that a unit refuses, or whose reading has an effect (counters that are
    cleared by it)."""

    registers: tuple[RegisterField, ...]
    poll_s: float = 5.0
    max_gap: int = 8
    max_block: int = 120
    turnaround_ms: int = 0
    timeout_s: float = 1.0
    do_not_read: tuple[RegisterRange, ...] = ()

    @property
    def periods_s(self) -> tuple[float, ...]:
        """The periods of its registers, shortest first."""
        return tuple(sorted({field.poll_s or self.poll_s for field in self.registers}))


ONE_BIT = frozenset({RegisterArea.COIL, RegisterArea.DISCRETE})
# Modbus Application Protocol 1.1b3, 6.3 and 6.4: at most 125 registers in one read.
_MOST_REGISTERS = 125
_CHARSETS = ("ascii", "utf-8", "gb18030")
_TEXT = "text"
_MOST_DIGITS = 4  # BCD registers: 16 digits are what a signed 64-bit integer holds for certain


def read_modbus(branch: Branch, metrics: Mapping[str, Metric]) -> ModbusWire:
    """The registers of a unit, each in a place of its own, and how it is polled."""
    read = [(_register(name, metric, field), field) for name, metric, field in metric_fields(branch, "registers", metrics)]
    forbidden = tuple(found for item in branch.items("do_not_read") if (found := _range(item)) is not None)
    _check_overlaps(read)
    _check_forbidden(read, forbidden)
    for _, field in read:
        field.finish()
    wire = ModbusWire(
        registers=tuple(register for register, _ in read),
        poll_s=branch.number("poll_s", 5.0, low=0.1, high=86400),
        max_gap=branch.integer("max_gap", 8, low=0, high=_MOST_REGISTERS),
        max_block=branch.integer("max_block", 120, low=1, high=_MOST_REGISTERS),
        turnaround_ms=branch.integer("turnaround_ms", 0, low=0, high=5000),
        timeout_s=branch.number("timeout_s", 1.0, low=0.05, high=60),
        do_not_read=forbidden,
    )
    branch.finish()
    return wire


def modbus_rows(wire: ModbusWire) -> Iterator[Row]:
    """The map as a person reads it."""
    for register in wire.registers:
        often = "" if register.poll_s is None else f", every {register.poll_s:g} s"
        yield "modbus", register.metric, f"{register.area} {register.address}", _register_text(register) + often


def _register(name: str, metric: Metric | None, field: Branch) -> RegisterField:
    area = field.choice("area", RegisterArea)
    if not field.is_sound("area"):
        area = RegisterArea.INPUT
    register = read_number(field, name, area, metric)
    if field.has("poll_s"):
        return replace(register, poll_s=field.number("poll_s", low=0.1, high=86400))
    return register


def read_number(field: Branch, name: str, area: RegisterArea, metric: Metric | None) -> RegisterField:
    """One number, bit or text in `area`; without a `metric` nothing says what it must fit."""
    one_bit = area in ONE_BIT
    word = "u16" if one_bit else field.word("type", [*_register_types(), _TEXT], "u16")
    is_text = word == _TEXT
    kind = NumberType.U16 if is_text else NumberType(word)
    address = field.integer("address", low=0, high=65535)
    if one_bit:
        _check_one_bit(field, metric)
    elif is_text:
        _check_text(field, metric)
    elif metric is not None:
        check_number_fits(field, metric)
    scaling = Scaling(invert=field.flag("invert", default=False)) if one_bit or is_text else read_scaling(field, metric, kind)
    register = RegisterField(
        metric=name,
        area=area,
        address=address,
        type=kind,
        word_order=field.word("word_order", ("big", "little"), "big"),
        byte_order=field.word("byte_order", ("big", "little"), "big"),
        scaling=scaling,
        registers=_stated_width(field, kind, is_text=is_text),
        charset=field.word("charset", _CHARSETS, "ascii") if is_text else "",
    )
    if address + register.width > 65536:
        field.wrong("address", f"a {word} at {address} ends beyond register 65535", "a smaller address")
    return register


def _stated_width(field: Branch, kind: NumberType, *, is_text: bool) -> int:
    if is_text:
        return field.integer("registers", low=1, high=_MOST_REGISTERS)
    if kind is NumberType.BCD:
        return field.integer("registers", 1, low=1, high=_MOST_DIGITS)
    return 0


def _range(item: Branch) -> RegisterRange | None:
    found = RegisterRange(
        item.choice("area", RegisterArea),
        item.integer("first", low=0, high=65535),
        item.integer("last", low=0, high=65535),
    )
    if found.last < found.first:
        item.wrong("last", f"{found.last} is below first {found.first}", "first to last")
    item.finish()
    return found if item.sound else None


def _check_forbidden(read: list[tuple[RegisterField, Branch]], forbidden: tuple[RegisterRange, ...]) -> None:
    for register, branch in read:
        end = register.address + register.width - 1
        for one in forbidden:
            if one.area is register.area and one.first <= end and register.address <= one.last:
                branch.wrong(
                    "address", f"{one.first} to {one.last} must not be read", "another address, or a smaller do_not_read"
                )


def _register_types() -> list[str]:
    one_byte = {NumberType.U8, NumberType.I8}
    return [str(kind) for kind in NumberType if kind not in one_byte]


def _check_text(field: Branch, metric: Metric | None) -> None:
    if metric is not None and metric.type is not MetricType.STRING:
        field.wrong("type", f"text for a {metric.type} metric", "a number's type")
    for key in ("scale", "offset", "no_value", "enum", "bit", "bits", "invert"):
        if field.has(key):
            field.wrong(key, "text is not a number", f"no {key}")


def _check_one_bit(field: Branch, metric: Metric | None) -> None:
    if metric is not None and metric.type is not MetricType.BOOLEAN:
        field.wrong("area", f"one bit for a {metric.type} metric", "area: holding or input")
    for key in ("type", "word_order", "byte_order", "registers", "scale", "offset", "no_value", "enum", "bit", "bits"):
        if field.has(key):
            field.wrong(key, "a coil or discrete input is one bit already", f"no {key}")


def _check_overlaps(read: list[tuple[RegisterField, Branch]]) -> None:
    """Two metrics share registers only where one takes bits of the very number that the other reads."""
    placed = [pair for pair in read if pair[1].is_sound("area", "address", "type")]
    one: RegisterField | None = None
    for other, branch in sorted(placed, key=lambda pair: (pair[0].area, pair[0].address)):
        if one is None or one.area is not other.area or other.address >= one.address + one.width:
            one = other
            continue
        same_number = (one.address, one.type, one.charset) == (other.address, other.type, other.charset)
        if same_number and (takes_bits(one.scaling) or takes_bits(other.scaling)):
            continue
        taken = f"{one.address} to {one.address + one.width - 1}"
        branch.wrong(
            "address", f"{one.area} register {other.address} belongs to {one.metric} ({taken})", "a free address, or bit or bits"
        )


def _register_text(register: RegisterField) -> str:
    if register.area in ONE_BIT:
        return scaling_text(register.scaling)
    kind = f"{register.charset} text" if register.charset else str(register.type)
    wide = f" in {register.registers} registers" if register.registers > 1 else ""
    order = "" if register.word_order == "big" else ", low word first"
    swapped = "" if register.byte_order == "big" else ", low byte first"
    return f"{kind}{wide}{order}{swapped} {scaling_text(register.scaling)}".strip()
