"""Readings to measure with: a street of loop controllers, ten numbers each, times that never repeat."""

from collections.abc import Sequence
from itertools import count

from telemetry.records import Cause, Origin, Priority, Reading, Transition
from telemetry.wire import DeviceDeclaration

__all__ = ["DEVICES", "GATEWAY", "METRICS", "VALUES_EACH", "Street", "raised"]

GATEWAY = "gw-bench"
_PROFILE, _VERSION = "lamp_loop", 1
DEVICES = tuple(f"bench-{n:03}" for n in range(200))
METRICS = (
    "voltage_a_v",
    "voltage_b_v",
    "voltage_c_v",
    "current_a_a",
    "current_b_a",
    "current_c_a",
    "power_kw",
    "power_factor",
    "frequency_hz",
    "energy_kwh",
)
VALUES_EACH = len(METRICS)
_START_NS = 1_750_000_000_000_000_000
_STEP_NS = 1_000_000
_NUMBERS = tuple({metric: round(base / 10 + 13.7 * place, 3) for place, metric in enumerate(METRICS)} for base in range(997))


class Street:
    """Readings of `DEVICES` in turn, each later than the one before; the numbers vary so that nothing compresses away.

    The numbers are made beforehand, as the bare writer's are: what is measured is the road, not the making of numbers.
    """

    def __init__(self) -> None:
        self._ticks = count()

    def readings(self, number: int) -> list[Reading]:
        """The next `number` readings."""
        return [self._reading(tick) for tick, _ in zip(self._ticks, range(number), strict=False)]

    @staticmethod
    def declarations() -> Sequence[DeviceDeclaration]:
        """The devices as a gateway declares them."""
        return [DeviceDeclaration(device=name, profile=_PROFILE, profile_version=_VERSION, kind="lamp_loop") for name in DEVICES]

    @staticmethod
    def _reading(tick: int) -> Reading:
        time_ns = _START_NS + tick * _STEP_NS
        return Reading(
            device=DEVICES[tick % len(DEVICES)],
            profile=_PROFILE,
            profile_version=_VERSION,
            time_ns=time_ns,
            received_ns=time_ns,
            values=_NUMBERS[tick % len(_NUMBERS)],
        )


def raised(device: str, now_ns: int) -> Transition:
    """The first step of an alarm: a cover was opened."""
    return Transition(
        alarm=f"{device}/cover_opened/{now_ns}",
        origin=Origin.EDGE,
        n=1,
        device=device,
        rule="cover_opened",
        profile="cover_nbiot",
        profile_version=1,
        cause=Cause.RAISE,
        priority=Priority.CRITICAL,
        event_time_ns=now_ns,
        recorded_ns=now_ns,
        actor=GATEWAY,
        evidence={"tilt_deg": 41.5},
        note="",
    )
