"""What every wire field has: the metric it becomes, and how its raw number does (scale, sentinels, enum, bits)."""

from collections.abc import Iterator, Mapping

from device_profiles.branch import Branch, plain_value, whole
from device_profiles.mistakes import did_you_mean
from device_profiles.quantities import Metric, MetricType, NumberType, Scaling
from telemetry.records import Value

__all__ = ["WIDTH_BYTES", "Row", "check_number_fits", "metric_fields", "read_scaling", "scaling_text", "takes_bits"]

Row = tuple[str, str, str, str]
"""(transport, metric, where on the wire, how it becomes the metric): one field as a person reads it."""

WIDTH_BYTES = {
    NumberType.U8: 1,
    NumberType.I8: 1,
    NumberType.U16: 2,
    NumberType.I16: 2,
    NumberType.U32: 4,
    NumberType.I32: 4,
    NumberType.U64: 8,
    NumberType.I64: 8,
    NumberType.F32: 4,
    NumberType.F64: 8,
}

_FLOATS = frozenset({NumberType.F32, NumberType.F64})
_PYTHON = {MetricType.FLOAT: float, MetricType.INTEGER: int, MetricType.BOOLEAN: bool, MetricType.STRING: str}


def metric_fields(branch: Branch, key: str, metrics: Mapping[str, Metric]) -> Iterator[tuple[str, Metric | None, Branch]]:
    """The entries of a map from metric name to wire field, each checked to be a metric of the profile."""
    fields = branch.branch(key)
    some = False
    for name, field in fields.inner():
        some = True
        if name not in metrics:
            fields.wrong_key(name, "not a metric of this profile", did_you_mean(name, metrics))
        yield name, metrics.get(name), field
    if not some and fields.sound:
        branch.wrong(key, "no field", "metric: {...} lines")


def read_scaling(branch: Branch, metric: Metric | None, number: NumberType | None) -> Scaling:
    """The scaling of one wire field. `number` is how it lies on the wire, None in documents and single-bit tables."""
    bits_in_all = 64 if number is None else WIDTH_BYTES.get(number, 8) * 8
    scaling = Scaling(
        scale=branch.number("scale", 1.0),
        offset=branch.number("offset", 0.0),
        no_value=branch.integers("no_value", low=-(2 ** (bits_in_all - 1)), high=2**bits_in_all - 1),
        enum=_enum(branch, metric),
        bit=branch.integer("bit", low=0, high=bits_in_all - 1) if branch.has("bit") else None,
        bits=_bits(branch, bits_in_all),
        invert=branch.flag("invert", default=False),
    )
    _check_alone(branch, scaling, number)
    if metric is not None:
        _check_fits(branch, metric, scaling)
    return scaling


def _enum(branch: Branch, metric: Metric | None) -> dict[int, Value]:
    meanings: dict[int, Value] = {}
    inner = branch.optional("enum")
    if inner is None:
        return meanings
    for key, value in inner.scalars():
        raw = whole(key)
        if raw is None or raw in meanings:
            what = "is not a whole number" if raw is None else f"says {raw} again"
            inner.wrong_key(key, f"{key[:40]!r} {what}", "the raw number, as 3 or 0x03, each once")
            continue
        meanings[raw] = inner.value(key)
        if metric is not None and value is not None and type(plain_value(value)) is not _PYTHON[metric.type]:
            inner.wrong(key, f"{value.text!r} is not a value of a {metric.type} metric", f"a {metric.type}")
    return meanings


def _bits(branch: Branch, bits_in_all: int) -> tuple[int, int] | None:
    inner = branch.optional("bits")
    if inner is None:
        return None
    lowest = inner.integer("lowest", low=0, high=bits_in_all - 1)
    count = inner.integer("count", low=1, high=bits_in_all)
    if lowest + count > bits_in_all:
        inner.wrong("count", f"bits {lowest} to {lowest + count - 1} leave the {bits_in_all}-bit number", "fewer bits")
    inner.finish()
    return lowest, count


def _check_alone(branch: Branch, scaling: Scaling, number: NumberType | None) -> None:
    if scaling.scale == 0:
        branch.wrong("scale", "0 would make every value the same", "the factor, such as 0.1")
    if scaling.bit is not None and scaling.bits is not None:
        branch.wrong("bits", "stands beside bit", "bit for one, bits for several, not both")
    picks = [key for key in ("bit", "bits", "enum") if branch.has(key)]
    if number in _FLOATS and picks:
        branch.wrong(picks[0], f"{number} on the wire has no bits", "an integer type")
    if number in _FLOATS and scaling.no_value:
        branch.wrong("no_value", f"{number} on the wire says no value by NaN", "no no_value")
    if picks and (scaling.scale != 1 or scaling.offset != 0):
        branch.wrong("scale" if branch.has("scale") else "offset", f"stands beside {picks[0]}", "no scale and no offset")


def _check_fits(branch: Branch, metric: Metric, scaling: Scaling) -> None:
    if scaling.bit is not None and metric.type is not MetricType.BOOLEAN:
        branch.wrong("bit", f"one bit for a {metric.type} metric", "bits: {lowest: 0, count: 1}, or a boolean metric")
    if scaling.invert and metric.type is not MetricType.BOOLEAN:
        branch.wrong("invert", f"a {metric.type} metric cannot be turned over", "invert for boolean metrics only")
    if metric.type in {MetricType.BOOLEAN, MetricType.STRING} and (scaling.scale != 1 or scaling.offset != 0):
        branch.wrong(
            "scale" if branch.has("scale") else "offset", f"a {metric.type} metric is not scaled", "no scale and no offset"
        )
    fraction = scaling.scale % 1 != 0 or scaling.offset % 1 != 0
    if metric.type is MetricType.INTEGER and fraction:
        branch.wrong("scale" if scaling.scale % 1 else "offset", "a fraction for an integer metric", "a whole number")


def check_number_fits(field: Branch, metric: Metric) -> None:
    """A number on the wire becomes a boolean or text only by a rule that says how."""
    if metric.type is MetricType.BOOLEAN and not (field.has("bit") or field.has("enum")):
        field.wrong("bit", "a number for a boolean metric", "bit: 0, or enum: {0: false, 1: true}")
    if metric.type is MetricType.STRING and not field.has("enum"):
        field.wrong("enum", "a number for a string metric", "enum: {0: word, 1: word}")


def takes_bits(scaling: Scaling) -> bool:
    """Whether the field reads only some bits of its number."""
    return scaling.bit is not None or scaling.bits is not None


def scaling_text(scaling: Scaling) -> str:
    """A scaling as a person reads it."""
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
