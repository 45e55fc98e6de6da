"""Wire maps and alarm conditions as a person reads them."""

from collections.abc import Iterator

from device_profiles.model import (
    Above,
    All,
    AnyCondition,
    AnyOf,
    Below,
    Bit,
    Equals,
    Jt808Wire,
    Not,
    RegisterArea,
    RegisterField,
    Scaling,
    SerialWire,
    Speed,
    Stale,
    Wire,
)

__all__ = ["condition_text", "wire_rows"]

Row = tuple[str, str, str, str]


def wire_rows(wire: Wire) -> Iterator[Row]:
    """(transport, metric, where on the wire, how it becomes the metric), one row a field."""
    if wire.modbus is not None:
        for register in wire.modbus.registers:
            yield "modbus", register.metric, f"{register.area} {register.address}", _register(register)
    if wire.serial is not None:
        yield from _serial(wire.serial)
    if wire.coap is not None:
        for field in wire.coap.fields:
            yield f"coap /{wire.coap.path}", field.metric, ".".join(map(str, field.path)), _scaling(field.scaling)
    if wire.mqtt is not None:
        for field in wire.mqtt.fields:
            yield f"mqtt {wire.mqtt.topic}", field.metric, ".".join(map(str, field.path)), _scaling(field.scaling)
    if wire.jt808 is not None:
        yield from _jt808(wire.jt808)


def _register(register: RegisterField) -> str:
    if register.area in {RegisterArea.COIL, RegisterArea.DISCRETE}:
        return _scaling(register.scaling)
    order = "" if register.word_order == "big" else ", low word first"
    swapped = "" if register.byte_order == "big" else ", low byte first"
    return f"{register.type}{order}{swapped} {_scaling(register.scaling)}".strip()


def _serial(wire: SerialWire) -> Iterator[Row]:
    for field in wire.layout.fields:
        yield "serial", field.metric, f"byte {field.at}", f"{field.type} {_scaling(field.scaling)}".strip()


def _jt808(wire: Jt808Wire) -> Iterator[Row]:
    for name, metric in wire.fields.items():
        yield "jt808", metric, f"location {name}", ""
    for bit, metric in wire.alarm_bits.items():
        yield "jt808", metric, f"alarm bit {bit}", ""
    for bit, metric in wire.status_bits.items():
        yield "jt808", metric, f"status bit {bit}", ""
    for number, (metric, kind, scaling) in wire.items.items():
        yield "jt808", metric, f"item {number:#04x}", f"{kind} {_scaling(scaling)}".strip()


def _scaling(scaling: Scaling) -> str:
    parts = []
    if scaling.bit is not None:
        parts.append(f"bit {scaling.bit}")
    if scaling.bits is not None:
        parts.append(f"bits {scaling.bits[0]} to {scaling.bits[0] + scaling.bits[1] - 1}")
    if scaling.scale != 1:
        parts.append(f"x {scaling.scale:g}")
    if scaling.offset:
        parts.append(f"{scaling.offset:+g}")
    parts += [f"{raw} is {meaning}" for raw, meaning in scaling.enum.items()]
    if scaling.invert:
        parts.append("turned over")
    if scaling.no_value:
        parts.append(f"none at {', '.join(map(str, sorted(scaling.no_value)))}")
    return ", ".join(parts)


def condition_text(condition: AnyCondition) -> str:
    """One condition in words and signs."""
    match condition:
        case All(of=inner):
            return " and ".join(map(_inner, inner))
        case AnyOf(of=inner):
            return " or ".join(map(_inner, inner))
        case Not(of=negated):
            return f"not {_inner(negated)}"
        case _:
            return _single(condition)


def _single(condition: Above | Below | Equals | Bit | Stale | Speed) -> str:
    match condition:
        case Above(metric=metric, limit=limit):
            return f"{metric} > {limit:g}"
        case Below(metric=metric, limit=limit):
            return f"{metric} < {limit:g}"
        case Equals(metric=metric, value=value):
            return f"{metric} = {_value(value)}"
        case Bit(metric=metric, bit=bit):
            return f"bit {bit} of {metric}"
        case Stale(after_s=after):
            return f"silent for {after:g} s"
        case Speed(metric=metric, limit_kmh=limit):
            return f"{metric} > {limit:g} while moving"


def _inner(condition: AnyCondition) -> str:
    text = condition_text(condition)
    return f"({text})" if isinstance(condition, All | AnyOf) else text


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
