"""The tiers as an InfluxDB server holds them: measurements of their own, and the statements that read rows back.

    reading_1m,device=cover-7,metric=tilt_deg kind=0i,n=6i,total=9.25,low=..,low_ns=..i,high=..,... 1750000020000000000

One line is one minute (`reading_1h`: hour) of one metric; a text has no total and no extremes. An hour has all of it once more
in one field, `packed` (see `influx_packed`), which answers are made from where there is one. Only what 1.x, 2.x and 3.x
share is asked: explicit time bounds, no regular expression, no subquery. That a selector with GROUP BY time brings the
fields beside its value along, `min("low"), "low_ns"`, is documented for all three and was tried on 1.x only.
"""

# ruff: noqa: S608 - every name and text that is put into a statement went through `quote` or `text`

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from cloud.series.answering import Asked, Grid
from cloud.series.influx_http import InfluxClient, Series, quote
from cloud.series.influx_lines import MEASUREMENT, escape_key
from cloud.series.influx_packed import PACKED, pack, unpack
from cloud.series.rollups import ROW, Kind, Rows, rows_of
from cloud.series.store import Tier
from cloud.series.tiers import Part
from telemetry.clock import SECOND_NS

__all__ = ["TIERS", "ask_rows", "interval", "read_points", "text", "tier_lines", "tier_rows", "tier_statements"]

TIERS: Final = {Tier.MINUTE: f"{MEASUREMENT}_1m", Tier.HOUR: f"{MEASUREMENT}_1h"}

_TEXT: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})
_FIELDS: Final = tuple(name for name in ROW.names or () if name != "start_ns")
_EDGES: Final = (
    'sum("n") AS "n", sum("total") AS "total", min("first_ns") AS "first_ns", max("last_ns") AS "last_ns", first("first") AS '
    '"first", last("last") AS "last", last("kind") AS "kind", last("exact") AS "exact", last("text") AS "text"'
)
_LOW: Final = 'min("low") AS "low", "low_ns"'
_HIGH: Final = 'max("high") AS "high", "high_ns"'
_AMOUNTS: Final = ("min", "max", "sum", "count", "last")
_NUMBERS: Final = {frozenset({"float"}): Kind.FLOAT, frozenset({"integer"}): Kind.WHOLE}
_KINDS: Final[Mapping[type, Kind]] = {float: Kind.FLOAT, int: Kind.WHOLE, bool: Kind.TRUTH, str: Kind.TEXT}
_LAST_NS: Final = 2**63 - 2  # the server's own latest time
_TEXTS: Final = frozenset({"string"})

Read = Iterator[tuple[str, Rows]]
"""(metric, rows), any number for each metric."""

Reader = tuple[list[str], Callable[[list[list[Series]]], Read]]
"""Statements, and what makes rows of their answers."""


class _Unreadable(Exception):  # noqa: N818 - says what is so, and is caught below
    """A packed row is not as this version makes them."""


