"""The values of an answer, a notification or a Send as readings of a profile."""

from collections.abc import Iterable, Sequence

from device_profiles.model import Profile
from device_profiles.wires.items import ItemField
from firmware_bridge.items import decode_items
from firmware_bridge.lwm2m.values import Reading
from firmware_bridge.values import Decoded
from telemetry.reason import Reason

__all__ = ["decode_readings"]

_NS = 1_000_000_000
_LATEST_S = 2**63 // _NS


def decode_readings(
    profile: Profile, fields: Sequence[ItemField], readings: Iterable[Reading], received_ns: int
) -> tuple[Decoded, ...]:
    """One reading for each time that is told, oldest first; what tells none has none, and comes last.

    A relative time counts from `received_ns`, and zero is now. Resources that the profile does not read are passed over; a
    device may send several times of one resource (a history that it kept while nobody heard it).
    """
    wanted = {field.item for field in fields}
    moments: dict[int | None, tuple[dict[str, object], dict[str, Reason]]] = {}
    for reading in readings:
        if reading.path not in wanted:
            continue
        items, unreadable = moments.setdefault(_time_ns(reading, received_ns), ({}, {}))
        if reading.flaw is None:
            items[reading.path] = reading.value
        else:
            unreadable[reading.path] = reading.flaw
    in_order = sorted(moments, key=lambda time_ns: (time_ns is None, time_ns or 0))
    return tuple(
        decode_items(profile, fields, moments[time_ns][0], time_ns=time_ns, unreadable=moments[time_ns][1])
        for time_ns in in_order
    )


def _time_ns(reading: Reading, received_ns: int) -> int | None:
    """When the value was true; None for now, and for a time that no clock shows."""
    if reading.time_s is None or (reading.relative and reading.time_s == 0):
        return None
    if abs(reading.time_s) >= _LATEST_S:
        return None
    # Whole microseconds: a float of seconds since 1970 holds no more.
    told_ns = round(reading.time_s * 1_000_000) * 1000
    time_ns = told_ns + (received_ns if reading.relative else 0)
    return time_ns if 0 < time_ns < 2**63 else None
