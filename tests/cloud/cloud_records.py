"""Readings and batches for the tests of the cloud."""

from collections.abc import Mapping

from telemetry.records import Flaw, Reading, Value
from telemetry.wire import ReadingsBatch, group_readings

T0 = 1_760_000_000_000_000_000
"""2025-10-09T08:53:20Z."""

S = 1_000_000_000


def reading(
    device: str = "cover-1",
    at_ns: int = T0,
    values: Mapping[str, Value] | None = None,
    flaws: Mapping[str, Flaw] | None = None,
    profile: str = "cover_nbiot",
) -> Reading:
    return Reading(
        device=device,
        profile=profile,
        profile_version=1,
        time_ns=at_ns,
        received_ns=at_ns + S,
        values={"level_cm": 1.5} if values is None else values,
        flaws=flaws or {},
    )


def batch(*readings: Reading, first_seq: int = 1, gateway: str = "gw-1", epoch: str = "e1") -> ReadingsBatch:
    return group_readings(gateway, epoch, first_seq, readings)
