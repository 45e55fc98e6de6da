"""One field of a register map or frame, in C: its macros, its words, and the function that puts it in its place."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from device_profiles.quantities import Metric, NumberType, Scaling
from device_profiles.wires.fields import scaling_text, takes_bits
from firmware_bridge.c_header.names import Names, comment
from telemetry.records import Value

__all__ = ["CField", "field_lines", "mask_lines", "order_of", "scale_lines", "word_lines"]

_FLOATS = frozenset({NumberType.F32, NumberType.F64})
_SIGNED = frozenset({NumberType.I8, NumberType.I16, NumberType.I32, NumberType.I64})
_TYPES = {
    NumberType.U8: "uint8_t",
    NumberType.I8: "int8_t",
    NumberType.U16: "uint16_t",
    NumberType.I16: "int16_t",
    NumberType.U32: "uint32_t",
    NumberType.I32: "int32_t",
    NumberType.U64: "uint64_t",
    NumberType.I64: "int64_t",
    NumberType.F32: "float",
    NumberType.F64: "double",
    NumberType.BCD: "uint64_t",
}


class CField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in bytes: `member` of the C struct `struct`, `size` bytes in `order` (one of CN_ABCD ...). `none` is the
    smallest word for no value as the unsigned number that lies there, None where there is no such word."""

    metric: Metric
    struct: str
    member: str
    size: int
    order: str
    type: NumberType
    scaling: Scaling
    charset: str = ""
    none: int | None = None


def order_of(word_order: str, byte_order: str) -> Literal["CN_ABCD", "CN_DCBA", "CN_CDAB", "CN_BADC"]:
    """The order by the profile's two words; a frame's little-endian numbers are low register and low byte first."""
    if word_order == "big":
        return "CN_ABCD" if byte_order == "big" else "CN_BADC"
    return "CN_CDAB" if byte_order == "big" else "CN_DCBA"


def field_lines(names: Names, prefix: str, field: CField) -> Iterator[str]:
    """Macros and put functions of one field."""
    name = field.metric.name
    kind = f"text, {field.charset}" if field.charset else f"{field.type}, {field.order[3:]}"
    told = scaling_text(field.scaling)
    yield comment(f"{name}: {field.metric.title.en} [{field.metric.unit}], {kind}{', ' if told else ''}{told}")
    yield from word_lines(names, prefix, field.metric, field.scaling)
    if takes_bits(field.scaling):
        yield from _bit_lines(names, prefix, field)
        return
    if not field.charset and not field.scaling.enum:
        yield from scale_lines(names, prefix, field.metric, field.scaling, field.type)
    put = names.give(prefix, "put", name)
    argument = "const char *text" if field.charset else f"{_TYPES[field.type]} raw"
    yield f"static inline void {put}({field.struct} *to, {argument})"
    yield from ("{", f"    {_put(field)};", "}")
    if field.none is not None:
        yield f"static inline void {names.give(prefix, 'put', name, 'none')}({field.struct} *to)"
        yield from ("{", f"    cn_put64(to->{field.member}, UINT64_C({field.none}), {field.size}u, {field.order});", "}")


def _put(field: CField) -> str:
    place = f"to->{field.member}"
    if field.charset:
        return f"cn_put_text({place}, {field.size}u, {field.order}, text)"
    tail = f"{field.size}u, {field.order})"
    match field.type:
        case NumberType.F32:
            return f"cn_put32({place}, cn_bits_of_float(raw), {tail}"
        case NumberType.F64:
            return f"cn_put64({place}, cn_bits_of_double(raw), {tail}"
        case NumberType.BCD:
            return f"cn_put64({place}, cn_to_bcd(raw), {tail}"
        case _ if field.size <= 4:
            return f"cn_put32({place}, (uint32_t)raw, {tail}"
        case _:
            return f"cn_put64({place}, (uint64_t)raw, {tail}"