def text(value: str) -> str:
    """An InfluxQL string literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def interval(start_ns: int, end_ns: int) -> str:
    """The time bounds of a statement."""
    return f"time >= {max(start_ns, 0)} AND time < {min(end_ns, _LAST_NS)}"


def tier_lines(tier: Tier, names: Sequence[tuple[str, str]], rows: Rows) -> list[str]:
    """The lines of rows, given the device and metric of each."""
    heads = [f"{TIERS[tier]},device={escape_key(device)},metric={escape_key(metric)} " for device, metric in names]
    if tier is Tier.HOUR:
        heads = [f'{head}{PACKED}="{packed}",' for head, packed in zip(heads, pack(rows), strict=True)]
    return [head + _line(row) for head, row in zip(heads, rows.tolist(), strict=True)]


def _line(row: tuple[Any, ...]) -> str:
    start_ns, kind, n, total, low, high, low_ns, high_ns, first_ns, last_ns, first, last, exact, held = row
    line = f"kind={kind}i,n={n}i,first_ns={first_ns}i,last_ns={last_ns}i"
    if low == low:  # noqa: PLR0124 - a number
        line += f",total={total!r},low={low!r},high={high!r},low_ns={low_ns}i,high_ns={high_ns}i"
        line += f",first={first!r}" if first == first else ""  # noqa: PLR0124
        line += f",last={last!r}" if last == last else ""  # noqa: PLR0124
    if kind == Kind.TEXT:
        line += f',text="{held.translate(_TEXT)}"'
    elif kind != Kind.FLOAT:
        line += f",exact={exact}i"
    return f"{line} {start_ns}"


async def ask_rows(
    client: InfluxClient, asked: Asked, fields: Mapping[str, frozenset[str]], packed_from_ns: int
) -> dict[str, Rows]:
    """metric -> what is asked, in one question. `fields` are the types of the raw fields that the server knows; from
    `packed_from_ns` on every hour is packed."""
    try:
        return await _ask(client, _readers(asked, fields, packed_from_ns))
    except _Unreadable:
        return await _ask(client, _readers(asked, fields, _LAST_NS))


async def _ask(client: InfluxClient, readers: Sequence[Reader]) -> dict[str, Rows]:
    statements = [statement for some, _ in readers for statement in some]
    answers = iter(await client.query(statements) if statements else [])
    found: dict[str, list[Rows]] = defaultdict(list)
    for some, read in readers:
        for metric, rows in read(list(itertools.islice(answers, len(some)))):
            found[metric].append(rows)
    return {metric: np.concatenate(pieces) for metric, pieces in found.items()}


def _readers(asked: Asked, fields: Mapping[str, frozenset[str]], packed_from_ns: int) -> list[Reader]:
    found: list[Reader] = []
    for part in asked.parts:
        if part.tier is not Tier.RAW:
            found += _tier_readers(asked, part, fields, packed_from_ns)
            continue
        for metric in asked.metrics:
            kinds = fields.get(metric, frozenset())
            where = f'WHERE "device" = {text(asked.device)} AND {interval(part.start_ns, part.end_ns)}'
            if asked.amounts and asked.grid is not None and kinds in _NUMBERS:
                found.append(_amounts(metric, _NUMBERS[kinds], where, part, asked.grid))
            elif kinds:
                found.append(([f"SELECT {quote(metric)} FROM {quote(MEASUREMENT)} {where}"], _points(metric, kinds)))
    return found


def _points(metric: str, kinds: frozenset[str]) -> Callable[[list[list[Series]]], Read]:
    def read(answers: list[list[Series]]) -> Read:
        for series in answers[0]:
            for kind, times, values in read_points(series, kinds):
                yield metric, rows_of(np.array(times, dtype=np.int64), values, kind)

    return read


def read_points(series: Series, kinds: frozenset[str]) -> Iterator[tuple[Kind, list[int], list[Any]]]:
    """(kind, times, values) of an answer of one field. JSON writes 20.0 as 20, so the field's type says what is whole."""
    times, values = ([row[at] for row in series.values] for at in (0, 1))
    if not times:
        return
    if kinds in _NUMBERS:
        yield _NUMBERS[kinds], times, values
        return
    for kind in {type(value) for value in values}:
        which = [index for index, value in enumerate(values) if type(value) is kind]
        yield _KINDS[kind], [times[index] for index in which], [values[index] for index in which]


def _amounts(metric: str, kind: Kind, where: str, part: Part, grid: Grid) -> Reader:
    """Raw numbers, made into buckets by the server, which does not tell when in a bucket they were."""
    wanted = ", ".join(f"{function}({quote(metric)})" for function in _AMOUNTS)

    def read(answers: list[list[Series]]) -> Read:
        for series in answers[0]:
            held = [row for row in series.values if row[4]]
            if not held:
                continue
            rows = np.zeros(len(held), dtype=ROW)
            starts, low, high, total, count, last = zip(*held, strict=True)
            rows["start_ns"] = np.maximum(starts, part.start_ns)  # so that it is later than what other parts tell
            rows["last_ns"] = rows["start_ns"]
            rows["kind"], rows["n"], rows["text"] = kind, count, None
            rows["low"], rows["high"], rows["total"], rows["last"], rows["first"] = low, high, total, last, np.nan
            rows["exact"] = last if kind is Kind.WHOLE else 0
            for name in ("low_ns", "high_ns", "first_ns"):
                rows[name] = -1
            yield metric, rows

    return [f"SELECT {wanted} FROM {quote(MEASUREMENT)} {where} {_grouped(grid)} fill(none)"], read


def _grouped(grid: Grid) -> str:
    width_ns, origin_ns = grid
    return f"GROUP BY time({width_ns // SECOND_NS}s, {origin_ns % width_ns // SECOND_NS}s)"


