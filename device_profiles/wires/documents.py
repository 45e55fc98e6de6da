"""Documents (JSON, CBOR): which key or list index becomes which metric, and where the event time stands."""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric, Scaling
from device_profiles.wires.fields import Row, metric_fields, read_scaling, scaling_text

__all__ = ["DocumentField", "TimeField", "TimeUnit", "document_rows", "read_documents", "read_path", "read_time_field"]


class TimeUnit(StrEnum):
    SECONDS = "s"
    MILLISECONDS = "ms"
    ISO8601 = "iso8601"


class TimeField(msgspec.Struct, frozen=True, kw_only=True):
    """Where a document says its event time: Unix seconds or milliseconds UTC, or ISO 8601 with a zone."""

    path: tuple[str | int, ...]
    unit: TimeUnit = TimeUnit.SECONDS


class DocumentField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a JSON or CBOR document, by keys and list indexes from the root."""

    metric: str
    path: tuple[str | int, ...]
    scaling: Scaling = Scaling()


def read_documents(branch: Branch, metrics: Mapping[str, Metric]) -> tuple[DocumentField, ...]:
    """The entries under `fields`."""
    fields = []
    for name, metric, field in metric_fields(branch, "fields", metrics):
        scaling = read_scaling(field, metric, None)
        fields.append(DocumentField(metric=name, path=read_path(field, "path"), scaling=scaling))
        field.finish()
    return tuple(fields)


def read_time_field(branch: Branch) -> TimeField | None:
    """The entry `time`, None where a document tells none."""
    inner = branch.optional("time")
    if inner is None:
        return None
    field = TimeField(path=read_path(inner, "path"), unit=inner.choice("unit", TimeUnit, TimeUnit.SECONDS))
    inner.finish()
    return field


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
        yield transport, field.metric, ".".join(map(str, field.path)), scaling_text(field.scaling)
