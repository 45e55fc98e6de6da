"""Readings as InfluxDB line protocol, by hand: one line a reading, built by one format string where types are even.

    reading,device=cover-7 water_level_cm=12.5,battery_v=3.6,open=True 1750000000000000000

Fields of a metric `m`: `m` its value, unless that is bad; `m.bad` a value its gateway calls bad; `m.flaw` the quality
and reason of a flawed value; `m.none` the quality and reason where there was no value. So a chart of `m` is never bent
by a bad value, and every (device, metric, time) is exactly one of `m`, `m.bad` and `m.none`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from cloud.series.honest import MAX_TEXT, flaws_by_row, honest
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value
from telemetry.wire import ReadingGroup, ReadingsBatch

__all__ = ["BAD", "FLAW", "MEASUREMENT", "NONE", "Line", "escape_key", "lines", "read_flaw"]

MEASUREMENT: Final = "reading"
BAD, FLAW, NONE = ".bad", ".flaw", ".none"

Line = tuple[int, str]
"""The reading's sequence number and its line."""

_INT64 = 2**63
_KEY = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\n": "\\\\n", "\r": "\\\\r"})
_TEXT = str.maketrans({'"': '\\"', "\\": "\\\\"})


def lines(batch: ReadingsBatch) -> list[Line]:
    """Every reading of a batch whose times are sound."""
    return [line for group in batch.groups if group.rows for line in _group_lines(batch.first_seq, group)]


def escape_key(name: str) -> str:
    """A tag value, tag key or field key as the protocol wants it."""
    return name.translate(_KEY)


def read_flaw(text: str) -> Flaw:
    """A flaw back from its field."""
    quality, _, reason = text.partition(":")
    return Flaw(Quality[quality.upper()], Reason(reason))


def _group_lines(first_seq: int, group: ReadingGroup) -> Iterator[Line]:
    rows = group.rows
    flaws = flaws_by_row(group) if group.flaws else {}
    heads = [f"{MEASUREMENT},device={escape_key(device)} " for device in group.devices]
    keys = [escape_key(metric) for metric in group.metrics]
    columns = [_column(values) for values in zip(*[row[4] for row in rows], strict=True)]
    seqs = [first_seq + row[0] for row in rows]
    if None in columns or not columns:
        slow: Sequence[int] = range(len(rows))
    else:
        even = [column for column in columns if column is not None]
        # A literal per cent sign in a field key would be taken for a format.
        fields = ",".join(f"{key.replace('%', '%%')}={form}" for key, (form, _) in zip(keys, even, strict=True))
        parts = zip([heads[row[1]] for row in rows], *[values for _, values in even], [row[2] for row in rows], strict=True)
        fast = zip(seqs, map(f"%s{fields} %d".__mod__, parts), strict=True)
        if not flaws:
            yield from fast
            return
        yield from (line for index, line in enumerate(fast) if index not in flaws)
        slow = sorted(flaws)
    for index in slow:
        row = rows[index]
        yield seqs[index], heads[row[1]] + _fields(keys, row[4], flaws.get(index, {})) + f" {row[2]}"


def _column(values: Sequence[Value]) -> tuple[str, Sequence[Any]] | None:
    """The format of values that are all of one kind and all can be kept; None otherwise."""
    kinds = set(map(type, values))
    form = _FORMS.get(kinds.pop()) if len(kinds) == 1 else None
    return None if form is None else form(values)


def _floats(values: Sequence[Any]) -> tuple[str, Sequence[Any]] | None:
    # A sum is finite where all are, but for sums beyond 1e308, which the slow way then takes.
    return ("%r", values) if isfinite(sum(values)) else None


def _wholes(values: Sequence[Any]) -> tuple[str, Sequence[Any]] | None:
    return ("%di", values) if min(values) >= -_INT64 and max(values) < _INT64 else None


def _texts(values: Sequence[Any]) -> tuple[str, Sequence[Any]] | None:
    return ("%s", [_text(value) for value in values]) if max(map(len, values)) <= MAX_TEXT else None


_FORMS: Final[Mapping[type, Callable[[Sequence[Any]], tuple[str, Sequence[Any]] | None]]] = {
    float: _floats,
    int: _wholes,
    bool: lambda values: ("%r", values),
    str: _texts,
}


def _fields(keys: Sequence[str], values: Sequence[Value], flaws: Mapping[int, Flaw]) -> str:
    return ",".join(part for index, key in enumerate(keys) for part in _field(key, *honest(values[index], flaws.get(index))))


def _field(key: str, value: Value, flaw: Flaw | None) -> Iterator[str]:
    if value is None:
        yield f"{key}{NONE}={_flaw(flaw)}"
        return
    yield f"{key}{BAD if flaw and flaw.quality is Quality.BAD else ''}={_literal(value)}"
    if flaw is not None:
        yield f"{key}{FLAW}={_flaw(flaw)}"


def _flaw(flaw: Flaw | None) -> str:
    return f'"{flaw.quality.name.lower()}:{flaw.reason}"' if flaw else '"bad:no_value"'


def _literal(value: bool | int | float | str) -> str:  # noqa: FBT001 - a value, not a switch
    if isinstance(value, str):
        return _text(value)
    return f"{value}i" if type(value) is int else repr(value)


def _text(value: str) -> str:
    return f'"{value.translate(_TEXT)}"'
