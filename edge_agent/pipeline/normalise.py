"""Step 1: a reading with a plausible time and values of the right types."""

import math
from collections.abc import Mapping

from msgspec.structs import replace

from device_profiles.model import Profile
from device_profiles.quantities import Metric, MetricType
from edge_agent.pipeline.work import Doubt, Instant, Work
from firmware_bridge.values import Decoded
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Reading, Value

__all__ = ["EARLIEST_NS", "LATEST_NS", "MAX_AHEAD_NS", "MAX_AT_ONCE", "MAX_TEXT", "normalise"]

EARLIEST_NS = 946_684_800 * SECOND_NS
"""2000-01-01T00:00:00Z: a device that says an earlier time has lost its clock."""

LATEST_NS = 4_102_444_800 * SECOND_NS
"""2100-01-01T00:00:00Z: later than any gateway of ours, whatever its clock says."""

MAX_AHEAD_NS = 300 * SECOND_NS
"""How far a device's clock may be ahead of the gateway's, where somebody vouches for the gateway's."""

MAX_TEXT = 1024
"""Characters in a text value."""


MAX_AT_ONCE = 64
"""Different readings of one device at one instant that are kept apart; a further one takes the last one's place."""


def normalise(work: Work) -> Work:
    """Make the reading; a value of the wrong type or of no known metric is refused alone.

    A time that cannot be true is replaced by the instant of reception, and every value becomes uncertain.
    """
    heard = work.heard
    values, flaws, doubts = _values(heard.profile, heard.decoded)
    if not values:
        doubts = doubts or [Doubt(Reason.NO_VALUE, "no metric in it")]
        return replace(work, doubts=(*work.doubts, *doubts))
    time_ns, wrong = _event_time(heard.decoded.time_ns, heard.received_ns, vouched=work.vouched)
    if wrong is not None:
        flaws = dict.fromkeys(values, Flaw(Quality.UNCERTAIN, wrong)) | flaws
        doubts.append(Doubt(wrong, f"device time {heard.decoded.time_ns} ns, received at {heard.received_ns} ns"))
    instant, place = _instant(work.memory.instant, time_ns, values)
    reading = Reading(
        device=heard.device,
        profile=heard.profile.name,
        profile_version=heard.profile.version,
        time_ns=time_ns + place,
        received_ns=heard.received_ns,
        values=values,
        flaws=flaws,
    )
    return replace(work, reading=reading, memory=replace(work.memory, instant=instant), doubts=(*work.doubts, *doubts))


def _event_time(told_ns: int | None, received_ns: int, *, vouched: bool) -> tuple[int, Reason | None]:
    """A gateway that does not know the time itself believes every device whose time could be true."""
    if told_ns is None:
        return received_ns, None
    if told_ns < EARLIEST_NS:
        return received_ns, Reason.IMPLAUSIBLE_TIME
    if told_ns > (received_ns + MAX_AHEAD_NS if vouched else LATEST_NS):
        return received_ns, Reason.FUTURE_TIME
    return told_ns, None


def _instant(last: Instant | None, time_ns: int, values: Mapping[str, Value]) -> tuple[Instant, int]:
    """What was said of this instant so far, this included, and its place there.

    A clock of whole seconds tells one time for two positions. The store keeps one value for each (device, metric,
    time), so different things stand a nanosecond apart, while a repeat falls on the place of its first.
    """
    if last is None or last.time_ns != time_ns:
        return Instant(time_ns, (values,)), 0
    if values in last.said:
        return last, last.said.index(values)
    said = (*last.said, values) if len(last.said) < MAX_AT_ONCE else (*last.said[:-1], values)
    return Instant(time_ns, said), len(said) - 1


def _values(profile: Profile, decoded: Decoded) -> tuple[dict[str, Value], dict[str, Flaw], list[Doubt]]:
    values: dict[str, Value] = {}
    flaws: dict[str, Flaw] = {}
    doubts: list[Doubt] = []
    for name, raw in decoded.values.items():
        metric = profile.metrics.get(name)
        # Most of what is heard, told from the rest at once: a finite float (inf and NaN have no difference from themselves).
        if type(raw) is float and metric is not None and metric.type is MetricType.FLOAT and raw - raw == 0.0:
            values[name] = raw
            if decoded.flaws and name in decoded.flaws:
                flaws[name] = decoded.flaws[name]
            continue
        value = (
            Doubt(Reason.UNKNOWN_METRIC, f"{name[:64]}: not in profile {profile.name}") if metric is None else coerce(metric, raw)
        )
        if isinstance(value, Doubt):
            doubts.append(value)
            continue
        values[name] = value
        flaw = decoded.flaws.get(name)
        if flaw is not None or value is None:
            flaws[name] = flaw or Flaw(Quality.BAD, Reason.NO_VALUE)
    return values, flaws, doubts


def coerce(metric: Metric, raw: object) -> Value | Doubt:
    """The value as the metric's type, or why it is not one: int is good for float, bool is good for no number."""
    if raw is None:
        return None
    match metric.type:
        case MetricType.BOOLEAN:
            return raw if isinstance(raw, bool) else _wrong(metric, raw)
        case MetricType.STRING:
            return _text(metric, raw)
        case MetricType.FLOAT | MetricType.INTEGER:
            return _number(metric, raw)


def _text(metric: Metric, raw: object) -> str | Doubt:
    if not isinstance(raw, str):
        return _wrong(metric, raw)
    if len(raw) > MAX_TEXT:
        return Doubt(Reason.OVERSIZED, f"{metric.name}: {len(raw)} characters, want at most {MAX_TEXT}")
    if not raw.isprintable() and any("\ud800" <= character <= "\udfff" for character in raw):
        return Doubt(Reason.BAD_FIELD, f"{metric.name}: half a surrogate pair, want whole characters")
    return raw


def _number(metric: Metric, raw: object) -> int | float | Doubt:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return _wrong(metric, raw)
    if isinstance(raw, float) and not math.isfinite(raw):
        return Doubt(Reason.NOT_A_NUMBER, f"{metric.name}: {raw}")
    if isinstance(raw, int) and not -(2**63) <= raw < 2**63:
        return Doubt(Reason.OUT_OF_RANGE, f"{metric.name}: an integer beyond 64 bits")
    if metric.type is MetricType.FLOAT:
        return float(raw)
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() and abs(raw) < 2**53 else _wrong(metric, raw)
    return raw


def _wrong(metric: Metric, raw: object) -> Doubt:
    return Doubt(Reason.WRONG_TYPE, f"{metric.name}: {type(raw).__name__} {str(raw)[:32]!r}, want {metric.type}")
