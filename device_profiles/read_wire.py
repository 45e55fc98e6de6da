"""The wire maps of a profile: one reader per transport, each field checked against the metric it becomes."""

from collections.abc import Mapping

from device_profiles.branch import Branch
from device_profiles.model import (
    CoapWire,
    DocumentField,
    Metric,
    MetricType,
    ModbusWire,
    MqttWire,
    NumberType,
    RegisterArea,
    RegisterField,
    Scaling,
    TimeField,
    TimeUnit,
    Wire,
)
from device_profiles.read_fields import WIDTH_BYTES, check_number_fits, metric_fields, read_scaling, takes_bits
from device_profiles.read_jt808 import read_jt808
from device_profiles.read_serial import read_serial

__all__ = ["read_wire"]

Metrics = Mapping[str, Metric]

_ONE_BIT = frozenset({RegisterArea.COIL, RegisterArea.DISCRETE})
# Modbus Application Protocol 1.1b3, 6.3 and 6.4: at most 125 registers in one read.
_MOST_REGISTERS = 125


def read_wire(root: Branch, metrics: Metrics) -> Wire:
    """The transports a model speaks; at least one."""
    wire = root.branch("wire")
    modbus, serial, jt808 = wire.optional("modbus"), wire.optional("serial"), wire.optional("jt808")
    coap, mqtt = wire.optional("coap"), wire.optional("mqtt")
    if wire.sound and not any((modbus, serial, coap, mqtt, jt808)):
        root.wrong("wire", "no transport", "one of modbus, serial, coap, mqtt, jt808")
    wire.finish()
    return Wire(
        modbus=None if modbus is None else _modbus(modbus, metrics),
        serial=None if serial is None else read_serial(serial, metrics),
        coap=None if coap is None else _coap(coap, metrics),
        mqtt=None if mqtt is None else _mqtt(mqtt, metrics),
        jt808=None if jt808 is None else read_jt808(jt808, metrics),
    )


def _modbus(branch: Branch, metrics: Metrics) -> ModbusWire:
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


def _coap(branch: Branch, metrics: Metrics) -> CoapWire:
    wire = CoapWire(
        path=branch.text("path").strip("/"),
        fields=_documents(branch, metrics),
        time=_time(branch),
        identity=_path(branch, "identity", "id"),
    )
    branch.finish()
    return wire


def _mqtt(branch: Branch, metrics: Metrics) -> MqttWire:
    topic = branch.text("topic")
    if topic.split("/").count("{address}") != 1:
        branch.wrong("topic", f"{topic!r} has no level {{address}}", '"toilet/{address}/count"')
    for key in ("topic", "command_topic"):
        if any(wild in branch.text(key, "") for wild in "+#"):
            branch.wrong(key, "+ and # are for subscribers", '"toilet/{address}/count"')
    wire = MqttWire(
        topic=topic, fields=_documents(branch, metrics), time=_time(branch), command_topic=branch.text("command_topic", "")
    )
    branch.finish()
    return wire


def _documents(branch: Branch, metrics: Metrics) -> tuple[DocumentField, ...]:
    fields = []
    for name, metric, field in metric_fields(branch, "fields", metrics):
        scaling = read_scaling(field, metric, None)
        fields.append(DocumentField(metric=name, path=_path(field, "path"), scaling=scaling))
        field.finish()
    return tuple(fields)


def _time(branch: Branch) -> TimeField | None:
    inner = branch.optional("time")
    if inner is None:
        return None
    field = TimeField(path=_path(inner, "path"), unit=inner.choice("unit", TimeUnit, TimeUnit.SECONDS))
    inner.finish()
    return field


def _path(branch: Branch, key: str, default: str | None = None) -> tuple[str | int, ...]:
    """`data.probes.0.nh3` as keys and list indexes from the root of the document."""
    dotted = branch.text(key, default)
    parts = dotted.split(".")
    if dotted and not all(parts):
        branch.wrong(key, f"{dotted!r} has an empty step", "steps joined by single dots: data.tilt")
    return tuple(int(part) if part.isdecimal() and part.isascii() else part for part in parts)
