"""Nanoseconds to the text of the API and back: ISO 8601, UTC, milliseconds, a Z at the end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import overload

import numpy as np

from telemetry.clock import SECOND_NS

__all__ = ["age_s", "instant_ns", "iso", "iso_many", "to_ns"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@overload
def iso(time_ns: int) -> str: ...
@overload
def iso(time_ns: int | None) -> str | None: ...
def iso(time_ns: int | None) -> str | None:
    """One instant, rounded down to the millisecond: 2026-11-20T14:00:00.123Z."""
    if time_ns is None:
        return None
    moment = _EPOCH + timedelta(microseconds=time_ns // 1000)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def iso_many(times_ns: Sequence[int]) -> list[str]:
    """The same for many, some ten times faster."""
    instants = np.asarray(times_ns, dtype="datetime64[ns]").astype("datetime64[ms]")
    return [f"{text}Z" for text in np.datetime_as_string(instants).tolist()]


def to_ns(moment: datetime) -> int:
    """Nanoseconds since the Unix epoch of an aware instant."""
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def instant_ns(text: str) -> int:
    """Nanoseconds since the Unix epoch of an instant in ISO 8601 with a zone; ValueError for anything else."""
    return to_ns(datetime.fromisoformat(text))


def age_s(time_ns: int | None, now_ns: int) -> float | None:
    """Seconds since then to a tenth, never below 0: a device's clock may run ahead of ours."""
    return None if time_ns is None else max(0.0, round((now_ns - time_ns) / SECOND_NS, 1))
