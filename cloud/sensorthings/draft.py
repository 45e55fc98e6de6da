"""From the document of a new Observation to a value that the store can take, by the rules that gateways go by."""

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cloud.sensorthings.errors import StaError, invalid, unsupported
from cloud.sensorthings.ids import END_NS, FIRST_NS
from cloud.sensorthings.model import ID
from cloud.sensorthings.times import read_time, show_instant
from device_profiles.quantities import Metric, MetricType
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

__all__ = ["Draft", "judged", "read_array", "read_observation"]

_LONGEST_TEXT: Final = 1024
_MOST: Final = 1000
_INT64: Final = 2**63
_EXACT: Final = 2**53
_KNOWN: Final = ("phenomenonTime", "resultTime", "result", "Datastream", "FeatureOfInterest")
# A point of the store has a time and a value; there is nowhere to keep these.
_LATER: Final = frozenset({"validTime", "parameters", "resultQuality", "MultiDatastream"})


class Draft(msgspec.Struct, frozen=True):
    """An Observation to be made: of which Datastream, when (nanoseconds; None for now), and what. `thing`: whose place it
    says that it is about."""

    stream: int
    time_ns: int | None
    result: Any
    thing: int | None = None


def read_observation(document: Any, stream: int | None = None) -> Draft:
    """One Observation; `stream` is the Datastream that its address names. StaError (400, 501) for what cannot be one."""
    if not isinstance(document, dict):
        raise invalid("body: want an Observation as a JSON object")
    said = {name: value for name, value in document.items() if value is not None or name == "result"}
    for name in said:
        if name in _LATER:
            raise unsupported(f"{name}: cannot be kept with an Observation here")
        if name not in _KNOWN:
            raise invalid(f"{name[:64]!r}: an Observation has no such property; want some of {', '.join(_KNOWN)}")
    if "result" not in said:
        raise invalid("result: is missing")
    named = _linked(said, "Datastream")
    if stream is None and named is None:
        raise invalid('Datastream: is missing; want {"@iot.id": number}')
    if None not in {stream, named} and stream != named:
        raise invalid(f"Datastream: is {named}, and the address says {stream}")
    thing = _linked(said, "FeatureOfInterest")
    return Draft(named if stream is None else stream, _time(said), said["result"], thing)  # type: ignore[arg-type]


def read_array(document: Any) -> list[Draft | StaError]:
    """The rows of a data array (18-088, 12.2); what is wrong with one does not touch the others."""
    if not isinstance(document, list):
        raise invalid("body: want a JSON list of data arrays")
    found: list[Draft | StaError] = []
    for group in document:
        found += _group(group)
        if len(found) > _MOST:
            raise invalid(f"more than {_MOST} Observations: want fewer at once")
    return found


def _group(group: Any) -> list[Draft | StaError]:
    match group:
        case {"Datastream": {"@iot.id": int() as stream}, "components": [*names], "dataArray": [*rows]}:
            known = {**{name: name for name in _KNOWN}, "FeatureOfInterest/id": "FeatureOfInterest"}
            if not all(isinstance(name, str) and (name in known or name in _LATER) for name in names):
                raise invalid(f"components: want some of {', '.join(known)}")
            return [_row(stream, [known.get(name, name) for name in names], row) for row in rows]
        case _:
            raise invalid('want {"Datastream": {"@iot.id": number}, "components": [...], "dataArray": [[...]]}')


def _row(stream: int, names: list[str], row: Any) -> Draft | StaError:
    try:
        if not isinstance(row, list) or len(row) != len(names):
            raise invalid(f"a row: want a list of {len(names)} values")
        document = dict(zip(names, row, strict=True))
        feature = document.get("FeatureOfInterest")
        if isinstance(feature, int):
            document["FeatureOfInterest"] = {ID: feature}
        return read_observation(document, stream)
    except StaError as error:
        return error


def _linked(said: Mapping[str, Any], name: str) -> int | None:
    match said.get(name):
        case None:
            return None
        case {"@iot.id": bool()}:
            raise invalid(f'{name}: want {{"@iot.id": number}}')
        case {"@iot.id": int() as number, **rest} if not rest and 0 < number < _INT64:
            return number
        case {"@iot.id": _}:
            raise invalid(f'{name}: want {{"@iot.id": number}}')
        case _:
            raise unsupported(f"{name}: a new one cannot be made with an Observation; name one by its @iot.id")


def _time(said: Mapping[str, Any]) -> int | None:
    times = {name: _instant(name, said[name]) for name in ("phenomenonTime", "resultTime") if name in said}
    if len(set(times.values())) > 1:
        raise unsupported("resultTime: another one than phenomenonTime cannot be kept; leave it out")
    return next(iter(times.values()), None)


def _instant(name: str, text: Any) -> int:
    time = read_time(text) if isinstance(text, str) and len(text) < 100 else None
    if time is None:
        raise invalid(f"{name}: want ISO 8601 with a zone, such as 2026-11-20T08:00:00Z")
    if not time.is_instant:
        raise unsupported(f"{name}: an interval cannot be kept; want an instant")
    if not FIRST_NS <= time.start_ns < END_NS:
        wanted = f"want a time from 2000 to {show_instant(END_NS)[:4]}"
        raise StaError(400, Reason.IMPLAUSIBLE_TIME, f"{name}: {show_instant(time.start_ns)}: {wanted}")
    return time.start_ns


def judged(metric: Metric, raw: Any) -> tuple[Value, Flaw | None]:
    """The value as its metric's type and what is wrong with it; StaError (400) where it is of another type.

    A number beyond the range is kept and marked, so that nobody believes it.
    """
    value = _typed(metric, raw)
    if value is None:
        return None, Flaw(Quality.BAD, Reason.NO_VALUE)
    if isinstance(value, (bool, str)):
        return value, None
    outside = (metric.low is not None and value < metric.low) or (metric.high is not None and value > metric.high)
    return value, Flaw(Quality.BAD, Reason.OUT_OF_RANGE) if outside else None


def _typed(metric: Metric, raw: Any) -> Value:
    match metric.type, raw:
        case _, None:
            return None
        case (MetricType.BOOLEAN, bool()):
            return bool(raw)
        case (MetricType.STRING, str()) if len(raw) <= _LONGEST_TEXT:
            return str(raw)
        case ((MetricType.FLOAT | MetricType.INTEGER), bool()):
            pass
        case (MetricType.FLOAT, int() | float()) if -_INT64 <= raw < _INT64 or (isinstance(raw, float) and math.isfinite(raw)):
            return float(raw)
        case (MetricType.INTEGER, int()) if -_INT64 <= raw < _INT64:
            return int(raw)
        case (MetricType.INTEGER, float()) if raw.is_integer() and abs(raw) < _EXACT:
            return int(raw)
        case _:
            pass
    shown = str(raw)[:32] if not isinstance(raw, int) else "a number"
    raise StaError(400, Reason.WRONG_TYPE, f"result: {type(raw).__name__} {shown!r}: {metric.name} wants {metric.type}")
