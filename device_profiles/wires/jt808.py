"""Which metric each JT/T 808 location field, alarm bit, status bit and additional item becomes."""

from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch, whole
from device_profiles.mistakes import did_you_mean
from device_profiles.quantities import Metric, MetricType, NumberType, Scaling
from device_profiles.wires.fields import Row, check_number_fits, read_scaling, scaling_text
from device_profiles.wires.jt808_parts import Jt808Part, part_rows, read_parts

__all__ = ["LOCATION_FIELDS", "Jt808Wire", "jt808_rows", "read_jt808"]


class Jt808Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Which metric each JT/T 808 location field and additional item becomes.

    `fields` maps the names `latitude`, `longitude`, `altitude_m`, `speed_kmh`, `course_deg` to metrics, `alarm_bits`
    and `status_bits` bit numbers to boolean metrics, `items` additional item ids to (metric, number type, scaling);
    `parts` are metrics that take a part of an item or of a word.
    """

    fields: Mapping[str, str]
    alarm_bits: Mapping[int, str] = {}
    status_bits: Mapping[int, str] = {}
    items: Mapping[int, tuple[str, NumberType, Scaling]] = {}
    parts: tuple[Jt808Part, ...] = ()
    utc_offset_h: float = 8.0


# JT/T 808-2013 and -2019, the basic location body (message 0x0200).
LOCATION_FIELDS = ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg")


def read_jt808(branch: Branch, metrics: Mapping[str, Metric]) -> Jt808Wire:
    """The map of one terminal model; a metric is fed from one place only."""
    fed: dict[str, str] = {}
    fields = _fields(branch, metrics, fed)
    alarm_bits, status_bits = (_bits(branch, key, metrics, fed) for key in ("alarm_bits", "status_bits"))
    items = _items(branch, metrics, fed)
    wire = Jt808Wire(
        fields=fields,
        alarm_bits=alarm_bits,
        status_bits=status_bits,
        items=items,
        parts=read_parts(branch, metrics, fed, items.keys()),
        utc_offset_h=branch.number("utc_offset_h", 8.0, low=-12, high=14),
    )
    branch.finish()
    return wire


def _fields(branch: Branch, metrics: Mapping[str, Metric], fed: dict[str, str]) -> dict[str, str]:
    inner = branch.branch("fields")
    fields = {}
    for name in inner:
        if name not in LOCATION_FIELDS:
            inner.wrong_key(name, "not a field of a JT/T 808 location", did_you_mean(name, LOCATION_FIELDS))
            continue
        fields[name] = _metric(inner, name, metrics, fed, MetricType.FLOAT)
    inner.finish()
    return fields


def _bits(branch: Branch, key: str, metrics: Mapping[str, Metric], fed: dict[str, str]) -> dict[int, str]:
    inner = branch.optional(key)
    bits: dict[int, str] = {}
    if inner is None:
        return bits
    for name in inner:
        bit = whole(name)
        if bit is None or not 0 <= bit <= 31 or bit in bits:
            inner.wrong_key(name, f"{name[:40]!r} is not a bit of a 32-bit word of its own", "0 to 31, each once")
            continue
        bits[bit] = _metric(inner, name, metrics, fed, MetricType.BOOLEAN)
    return bits


def _items(branch: Branch, metrics: Mapping[str, Metric], fed: dict[str, str]) -> dict[int, tuple[str, NumberType, Scaling]]:
    inner = branch.optional("items")
    items: dict[int, tuple[str, NumberType, Scaling]] = {}
    if inner is None:
        return items
    for key, item in inner.inner():
        number = whole(key)
        if number is None or not 0 <= number <= 255 or number in items:
            inner.wrong_key(key, f"{key[:40]!r} is not an item id of its own", "an id as 0x01 to 0xFF, each once")
            continue
        items[number] = _item(item, metrics, fed)
        item.finish()
    return items


def _item(item: Branch, metrics: Mapping[str, Metric], fed: dict[str, str]) -> tuple[str, NumberType, Scaling]:
    name = _metric(item, "metric", metrics, fed)
    kind = item.choice("type", NumberType)
    if kind is NumberType.BCD:
        item.wrong("type", "bcd has no size here", "an integer or float type")
    metric = metrics.get(name)
    if metric is not None:
        check_number_fits(item, metric)
    return name, kind, read_scaling(item, metric, kind)


def _metric(branch: Branch, key: str, metrics: Mapping[str, Metric], fed: dict[str, str], only: MetricType | None = None) -> str:
    """The name of the metric under `key`, after noting whatever is wrong with it."""
    name = branch.text(key)
    metric = metrics.get(name)
    if metric is None:
        branch.wrong(key, f"{name!r} is not a metric of this profile", did_you_mean(name, metrics))
        return name
    if only is not None and metric.type is not only:
        branch.wrong(key, f"{name} is a {metric.type} metric", f"a {only} metric")
    if name in fed:
        branch.wrong(key, f"{name} is fed by {fed[name]} already", "a metric of its own")
    fed[name] = f"{branch.where}.{key}"
    return name


def jt808_rows(wire: Jt808Wire) -> Iterator[Row]:
    """The map as a person reads it."""
    for name, metric in wire.fields.items():
        yield "jt808", metric, f"location {name}", ""
    for bit, metric in wire.alarm_bits.items():
        yield "jt808", metric, f"alarm bit {bit}", ""
    for bit, metric in wire.status_bits.items():
        yield "jt808", metric, f"status bit {bit}", ""
    for number, (metric, kind, scaling) in wire.items.items():
        yield "jt808", metric, f"item {number:#04x}", f"{kind} {scaling_text(scaling)}".strip()
    yield from part_rows(wire.parts)
