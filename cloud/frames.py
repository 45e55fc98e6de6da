"""The frames of a device around an instant: those that it sends on while somebody looks, and those that proved an alarm.

The series store has the first as texts under a reserved name, the alarm log the second in its evidence; `telemetry.raw_frames`
says how both are written.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import transitions
from cloud.series.store import SeriesStore
from telemetry.clock import SECOND_NS
from telemetry.raw_frames import EVIDENCE_FRAME, RAW_FRAME, READING_TEXTS, RawFrame, read_frames
from telemetry.records import Cause, Value

__all__ = ["KeptFrame", "frames_around", "frames_in_evidence"]

_NAMES: Final = (RAW_FRAME, *(f"{RAW_FRAME}.{number}" for number in range(2, READING_TEXTS + 1)))
_RECEIVED, _SOURCE = ".received_ns", ".source"
_SPANS_NS: Final = tuple(seconds * SECOND_NS for seconds in (60, 3600, 86_400, 40 * 86_400))
"""How far is looked from the instant: a little first, for most devices say something every minute."""
_PORTION: Final = 1000
_MOST_PORTIONS: Final = 100
_PROOFS: Final = (Cause.RAISE.value, Cause.PRIORITY_RAISED.value)


class KeptFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame. `time_ns` is the event time of what it said; `received_ns` is the gateway's clock, None where it is not told."""

    time_ns: int
    frame: RawFrame
    received_ns: int | None = None
    source: str = ""
    alarm: str = ""
    """The occurrence that it raised."""


async def frames_around(
    conn: AsyncConnection, series: SeriesStore, device: str, at_ns: int, *, before: int, after: int
) -> list[KeptFrame]:
    """The last `before` readings' frames up to `at_ns`, included, and the first `after` behind it, in order of time.

    StoreUnavailable where the series store does not answer. Nothing is found more than forty days away.
    """
    early = await _times_before(series, device, at_ns, before)
    late = await _times_after(series, device, at_ns, after)
    found: list[KeptFrame] = []
    for times in (early, late):
        if times:
            found += await _sent(series, device, times)
    proofs = await _proofs(conn, device, at_ns, before, after)
    return _merged(found, proofs, at_ns, before, after)


def frames_in_evidence(evidence: Mapping[str, Value], time_ns: int, alarm: str = "") -> list[KeptFrame]:
    """The frames that a transition's evidence holds; none where its gateway is older than that, or saw none."""
    return _kept(EVIDENCE_FRAME, evidence, time_ns, alarm)


def _kept(name: str, values: Mapping[str, Value], time_ns: int, alarm: str = "") -> list[KeptFrame]:
    received, source = values.get(name + _RECEIVED), values.get(name + _SOURCE)
    return [
        KeptFrame(
            time_ns=time_ns,
            frame=frame,
            received_ns=received if isinstance(received, int) and 0 < received < 2**63 else None,
            source=source if isinstance(source, str) else "",
            alarm=alarm,
        )
        for frame in read_frames(name, values)
    ]


async def _times_before(series: SeriesStore, device: str, at_ns: int, count: int) -> list[int]:
    """When the last readings with frames were, up to `at_ns`."""
    times: list[int] = []
    for span_ns in _SPANS_NS if count else ():
        times = await _newest(series, device, max(0, at_ns - span_ns), at_ns + 1, count)
        if len(times) >= count:
            break
    return times


async def _newest(series: SeriesStore, device: str, start_ns: int, end_ns: int, count: int) -> list[int]:
    """The store gives the oldest first: the last ones of an interval are behind all the others."""
    times: list[int] = []
    for _ in range(_MOST_PORTIONS):
        points = (await series.range(device, [RAW_FRAME], start_ns, end_ns, _PORTION)).get(RAW_FRAME, [])
        times = [*times, *(point.time_ns for point in points)][-count:]
        if len(points) < _PORTION:
            break
        start_ns = points[-1].time_ns + 1
    return times


async def _times_after(series: SeriesStore, device: str, at_ns: int, count: int) -> list[int]:
    if not count:
        return []
    points = await series.range(device, [RAW_FRAME], at_ns + 1, at_ns + _SPANS_NS[-1], count)
    return [point.time_ns for point in points.get(RAW_FRAME, [])]


async def _sent(series: SeriesStore, device: str, times: list[int]) -> list[KeptFrame]:
    names = [*_NAMES, RAW_FRAME + _RECEIVED, RAW_FRAME + _SOURCE]
    columns = await series.range(device, names, times[0], times[-1] + 1, len(times))
    rows: dict[int, dict[str, Value]] = {}
    for name, points in columns.items():
        for point in points:
            rows.setdefault(point.time_ns, {})[name] = point.value
    return [kept for time_ns in times for kept in _kept(RAW_FRAME, rows.get(time_ns, {}), time_ns)]


async def _proofs(conn: AsyncConnection, device: str, at_ns: int, before: int, after: int) -> list[KeptFrame]:
    wanted = select(transitions.c.alarm, transitions.c.event_time_ns, transitions.c.evidence)
    wanted = wanted.where(transitions.c.device == device, transitions.c.cause.in_(_PROOFS))
    time = transitions.c.event_time_ns
    near = (at_ns - _SPANS_NS[-1], at_ns + _SPANS_NS[-1])
    early = wanted.where(time <= at_ns, time >= near[0]).order_by(time.desc()).limit(before)
    late = wanted.where(time > at_ns, time < near[1]).order_by(time).limit(after)
    rows: list[Any] = []
    for question, count in ((early, before), (late, after)):
        rows += (await conn.execute(question)).all() if count else []
    return [kept for row in rows for kept in frames_in_evidence(row.evidence, row.event_time_ns, row.alarm)]


def _merged(found: Iterable[KeptFrame], proofs: Iterable[KeptFrame], at_ns: int, before: int, after: int) -> list[KeptFrame]:
    """Each frame once: one that was sent on and proved an alarm, too, is told as the proof that it is."""
    proved = {(kept.time_ns, kept.frame.raw): kept.alarm for kept in proofs}
    sent = [msgspec.structs.replace(kept, alarm=proved.pop((kept.time_ns, kept.frame.raw), "")) for kept in found]
    rest = [kept for kept in proofs if (kept.time_ns, kept.frame.raw) in proved]
    every = sorted([*sent, *rest], key=lambda kept: kept.time_ns)
    times = sorted({kept.time_ns for kept in every})
    past = sum(time <= at_ns for time in times)
    chosen = set(times[max(0, past - before) : past + after])
    return [kept for kept in every if kept.time_ns in chosen]
