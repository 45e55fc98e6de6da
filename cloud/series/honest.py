"""What a store keeps of a value, decided once for every store."""

import math
from collections.abc import Collection, Mapping

import msgspec

from cloud.series.store import Point, RowRefused
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import ClockQuality, Flaw, Quality, Value
from telemetry.wire import ReadingGroup, ReadingsBatch

__all__ = ["MAX_TEXT", "MISSING", "MOST_AHEAD_NS", "counts", "doubted", "flaws_by_row", "honest", "sound", "timed", "without"]

MOST_AHEAD_NS = 300 * SECOND_NS
"""How far an event time may be ahead of the cloud's: clocks differ a little, and five minutes is more than a little."""

MAX_TEXT = 16_384
"""Characters of a text value; the smallest string limit among the servers is InfluxDB's 64 KiB of UTF-8."""

MISSING = Flaw(Quality.BAD, Reason.NO_VALUE)
_NOT_A_NUMBER = Flaw(Quality.BAD, Reason.NOT_A_NUMBER)
_TOO_LARGE = Flaw(Quality.BAD, Reason.OUT_OF_RANGE)
_TOO_LONG = Flaw(Quality.BAD, Reason.OVERSIZED)
_INT64 = 2**63


def honest(value: Value, flaw: Flaw | None) -> tuple[Value, Flaw | None]:
    """The value and flaw to keep: what no store can hold becomes None, bad, with the reason."""
    if value is None:
        return None, flaw or MISSING
    if isinstance(value, float) and not math.isfinite(value):
        return None, _NOT_A_NUMBER
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return None, _TOO_LONG
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return None, _TOO_LARGE
    return value, flaw


def counts(point: Point) -> bool:
    """Whether a bucket takes the point in: it has a value, and its gateway does not call it bad."""
    return point.value is not None and point.quality is not Quality.BAD


def flaws_by_row(group: ReadingGroup) -> Mapping[int, dict[int, Flaw]]:
    """row index -> metric index -> flaw, of the flawed rows only."""
    found: dict[int, dict[int, Flaw]] = {}
    for row, metric, quality, reason in group.flaws:
        if quality is not Quality.GOOD:
            found.setdefault(row, {})[metric] = Flaw(quality, reason)
    return found


def sound(batch: ReadingsBatch) -> tuple[ReadingsBatch, list[RowRefused]]:
    """The batch without the rows whose event time is no time at all, and those rows as refused."""
    if all(_all_timed(group) for group in batch.groups):
        return batch, []
    refused = [
        RowRefused(batch.gateway, batch.first_seq + row[0], Reason.IMPLAUSIBLE_TIME, f"event time {row[2]} ns")
        for group in batch.groups
        for row in group.rows
        if not 0 < row[2] < _INT64
    ]
    groups = [_only(group, [i for i, row in enumerate(group.rows) if 0 < row[2] < _INT64]) for group in batch.groups]
    return msgspec.structs.replace(batch, groups=[group for group in groups if group.rows]), refused


def without(batch: ReadingsBatch, seqs: Collection[int]) -> ReadingsBatch:
    """The batch without some of its readings; the batch itself where there is none to leave out."""
    if not seqs:
        return batch
    first = batch.first_seq
    groups = [_only(group, [i for i, row in enumerate(group.rows) if first + row[0] not in seqs]) for group in batch.groups]
    return msgspec.structs.replace(batch, groups=[group for group in groups if group.rows])


def timed(batch: ReadingsBatch) -> bool:
    """Whether anybody vouches for the times of a batch."""
    return batch.clock is None or batch.clock.quality is not ClockQuality.UNSYNCED


def doubted(batch: ReadingsBatch, now_ns: int) -> ReadingsBatch:
    """The batch with every value uncertain whose time nobody can believe: from a clock nobody set, or from the future.

    Their times stay as they are. The batch itself where there is no such value.
    """
    if not timed(batch):
        groups = [_doubt(group, range(len(group.rows)), Reason.CLOCK_UNSYNCED) for group in batch.groups]
        return msgspec.structs.replace(batch, groups=groups)
    horizon = now_ns + MOST_AHEAD_NS
    if not any(group.rows and max([row[2] for row in group.rows]) > horizon for group in batch.groups):
        return batch
    ahead = [[index for index, row in enumerate(group.rows) if row[2] > horizon] for group in batch.groups]
    groups = [_doubt(group, rows, Reason.FUTURE_TIME) for group, rows in zip(batch.groups, ahead, strict=True)]
    return msgspec.structs.replace(batch, groups=groups)


def _doubt(group: ReadingGroup, rows: Collection[int], reason: Reason) -> ReadingGroup:
    """The group with all values of some rows uncertain; what is flawed already has its own reason."""
    flawed = {(row, metric) for row, metric, quality, _ in group.flaws if quality is not Quality.GOOD}
    every = ((row, metric) for row in rows for metric in range(len(group.metrics)))
    added = [(row, metric, Quality.UNCERTAIN, reason) for row, metric in every if (row, metric) not in flawed]
    return msgspec.structs.replace(group, flaws=[*group.flaws, *added]) if added else group


def _all_timed(group: ReadingGroup) -> bool:
    times = [row[2] for row in group.rows]
    return not times or (min(times) > 0 and max(times) < _INT64)


def _only(group: ReadingGroup, kept: list[int]) -> ReadingGroup:
    place = {old: new for new, old in enumerate(kept)}
    return msgspec.structs.replace(
        group,
        rows=[group.rows[index] for index in kept],
        flaws=[(place[row], metric, quality, reason) for row, metric, quality, reason in group.flaws if row in place],
    )
