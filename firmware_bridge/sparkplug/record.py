"""A Sparkplug B payload as a JSON-ready record, and metric by metric with offsets.

A payload alone does not tell its birth: a metric by alias has no name here, and one without a datatype no value.
"""

import math

from firmware_bridge.cursor import Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language, Record
from firmware_bridge.sparkplug.payload import DataType, Metric, parse_payload, value_of

__all__ = ["LANGUAGE"]


def _record(raw: bytes) -> Record:
    payload = parse_payload(raw)
    return {
        "protocol": "sparkplug-b",
        "timestamp_ms": payload.timestamp_ms,
        "seq": payload.seq,
        "uuid": payload.uuid,
        "metrics": [_metric(metric) for metric in payload.metrics],
    }


def _metric(metric: Metric) -> Record:
    said: Record = {
        "name": metric.name,
        "alias": metric.alias,
        "timestamp_ms": metric.timestamp_ms,
        "datatype": None if metric.datatype is None else _type_name(metric.datatype),
        "is_historical": metric.is_historical,
        "is_transient": metric.is_transient,
        "is_null": metric.is_null,
    }
    try:
        return said | {"value": _plain(value_of(metric))}
    except ParseError as error:
        return said | {"value": None, "refused": error.reason, "where": str(error)}


def _type_name(number: int) -> str:
    return DataType(number).name.lower() if number in DataType.__members__.values() else str(number)


def _plain(value: object) -> object:
    """A value as JSON can write it: bytes as hex, what JSON has no number for as text."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _explain(raw: bytes) -> list[Shown]:
    payload = parse_payload(raw)
    shown = [Shown("timestamp_ms", 0, len(raw), payload.timestamp_ms), Shown("seq", 0, len(raw), payload.seq)]
    ends = [metric.at for metric in payload.metrics[1:]] + [len(raw)]
    for metric, end in zip(payload.metrics, ends, strict=False):
        told = _metric(metric)
        name = metric.name or (f"alias {metric.alias}" if metric.alias is not None else "a metric without a name")
        shown.append(Shown(name, metric.at, end - metric.at, told.get("where") or told["value"]))
    return shown


LANGUAGE = Language(describe=_record, explain=_explain)
