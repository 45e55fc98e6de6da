"""From the number or text on the wire to a metric's value, and back: the one place that applies a Scaling."""

import math
from collections.abc import Callable, Mapping

import msgspec

from device_profiles.quantities import Metric, MetricType, Scaling
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

__all__ = ["Decoded", "Gathering", "apply_scaling", "undo_scaling"]

_STORABLE = range(-(2**63), 2**63)
"""What a store's signed 64-bit integer column can hold."""


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """What one message said, in the vocabulary's units. `flaws` names the values that are not good (None for most
    of them); `time_ns` is the device's own time, None where it told none that can be read."""

    values: dict[str, Value]
    flaws: dict[str, Flaw] = {}
    time_ns: int | None = None


class Gathering:
    """Collects the values of one message; a field that cannot be read becomes a flaw and loses no other."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}
        self._flaws: dict[str, Flaw] = {}

    def add(self, metric: str, read: Callable[[], Value]) -> None:
        """Store what `read` returns, or None and a bad flaw with the reason of its ParseError."""
        try:
            self._values[metric] = read()
        except ParseError as error:
            self.flaw(metric, error.reason)

    def flaw(self, metric: str, reason: Reason) -> None:
        """Say that `metric` has no value because of `reason`."""
        self._values[metric] = None
        self._flaws[metric] = Flaw(Quality.BAD, reason)

    def mark(self, metric: str, flaw: Flaw) -> None:
        """Give a value that was gathered a flaw, where it has none yet."""
        self._flaws.setdefault(metric, flaw)

    def doubt_time(self) -> None:
        """Say that the device told a time that cannot be read, so that when any of its values was true is uncertain."""
        for metric in self._values:
            self.mark(metric, Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME))

    def decoded(self, time_ns: int | None = None) -> Decoded:
        """Everything gathered so far."""
        return Decoded(values=self._values, flaws=self._flaws, time_ns=time_ns)


def apply_scaling(raw: object, scaling: Scaling, metric: Metric) -> Value:
    """The metric's value for `raw` (a number, boolean or text off the wire).

    Raises ParseError: no_value for null and sentinels, not_in_enum, not_a_number for NaN and infinities,
    out_of_range for integers beyond 64 bits, wrong_type for anything that is not what the metric holds.
    """
    if raw is None:
        raise ParseError(Reason.NO_VALUE, f"{metric.name}: the device says that it has none")
    if isinstance(raw, float) and not math.isfinite(raw):
        raise ParseError(Reason.NOT_A_NUMBER, f"{metric.name}: {raw}")
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and raw in scaling.no_value:
        raise ParseError(Reason.NO_VALUE, f"{metric.name}: {raw} stands for no value")
    if scaling.bit is not None or scaling.bits is not None:
        raw = _take_bits(raw, scaling, metric)
    if scaling.enum:
        return _invert(_look_up(raw, scaling.enum, metric), scaling, metric)
    return _invert(_as_type(raw, scaling, metric), scaling, metric)


def _take_bits(raw: object, scaling: Scaling, metric: Metric) -> int | bool:
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 0:
        raise _wrong(metric, raw, "a whole number to take bits from")
    if scaling.bit is not None:
        return bool(raw >> scaling.bit & 1)
    assert scaling.bits is not None  # noqa: S101 (narrows for the type checker; the caller checked)
    lowest, count = scaling.bits
    return raw >> lowest & ((1 << count) - 1)


def _look_up(raw: object, enum: Mapping[int, Value], metric: Metric) -> Value:
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if not isinstance(raw, int):
        raise _wrong(metric, raw, "a whole number to look up")
    if int(raw) not in enum:
        raise ParseError(Reason.NOT_IN_ENUM, f"{metric.name}: {int(raw)} is none of {sorted(enum)}")
    return enum[int(raw)]


def _as_type(raw: object, scaling: Scaling, metric: Metric) -> Value:
    match metric.type:
        case MetricType.STRING:
            if not isinstance(raw, str):
                raise _wrong(metric, raw, "text")
            return raw
        case MetricType.BOOLEAN:
            return _as_boolean(raw, metric)
        case MetricType.FLOAT:
            return _as_float(raw, scaling, metric)
        case MetricType.INTEGER:
            return _as_integer(raw, scaling, metric)


def _as_boolean(raw: object, metric: Metric) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, int) and raw in (0, 1):
        return raw == 1
    raise _wrong(metric, raw, "true, false, 0 or 1")


def _as_float(raw: object, scaling: Scaling, metric: Metric) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise _wrong(metric, raw, "a number")
    try:
        value = _scaled(raw, scaling)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ParseError(Reason.OUT_OF_RANGE, f"{metric.name}: beyond what a float holds")
    return float(value)


def _as_integer(raw: object, scaling: Scaling, metric: Metric) -> int:
    value = _as_float(raw, scaling, metric) if scaling.scale != 1 or scaling.offset or isinstance(raw, float) else raw
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(metric, raw, "a whole number")
    nearest = round(value)
    if isinstance(raw, float) and abs(value - nearest) > 1e-9:
        raise _wrong(metric, raw, "a whole number")
    if nearest not in _STORABLE:
        raise ParseError(Reason.OUT_OF_RANGE, f"{metric.name}: {nearest} is beyond 64 bits")
    return nearest


def _scaled(raw: float, scaling: Scaling) -> float:
    """Decimal scales divide where the reciprocal is whole, so that 231 * 0.1 is 23.1 and not 23.1000000000000014."""
    if scaling.scale == 1:
        return raw + scaling.offset
    reciprocal = 1 / scaling.scale if scaling.scale else 0.0
    if abs(scaling.scale) < 1 and abs(reciprocal - round(reciprocal)) < 1e-9 * abs(reciprocal):
        return raw / round(reciprocal) + scaling.offset
    return raw * scaling.scale + scaling.offset


def _invert(value: Value, scaling: Scaling, metric: Metric) -> Value:
    if not scaling.invert:
        return value
    if not isinstance(value, bool):
        raise _wrong(metric, value, "a boolean to invert")
    return not value


def undo_scaling(value: Value, scaling: Scaling, metric: Metric, onto: int = 0) -> int | float | bool | str:
    """The raw number that `apply_scaling` turns into `value`; for simulators, encoders and tests.

    Where the scaling takes bits, `onto` is the word whose other bits are kept. None becomes the smallest sentinel.
    Raises ParseError(no_value, not_in_enum, wrong_type) where there is no such raw number.
    """
    if value is None:
        if not scaling.no_value:
            raise ParseError(Reason.NO_VALUE, f"{metric.name}: its wire form has no word for none")
        return min(scaling.no_value)
    if scaling.invert and isinstance(value, bool):
        value = not value
    raw = _raw_of(value, scaling, metric)
    if scaling.bit is not None:
        return onto & ~(1 << scaling.bit) | int(bool(raw)) << scaling.bit
    if scaling.bits is not None:
        lowest, count = scaling.bits
        mask = (1 << count) - 1
        return onto & ~(mask << lowest) | (int(raw) & mask) << lowest
    return raw


def _raw_of(value: float | str, scaling: Scaling, metric: Metric) -> int | float | bool | str:
    if scaling.enum:
        for raw, meaning in scaling.enum.items():
            if meaning == value and isinstance(meaning, bool) == isinstance(value, bool):
                return raw
        raise ParseError(Reason.NOT_IN_ENUM, f"{metric.name}: {value!r} is none of {list(scaling.enum.values())}")
    if isinstance(value, (bool, str)) or (scaling.scale == 1 and not scaling.offset):
        return value
    if not scaling.scale:
        raise ParseError(Reason.WRONG_TYPE, f"{metric.name}: a scale of 0 has no way back")
    exact = (value - scaling.offset) / scaling.scale
    return round(exact) if abs(exact - round(exact)) < 1e-6 * max(1.0, abs(exact)) else exact


def _wrong(metric: Metric, raw: object, wanted: str) -> ParseError:
    return ParseError(Reason.WRONG_TYPE, f"{metric.name}: {_short(raw)}, want {wanted}")


def _short(raw: object) -> str:
    """A value as a person may see it; an object somebody else sent is never printed whole."""
    text = repr(raw) if isinstance(raw, (bool, float, str)) else type(raw).__name__
    return text if len(text) <= 40 else f"{text[:37]}..."