def _tier_readers(asked: Asked, part: Part, fields: Mapping[str, frozenset[str]], packed_from_ns: int) -> list[Reader]:
    """Hours that are packed by that one field, all else by as many as an answer needs."""
    since_ns = max(part.start_ns, packed_from_ns) if part.tier is Tier.HOUR else part.end_ns
    numbers = [metric for metric in asked.metrics if not _TEXTS & fields.get(metric, _TEXTS)]
    if since_ns >= part.end_ns or not numbers:
        return [_plain_reader(asked, asked.metrics, part, fields)]
    where = _where(asked.device, numbers, since_ns, part.end_ns)
    found: list[Reader] = [([f'SELECT {quote(PACKED)} FROM {quote(TIERS[Tier.HOUR])} {where} GROUP BY "metric"'], _unpacked)]
    if part.start_ns < since_ns:
        found.append(_plain_reader(asked, numbers, Part(part.tier, part.start_ns, since_ns), fields))
    if rest := [metric for metric in asked.metrics if metric not in numbers]:
        found.append(_plain_reader(asked, rest, part, fields))
    return found


def _unpacked(answers: list[list[Series]]) -> Read:
    for series in answers[0]:
        rows = unpack(row[1] for row in series.values)
        if rows is None:
            raise _Unreadable
        yield series.tags["metric"], rows


def _plain_reader(asked: Asked, metrics: Sequence[str], part: Part, fields: Mapping[str, frozenset[str]]) -> Reader:
    where = _where(asked.device, metrics, part.start_ns, part.end_ns)
    grid = None if asked.grid is None or asked.grid[0] == part.tier.width_ns else asked.grid
    texts = any(_TEXTS & fields.get(metric, _TEXTS) for metric in metrics)
    # Each field costs the server as much as the times do.
    drawn = [name for name in _FIELDS if name not in {"total", "exact"} and (texts or name != "text")]
    wanted = _FIELDS if asked.grid is None or asked.amounts else drawn
    return tier_statements(part.tier, where, grid, '"metric"', wanted), _by_metric


def _where(device: str, metrics: Sequence[str], start_ns: int, end_ns: int) -> str:
    wanted = " OR ".join(f'"metric" = {text(metric)}' for metric in metrics)
    return f'WHERE "device" = {text(device)} AND ({wanted}) AND {interval(start_ns, end_ns)}'


def tier_statements(tier: Tier, where: str, grid: Grid | None, tags: str, fields: Sequence[str] = _FIELDS) -> list[str]:
    """What to ask for the rows of a tier, for each combination of `tags`; merged to a grid where there is one."""
    table = quote(TIERS[tier])
    if grid is None:
        return [f"SELECT {', '.join(map(quote, fields))} FROM {table} {where} GROUP BY {tags}"]
    return [f"SELECT {what} FROM {table} {where} {_grouped(grid)}, {tags} fill(none)" for what in (_EDGES, _LOW, _HIGH)]


def _by_metric(answers: list[list[Series]]) -> Read:
    return ((tags["metric"], rows) for tags, rows in tier_rows(answers))


def tier_rows(answers: list[list[Series]]) -> Iterator[tuple[dict[str, str], Rows]]:
    """(tags, rows) of the answers to `tier_statements`; the second and third bring the extremes, and none of texts."""
    extremes = [{frozenset(series.tags.items()): series for series in answer} for answer in answers[1:]]
    for series in answers[0]:
        if not series.values:
            continue
        rows = np.zeros(len(series.values), dtype=ROW)
        for name in ("low", "high", "first", "last"):
            rows[name] = np.nan
        rows["start_ns"] = [row[0] for row in series.values]
        _fill(rows, series, slice(None))
        for found in extremes:
            beside = found.get(frozenset(series.tags.items()))
            if beside is not None:
                _fill(rows, beside, np.searchsorted(rows["start_ns"], [row[0] for row in beside.values]))
        rows["text"][rows["kind"] != Kind.TEXT] = None
        yield series.tags, rows


def _fill(rows: Rows, series: Series, places: Any) -> None:
    """Put the columns of an answer, but for its times, into the rows at `places`."""
    for name, values in zip(series.columns[1:], list(zip(*series.values, strict=True))[1:], strict=True):
        none = {"i": 0, "f": np.nan, "O": None}[ROW[name].kind]
        rows[name][places] = [none if value is None else value for value in values]
