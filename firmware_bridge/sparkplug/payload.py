"""Sparkplug B payloads: metrics with names or aliases, times of their own, null and historical marks.

Source: Eclipse Sparkplug 3.0.0, chapter 6 (payloads), and its sparkplug_b.proto. Datasets, templates and files are not
opened: `value_of` refuses them as wrong_type. Metadata and properties are passed over. A sender may leave the datatype out of
data messages, as it stood in the birth; `value_of` takes it from there.
"""

import math
import struct
from enum import IntEnum

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.sparkplug.wire import BYTES, FIXED32, FIXED64, VARINT, Field, fields, write_field
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = [
    "MAX_BYTES",
    "MAX_METRICS",
    "DataType",
    "Metric",
    "Payload",
    "Raw",
    "encode_payload",
    "parse_payload",
    "typed",
    "value_of",
]

MAX_BYTES = 256 * 1024
MAX_METRICS = 2048
_MAX_NAME = 256
_MAX_TEXT = 1024

MetricValue = bool | int | float | str | bytes | None


class DataType(IntEnum):
    """Clause 6.4.16; the arrays of 3.0.0 (22 to 34) travel as bytes and are not read."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19


class Raw(msgspec.Struct, frozen=True):
    """A value as it lies on the wire: the number of its field in the oneof, and what stood there."""

    number: int
    value: int | bytes


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. `name` is empty where only the alias is told, `datatype` None where the birth's counts; `raw` is None where
    there is no value. `timestamp_ms` counts from 1970 UTC."""

    name: str = ""
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_transient: bool = False
    is_null: bool = False
    raw: Raw | None = None
    at: int = 0


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `seq` is None where none is told, as in a node's death."""

    timestamp_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None
    uuid: str = ""


# Numbers of the oneof in Metric, and how each lies on the wire.
_INT, _LONG, _FLOAT, _DOUBLE, _BOOLEAN, _STRING, _BYTES = 10, 11, 12, 13, 14, 15, 16
_WIRES = {_INT: VARINT, _LONG: VARINT, _FLOAT: FIXED32, _DOUBLE: FIXED64, _BOOLEAN: VARINT}
_ONEOF = range(_INT, 20)

_BITS = {
    DataType.INT8: (8, True),
    DataType.INT16: (16, True),
    DataType.INT32: (32, True),
    DataType.INT64: (64, True),
    DataType.UINT8: (8, False),
    DataType.UINT16: (16, False),
    DataType.UINT32: (32, False),
    DataType.UINT64: (64, False),
    DataType.DATETIME: (64, False),
}
_TEXTS = frozenset({DataType.STRING, DataType.TEXT, DataType.UUID})


def parse_payload(data: bytes) -> Payload:
    """The payload in `data`; fields that the standard leaves to others are passed over.

    ParseError: oversized (bytes, metrics, a name), truncated, bad_field.
    """
    if len(data) > MAX_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(data)} bytes, want at most {MAX_BYTES}", MAX_BYTES)
    timestamp_ms = seq = None
    uuid = ""
    metrics: list[Metric] = []
    for field in fields(data):
        match field.number:
            case 1:
                timestamp_ms = _number(field)
            case 2:
                if len(metrics) == MAX_METRICS:
                    raise ParseError(Reason.OVERSIZED, f"more than {MAX_METRICS} metrics", field.at)
                metrics.append(_metric(data, field))
            case 3:
                seq = _number(field)
            case 4:
                uuid = _text(field)
            case _:
                pass
    return Payload(timestamp_ms=timestamp_ms, metrics=tuple(metrics), seq=seq, uuid=uuid)


def _metric(data: bytes, whole: Field) -> Metric:
    if not isinstance(whole.value, bytes):
        raise ParseError(Reason.BAD_FIELD, "a metric that is no message", whole.at)
    found: dict[str, object] = {"at": whole.at}
    for field in fields(data, whole.at, whole.at + len(whole.value)):
        match field.number:
            case 1:
                found["name"] = _text(field)
            case 2:
                found["alias"] = _number(field)
            case 3:
                found["timestamp_ms"] = _number(field)
            case 4:
                found["datatype"] = _number(field)
            case 5 | 6 | 7:
                found[_FLAGS[field.number]] = bool(_number(field))
            case number if number in _ONEOF:
                found["raw"] = _raw(field)
            case _:
                pass
    return msgspec.convert(found, Metric)


_FLAGS = {5: "is_historical", 6: "is_transient", 7: "is_null"}


def _raw(field: Field) -> Raw:
    if field.wire != _WIRES.get(field.number, BYTES):
        raise ParseError(Reason.BAD_FIELD, f"value {field.number} has wire type {field.wire}", field.at)
    return Raw(field.number, field.value)


def _number(field: Field) -> int:
    if not isinstance(field.value, int):
        raise ParseError(Reason.BAD_FIELD, f"field {field.number} is no number", field.at)
    return field.value


def _text(field: Field) -> str:
    if not isinstance(field.value, bytes):
        raise ParseError(Reason.BAD_FIELD, f"field {field.number} is no text", field.at)
    if len(field.value) > _MAX_NAME:
        raise ParseError(Reason.OVERSIZED, f"a name of {len(field.value)} bytes, want at most {_MAX_NAME}", field.at)
    return _utf8(field.value, field.at)


