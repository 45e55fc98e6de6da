"""How many alarm rules one core of a gateway judges in a second, without disk and without network."""

import random
from time import process_time

import msgspec

from device_profiles.model import Profile
from device_profiles.quantities import Metric, MetricType
from edge_agent.alarms.engine import judge_reading
from edge_agent.alarms.state import DeviceState
from telemetry.clock import SECOND_NS
from telemetry.records import Reading, Value

__all__ = ["AlarmFigures", "measure_alarms"]

_BEGIN_NS = 1_750_000_000 * SECOND_NS
_READINGS = 500


class AlarmFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on one core: `evaluations_per_s` counts each rule that a reading is judged by."""

    profile: str
    rules: int
    evaluations_per_s: float
    readings_per_s: float
    transitions: int


def measure_alarms(profile: Profile, seconds: float) -> AlarmFigures:
    """Judge readings of one model for `seconds` of processor time: the state goes from reading to reading, as on a gateway."""
    readings = _readings(profile)
    judged, transitions = 0, 0
    # Processor time: what else the machine does meanwhile does not count.
    began = process_time()
    while (elapsed := process_time() - began) < seconds:
        state = DeviceState()
        for reading in readings:
            outcome = judge_reading(profile, state, reading)
            state = outcome.state
            transitions += len(outcome.transitions)
        judged += len(readings)
    return AlarmFigures(
        profile=profile.name,
        rules=len(profile.alarms),
        evaluations_per_s=judged * len(profile.alarms) / elapsed,
        readings_per_s=judged / elapsed,
        transitions=transitions,
    )


def _readings(profile: Profile) -> list[Reading]:
    """Readings ten seconds apart: quiet most of the time, anything that the ranges allow in every twentieth."""
    chance = random.Random(1)  # noqa: S311 - the same readings in every run
    usual = {name: _value(metric, chance) for name, metric in profile.metrics.items()}
    rows = []
    for number in range(_READINGS):
        values = usual if number % 20 else {name: _value(metric, chance) for name, metric in profile.metrics.items()}
        at_ns = _BEGIN_NS + number * 10 * SECOND_NS
        rows.append(
            Reading(
                device="d1",
                profile=profile.name,
                profile_version=profile.version,
                time_ns=at_ns,
                received_ns=at_ns,
                values=values,
            )
        )
    return rows


def _value(metric: Metric, chance: random.Random) -> Value:
    low, high = metric.low or 0.0, 100.0 if metric.high is None else metric.high
    match metric.type:
        case MetricType.BOOLEAN:
            return chance.random() < 0.5
        case MetricType.INTEGER:
            return chance.randint(int(low), int(high))
        case MetricType.STRING:
            return "normal"
        case MetricType.FLOAT:
            return chance.uniform(low, high)