def _bit_lines(names: Names, prefix: str, field: CField) -> Iterator[str]:
    lowest, count = _bits(field.scaling)
    name = field.metric.name
    yield from mask_lines(names, prefix, field.metric, field.scaling)
    if field.type is NumberType.BCD:
        yield comment(f"{name}: bits of a decimal number, to be put by hand")
        return
    put = names.give(prefix, "put", name)
    one_bit = field.scaling.bit is not None
    yield f"static inline void {put}({field.struct} *to, {'int on' if one_bit else 'unsigned bits'})"
    yes, no = ("0u", "1u") if field.scaling.invert else ("1u", "0u")
    bits = f"on ? {yes} : {no}" if one_bit and not field.scaling.enum else ("on ? 1u : 0u" if one_bit else "bits")
    yield from (
        "{",
        f"    cn_put_bits(to->{field.member}, {field.size}u, {field.order}, {lowest}u, {count}u, {bits});",
        "}",
    )


def _bits(scaling: Scaling) -> tuple[int, int]:
    """The lowest bit, and how many."""
    return scaling.bits or (scaling.bit or 0, 1)


def mask_lines(names: Names, prefix: str, metric: Metric, scaling: Scaling) -> Iterator[str]:
    """Which bits of the raw number are the metric's."""
    lowest, count = _bits(scaling)
    yield f"#define {names.give(prefix, metric.name, 'LOWEST_BIT', upper=True)} {lowest}u"
    yield f"#define {names.give(prefix, metric.name, 'MASK', upper=True)} {_mask(((1 << count) - 1) << lowest)}"


def scale_lines(names: Names, prefix: str, metric: Metric, scaling: Scaling, kind: NumberType) -> Iterator[str]:
    """The macros between a number on the wire and the metric, where they differ."""
    if scaling.scale == 1 and not scaling.offset:
        return
    scale, offset, raw = (names.give(prefix, metric.name, word, upper=True) for word in ("SCALE", "OFFSET", "RAW"))
    yield f"#define {scale} ({scaling.scale!r})"
    yield f"#define {offset} ({scaling.offset!r})"
    per_unit = 1 / scaling.scale
    if not scaling.offset and per_unit >= 1 and abs(per_unit - round(per_unit)) < 1e-9 * per_unit:
        yield f"#define {names.give(prefix, metric.name, 'PER_UNIT', upper=True)} {round(per_unit)}"
    exact = f"((double)(value) - {offset}) / {scale}"
    whole = f"({_TYPES[kind]})({exact})" if kind in _FLOATS else f"({_TYPES[kind]})cn_round({exact})"
    yield f"#define {raw}(value) ({whole})"


def word_lines(names: Names, prefix: str, metric: Metric, scaling: Scaling) -> Iterator[str]:
    """The enum of the raw numbers that have a meaning; an integer's meaning by its label where the vocabulary has one."""
    if not scaling.enum:
        return
    constants = [
        (names.give(prefix, metric.name, "IS", _word(meaning, metric, scaling), upper=True), raw)
        for raw, meaning in sorted(scaling.enum.items())
    ]
    if all(-(2**15) < raw < 2**15 for _, raw in constants):  # what an int holds on any compiler (C99, 5.2.4.2.1)
        listed = ", ".join(f"{name} = {raw}" for name, raw in constants)
        yield f"enum {names.give(prefix, metric.name)} {{ {listed} }};"
    else:
        yield from (f"#define {name} ({raw})" for name, raw in constants)


def _word(meaning: Value, metric: Metric, scaling: Scaling) -> str:
    if isinstance(meaning, bool):
        return str(meaning is not scaling.invert)
    label = metric.labels.get(meaning) if isinstance(meaning, int) else None
    return label.en if label is not None else str(meaning)


def _mask(mask: int) -> str:
    """A constant no wider than it must be."""
    if mask < 2**16:
        return f"0x{mask:04X}u"
    return f"UINT32_C(0x{mask:08X})" if mask < 2**32 else f"UINT64_C(0x{mask:016X})"