def _utf8(data: bytes, at: int | None = None) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(Reason.BAD_FIELD, "a text that is not UTF-8", None if at is None else at + error.start) from error


def value_of(metric: Metric, datatype: int | None = None) -> MetricValue:
    """The value of `metric`, None where it is null or has none; `datatype` is the birth's, for metrics without their own.

    ParseError: wrong_type (the value lies in another field than its datatype wants, or is of a kind that is not read),
    out_of_range (more than the datatype holds).
    """
    raw, known = metric.raw, metric.datatype if metric.datatype is not None else datatype
    if metric.is_null or raw is None:
        return None
    kind = DataType(known) if known is not None and known in DataType.__members__.values() else None
    if kind in _BITS and isinstance(raw.value, int) and raw.number in {_INT, _LONG}:
        return _integer(raw.value, *_BITS[kind], wide=raw.number == _LONG)
    if kind is DataType.BOOLEAN and raw.number == _BOOLEAN:
        return bool(raw.value)
    if kind in {DataType.FLOAT, DataType.DOUBLE} and raw.number in {_FLOAT, _DOUBLE} and isinstance(raw.value, bytes):
        return _float(raw)
    if kind in _TEXTS and raw.number == _STRING and isinstance(raw.value, bytes):
        return _short(raw.value)
    if kind is DataType.BYTES and raw.number == _BYTES:
        return raw.value
    name = kind.name.lower() if kind is not None else f"datatype {known}"
    raise ParseError(Reason.WRONG_TYPE, f"{metric.name or metric.alias}: {name} in field {raw.number}")


def _integer(raw: int, bits: int, signed: bool, *, wide: bool) -> int:  # noqa: FBT001 (a row of the table)
    """Two's complement of its own width, or sign-extended to that of its field: senders do both."""
    field_bits = 64 if wide else 32
    raw &= (1 << field_bits) - 1
    if signed and raw >> (field_bits - 1):
        raw -= 1 << field_bits
    if signed and raw >= 0 and raw >> (bits - 1) == 1:
        raw -= 1 << bits
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= raw <= high:
        raise ParseError(Reason.OUT_OF_RANGE, f"{raw} does not fit {bits} bits")
    return raw


def _float(raw: Raw) -> float:
    assert isinstance(raw.value, bytes)  # noqa: S101 (narrows for the type checker; the caller checked)
    if raw.number == _DOUBLE:
        return float(struct.unpack("<d", raw.value)[0])
    single = float(struct.unpack("<f", raw.value)[0])
    # The shortest decimal that means the same four bytes: 23.4 rather than 23.399999618530273.
    return float(f"{single:.7g}") if math.isfinite(single) and _same(float(f"{single:.7g}"), raw.value) else single


def _same(value: float, data: bytes) -> bool:
    try:
        return struct.pack("<f", value) == data
    except OverflowError:
        return False


def _short(data: bytes) -> str:
    if len(data) > _MAX_TEXT:
        raise ParseError(Reason.OVERSIZED, f"a text of {len(data)} bytes, want at most {_MAX_TEXT}")
    return _utf8(data)


def encode_payload(payload: Payload) -> bytes:
    """The bytes of `payload`; for simulators, rebirth requests and tests."""
    out = b"" if payload.timestamp_ms is None else write_field(1, payload.timestamp_ms)
    for metric in payload.metrics:
        out += write_field(2, _encode_metric(metric), BYTES)
    if payload.seq is not None:
        out += write_field(3, payload.seq)
    return out + (write_field(4, payload.uuid.encode(), BYTES) if payload.uuid else b"")


def _encode_metric(metric: Metric) -> bytes:
    out = write_field(1, metric.name.encode(), BYTES) if metric.name else b""
    for number, value in ((2, metric.alias), (3, metric.timestamp_ms), (4, metric.datatype)):
        out += b"" if value is None else write_field(number, value)
    for number, name in _FLAGS.items():
        out += write_field(number, 1) if getattr(metric, name) else b""
    if metric.raw is None:
        return out
    return out + write_field(metric.raw.number, metric.raw.value, _WIRES.get(metric.raw.number, BYTES))


def typed(value: Value, datatype: DataType) -> Raw:
    """`value` as a metric of `datatype` carries it; for simulators and tests. ParseError(wrong_type)."""
    if datatype is DataType.BOOLEAN and isinstance(value, bool):
        return Raw(_BOOLEAN, int(value))
    if datatype in _TEXTS and isinstance(value, str):
        return Raw(_STRING, value.encode())
    if value is None or isinstance(value, (bool, str)):
        raise ParseError(Reason.WRONG_TYPE, f"{value!r} is no {datatype.name.lower()}")
    if datatype is DataType.FLOAT:
        return Raw(_FLOAT, struct.pack("<f", value))
    if datatype is DataType.DOUBLE:
        return Raw(_DOUBLE, struct.pack("<d", value))
    if datatype not in _BITS:
        raise ParseError(Reason.WRONG_TYPE, f"{value!r} is no {datatype.name.lower()}")
    wide = _BITS[datatype][0] == 64
    return Raw(_LONG if wide else _INT, int(value) & ((1 << (64 if wide else 32)) - 1))
