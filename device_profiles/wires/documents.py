"""Documents (JSON, CBOR): which key or list index becomes which metric, and where the event time stands."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from device_profiles.branch import Branch, plain_value
from device_profiles.quantities import Metric, MetricType, Scaling
from device_profiles.wires.fields import Row, metric_fields, read_scaling, scaling_text
from telemetry.records import Value

__all__ = ["DocumentField", "TimeField", "TimeUnit", "document_rows", "read_documents", "read_path", "read_time_field"]


class TimeUnit(StrEnum):
    SECONDS = "s"
    MILLISECONDS = "ms"
    ISO8601 = "iso8601"


class TimeField(msgspec.Struct, frozen=True, kw_only=True):
    """Where a document says its event time: Unix seconds or milliseconds UTC, or ISO 8601.

    `zone_minutes`, east of Greenwich, is where the device's clock stands that writes ISO 8601 without a zone; None where such a
    time cannot be placed.
    """

    path: tuple[str | int, ...]
    unit: TimeUnit = TimeUnit.SECONDS
    zone_minutes: int | None = None


class DocumentField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a JSON or CBOR document, by keys and list indexes from the root. `words` maps texts that the document
    writes to the metric's values; a text that is not among them is refused as not_in_enum, what is no text goes on."""

    metric: str
    path: tuple[str | int, ...]
    scaling: Scaling = Scaling()
    words: Mapping[str, Value] = {}


_ZONE = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")
_PYTHON = {MetricType.FLOAT: float, MetricType.INTEGER: int, MetricType.BOOLEAN: bool, MetricType.STRING: str}


def read_documents(branch: Branch, metrics: Mapping[str, Metric], *, rooted: bool = False) -> tuple[DocumentField, ...]:
    """The entries under `fields`; `rooted` ones have no path: the document is the value."""
    fields = []
    for name, metric, field in metric_fields(branch, "fields", metrics):
        scaling, words = read_scaling(field, metric, None), _words(field, metric)
        path = () if rooted else read_path(field, "path")
        fields.append(DocumentField(metric=name, path=path, scaling=scaling, words=words))
        field.finish()
    return tuple(fields)


def _words(field: Branch, metric: Metric | None) -> dict[str, Value]:
    inner = field.optional("words")
    words: dict[str, Value] = {}
    if inner is None:
        return words
    for word, value in inner.scalars():
        words[word] = inner.value(word)
        if metric is not None and value is not None and type(plain_value(value)) is not _PYTHON[metric.type]:
            inner.wrong(word, f"{value.text!r} is not a value of a {metric.type} metric", f"a {metric.type}")
    if field.has("enum") or field.has("bit") or field.has("bits"):
        field.wrong("words", "stands beside a rule for numbers", "words for texts, enum or bits for numbers, not both")
    return words


def read_time_field(branch: Branch) -> TimeField | None:
    """The entry `time`, None where a document tells none."""
    inner = branch.optional("time")
    if inner is None:
        return None
    unit = inner.choice("unit", TimeUnit, TimeUnit.SECONDS)
    zone = inner.text("zone", "", form=_ZONE, like='an offset in quotes: "+08:00"')
    if zone and unit is not TimeUnit.ISO8601:
        inner.wrong("zone", f"{unit} counts from 1970 UTC and has no zone", "no zone, or unit: iso8601")
    field = TimeField(path=read_path(inner, "path"), unit=unit, zone_minutes=_minutes(zone) if zone else None)
    inner.finish()
    return field


def _minutes(zone: str) -> int:
    hours, minutes = zone[1:].split(":")
    return (int(hours) * 60 + int(minutes)) * (-1 if zone[0] == "-" else 1)


def read_path(branch: Branch, key: str, default: str | None = None) -> tuple[str | int, ...]:
    """`data.probes.0.nh3` as keys and list indexes from the root of the document."""
    dotted = branch.text(key, default)
    parts = dotted.split(".")
    if dotted and not all(parts):
        branch.wrong(key, f"{dotted!r} has an empty step", "steps joined by single dots: data.tilt")
    return tuple(int(part) if part.isdecimal() and part.isascii() else part for part in parts)


def document_rows(transport: str, fields: tuple[DocumentField, ...]) -> Iterator[Row]:
    """The map as a person reads it."""
    for field in fields:
        how = [f"{word!r} is {meaning}" for word, meaning in field.words.items()]
        yield (
            transport,
            field.metric,
            ".".join(map(str, field.path)),
            ", ".join([*how, *filter(None, [scaling_text(field.scaling)])]),
        )
