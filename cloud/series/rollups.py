"""What values amount to in an interval, as rows that can be put together again: the arithmetic of the tiers.

A row stands for one value or for many. Rows of the same interval add up to the row of the whole, whatever tier they come
from, so that an answer may take its edges from raw values, its middle from hours and the rest from minutes.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cloud.series.store import Bucket, Curve, Gap
from telemetry.records import Value

__all__ = ["ROW", "Kind", "Rows", "add_up", "combine", "gaps", "last_value", "rows_of", "to_buckets", "to_curve"]

Rows = npt.NDArray[Any]
"""An array of ROW."""

ROW: Final = np.dtype(
    [
        ("start_ns", np.int64),  # where its bucket begins; of a single value its time
        ("kind", np.int8),  # of the last value
        ("n", np.int64),
        ("total", np.float64),
        ("low", np.float64),  # NaN where there are only texts, and so for all floats below
        ("high", np.float64),
        ("low_ns", np.int64),  # below 0 where a store does not tell, and so for all times below
        ("high_ns", np.int64),
        ("first_ns", np.int64),
        ("last_ns", np.int64),
        ("first", np.float64),
        ("last", np.float64),
        ("exact", np.int64),  # the last value, where it is an integer or a boolean: no float holds all of them
        ("text", object),  # the last value, where it is text
    ]
)
_SILENT: Final = 2.5  # usual intervals: one reading may fail and the next come late


class Kind(IntEnum):
    """What a value is; also the numbers that stores keep."""

    FLOAT = 0
    WHOLE = 1
    TRUTH = 2
    TEXT = 3


def rows_of(times_ns: npt.NDArray[np.int64], values: Sequence[Any] | npt.NDArray[Any], kind: Kind) -> Rows:
    """A row for each value. Booleans count as 0 and 1; texts have no size."""
    rows = np.zeros(len(times_ns), dtype=ROW)
    for name in ("start_ns", "low_ns", "high_ns", "first_ns", "last_ns"):
        rows[name] = times_ns
    numbers = np.full(len(rows), np.nan) if kind is Kind.TEXT else np.asarray(values, dtype=np.float64)
    for name in ("low", "high", "first", "last"):
        rows[name] = numbers
    rows["total"] = 0.0 if kind is Kind.TEXT else numbers
    rows["kind"], rows["n"], rows["text"] = kind, 1, None
    if kind in {Kind.WHOLE, Kind.TRUTH}:
        rows["exact"] = np.asarray(values, dtype=np.int64)
    if kind is Kind.TEXT:
        rows["text"] = np.asarray(values, dtype=object)
    return rows


def combine(rows: Rows, starts: Sequence[int] | npt.NDArray[np.int64]) -> Rows:
    """One row for each of the intervals that begin at `starts` and hold any, in order of time.

    No row may begin before the first of `starts`, and none may reach over the end of its interval.
    """
    if not len(rows):
        return rows
    edges = np.asarray(starts, dtype=np.int64)
    rows = rows[np.argsort(rows["last_ns"], kind="stable")]
    place = np.searchsorted(edges, rows["start_ns"], side="right") - 1
    first = np.flatnonzero(np.diff(place, prepend=-1))
    whole = add_up(rows, first)
    whole["start_ns"] = edges[place[first]]
    return whole


def add_up(rows: Rows, first: npt.NDArray[np.intp]) -> Rows:
    """One row for each run of rows that begins at one of the places `first`; each run is in order of its last times."""
    group = np.repeat(np.arange(len(first)), np.diff(first, append=len(rows)))
    whole: Rows = rows[np.append(first[1:], len(rows)) - 1]
    for name in ("n", "total"):
        whole[name] = np.add.reduceat(rows[name], first)
    whole["low"], whole["high"] = np.fmin.reduceat(rows["low"], first), np.fmax.reduceat(rows["high"], first)
    # The rows are in order of their last times; their first times need not be, where rows of two kinds lie together.
    whole["first_ns"] = np.minimum.reduceat(rows["first_ns"], first)
    for known, told in (("low", "low_ns"), ("high", "high_ns"), ("first_ns", "first")):
        hit = np.flatnonzero(rows[known] == whole[known][group])
        places, at = np.unique(group[hit], return_index=True)
        whole[told][places] = rows[told][hit[at]]
    return whole


def to_buckets(rows: Rows) -> list[Bucket]:
    """Combined rows as buckets."""
    return [_bucket(row) for row in rows.tolist()]


def _bucket(row: tuple[Any, ...]) -> Bucket:
    start_ns, kind, n, total, low, high, low_ns, high_ns, first_ns, last_ns, _, last, exact, text = row
    held = last_value(kind, last, exact, text)
    ends = (first_ns, last_ns) if first_ns >= 0 else (None, None)
    if low != low:  # noqa: PLR0124 - it is not a number: there are only texts
        return Bucket(start_ns, None, None, None, held, n, *ends)
    extremes = (low_ns, high_ns) if low_ns >= 0 else (None, None)
    return Bucket(start_ns, low, high, total / n, held, n, *ends, *extremes)


def last_value(kind: int, last: float, exact: int, text: str | None) -> Value:
    """The last value of a row, as what it was."""
    match Kind(kind):
        case Kind.FLOAT:
            return last
        case Kind.WHOLE:
            return exact
        case Kind.TRUTH:
            return bool(exact)
        case Kind.TEXT:
            return text


def to_curve(rows: Rows, columns: Rows, most: int, silences: list[Gap]) -> Curve:
    """The curve of an interval: `rows` as they were found, `columns` what they amount to in each column.

    Texts beside numbers are left out; of texts alone the changes are given, or, where they are more than `most`, the last
    of each column that is another one than before.
    """
    if not len(columns):
        return Curve([], [], silences)
    if np.isnan(columns["low"]).all():
        changes = _changes(rows[np.argsort(rows["last_ns"], kind="stable")])
        return Curve(*(changes if len(changes[0]) <= most else _changes(columns)), silences)
    columns = columns[~np.isnan(columns["low"])]
    ends = columns[[0, -1]]
    times = np.concatenate((columns["low_ns"], columns["high_ns"], ends["first_ns"][:1], ends["last_ns"][1:]))
    values = np.concatenate((columns["low"], columns["high"], ends["first"][:1], ends["last"][1:]))
    sound = ~np.isnan(values)
    times, index = np.unique(times[sound], return_index=True)
    kinds = set(columns["kind"].tolist()) - {Kind.TEXT}
    return Curve(times.tolist(), _typed(values[sound][index], kinds), silences)


def _typed(values: npt.NDArray[np.float64], kinds: set[int]) -> list[Value]:
    if kinds == {Kind.TRUTH}:
        return (values > 0.5).tolist()  # type: ignore[no-any-return]
    if kinds == {Kind.WHOLE}:
        return [int(value) for value in values.tolist()]
    return values.tolist()  # type: ignore[no-any-return]


def _changes(rows: Rows) -> tuple[list[int], list[Value]]:
    texts = rows["text"]
    changed = np.append(True, texts[1:] != texts[:-1]).astype(bool)
    return rows["last_ns"][changed].tolist(), texts[changed].tolist()


def gaps(columns: Rows, start_ns: int, end_ns: int, column_ns: int, usual_ns: float | None) -> list[Gap]:
    """The silences of an interval, by its columns. Without `usual_ns` the median interval of what is there is the usual one."""
    if not len(columns):
        return [Gap(start_ns, end_ns)] if end_ns > start_ns else []
    longest = max(_SILENT * (_median_ns(columns) if usual_ns is None else usual_ns), column_ns)
    until = np.append(columns["first_ns"], end_ns)
    since = np.append(start_ns, columns["last_ns"])
    silent = np.flatnonzero(until - since > longest)
    return [Gap(begin, end) for begin, end in zip(since[silent].tolist(), until[silent].tolist(), strict=True)]


def _median_ns(columns: Rows) -> float:
    """The usual distance of two values; weighed by column, since one burst says little of the rest."""
    many = columns[columns["n"] > 1]
    if len(many):
        return float(np.median((many["last_ns"] - many["first_ns"]) / (many["n"] - 1)))
    return float(np.median(np.diff(columns["first_ns"]))) if len(columns) > 1 else 0.0
