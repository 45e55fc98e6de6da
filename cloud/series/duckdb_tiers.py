"""The tiers of the embedded store: tables of minutes and hours beside the raw values, made by one statement for all devices.

Minutes are made from raw values, hours from minutes, each once it has closed. A value that comes later than that leaves a
mark, (device, hour), in the table `touched`, in the transaction that keeps the value itself: whatever happens, it is known
what must be made anew. How far the tiers are stands in `progress`, changed in the transaction that makes the rows.
"""

# ruff: noqa: S608 - every name that is put into a statement is one of this module's; values are bound or numbers

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from cloud.series.rollups import Kind
from cloud.series.store import Rolled, Tier
from cloud.series.tiers import DELAY_NS, HOUR_NS, MINUTE_NS, State

__all__ = ["MERGED_TEXT", "RAW_TABLES", "TIER_TABLES", "DuckTiers", "Mark", "merged"]

RAW_TABLES: Final = {Kind.FLOAT: "floats", Kind.WHOLE: "wholes", Kind.TRUTH: "truths", Kind.TEXT: "texts"}
TIER_TABLES: Final = {Tier.MINUTE: "minutes", Tier.HOUR: "hours"}

_COLUMNS: Final = (
    "device INTEGER, metric INTEGER, kind TINYINT, start_ns BIGINT, n BIGINT, total DOUBLE, low DOUBLE, high DOUBLE, "
    "low_ns BIGINT, high_ns BIGINT, first_ns BIGINT, last_ns BIGINT, first DOUBLE, last DOUBLE, exact BIGINT, text VARCHAR"
)
_NUMBERS: Final = (
    "sum(value)::DOUBLE, min(value)::DOUBLE, max(value)::DOUBLE, arg_min(time_ns, value), arg_max(time_ns, value), "
    "min(time_ns), max(time_ns), arg_min(value, time_ns)::DOUBLE, arg_max(value, time_ns)::DOUBLE"
)
_TEXTS: Final = "0, NULL, NULL, min(time_ns), max(time_ns), min(time_ns), max(time_ns), NULL, NULL"
_LAST: Final = {Kind.FLOAT: "NULL, NULL", Kind.TEXT: "NULL, arg_max(value, time_ns)"}
_MERGED: Final = (
    "sum(n)::BIGINT AS n, sum(total) AS total, min(low) AS low, max(high) AS high, arg_min(low_ns, low) AS low_ns, "
    "arg_max(high_ns, high) AS high_ns, min(first_ns) AS first_ns, max(last_ns) AS last_ns, "
    "arg_min(first, first_ns) AS first, arg_max(last, last_ns) AS last, arg_max(exact, last_ns) AS exact"
)
MERGED_TEXT: Final = "arg_max(text, last_ns) AS text"
"""What `merged` leaves out: the last text of rows that have one."""
_SAME: Final = " AND ".join(f"old.{name} = fresh.{name}" for name in ("device", "metric", "kind", "start_ns"))

_EVERYONE: Final = 0  # in a mark: all devices; their numbers begin at 1
_MOST_MARKS: Final = 200_000  # in memory: some 30 MB
_MARKS_AT_ONCE: Final = 2_000
_AT_FIRST_NS: Final = 10 * MINUTE_NS
_LONGEST_NS: Final = 24 * HOUR_NS
_LONG_S: Final = 0.5  # a portion that takes longer is halved the next time
_FORGET_NS: Final = {Tier.RAW: 6 * HOUR_NS, Tier.MINUTE: 24 * HOUR_NS, Tier.HOUR: 30 * 24 * HOUR_NS}

Mark = tuple[int, int]
"""A device's number and where an hour begins."""


def make_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """The tables of the tiers, where there are none."""
    for table in TIER_TABLES.values():
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({_COLUMNS})")
    connection.execute("CREATE TABLE IF NOT EXISTS touched (device INTEGER, hour_ns BIGINT)")
    connection.execute("CREATE TABLE IF NOT EXISTS progress (name VARCHAR, at_ns BIGINT)")


class DuckTiers:
    """Makes and forgets, in a thread of its own; `late` and `gate` belong to the writing thread, the rest to any."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        make_tables(connection)
        self._connection = connection.cursor()
        self.gate = threading.Lock()
        """Held by whoever commits values: what is committed before it is free again is in the next portion."""
        self.state = State(**dict(self._connection.execute("SELECT name, at_ns FROM progress").fetchall()))
        self._waiting: set[Mark] = set(self._connection.execute("SELECT DISTINCT device, hour_ns FROM touched").fetchall())
        self._in_work: set[Mark] = set()
        self._closing_ns = self.state.minutes_ns
        self._span_ns = _AT_FIRST_NS
        self._coarse = 0
        self._frames: Sequence[int] = ()

    def close(self) -> None:
        self._connection.close()

    # --- late values: called while the gate is held

    def late(self, columns: Iterable[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]]) -> list[Mark]:
        """The marks that values of these (devices, times) leave, and that are not there yet; they count when `keep` has
        been told of them."""
        marks: set[Mark] = set()
        values = 0
        for devices, times_ns in columns:
            old = times_ns < self._closing_ns
            if old.any():
                pairs = np.unique(np.stack((devices[old].astype(np.int64), times_ns[old] // HOUR_NS)), axis=1)
                marks.update((device, hour * HOUR_NS) for device, hour in pairs.T.tolist())
                values += int(old.sum())
        marks -= self._waiting
        if marks and len(self._waiting) + len(marks) > _MOST_MARKS:
            self._coarse += values
            marks = {(_EVERYONE, hour_ns) for _, hour_ns in marks} - self._waiting
        return sorted(marks)

    def keep(self, marks: Iterable[Mark]) -> None:
        """The marks are committed."""
        self._waiting.update(marks)

    def stale_hours(self, device: int) -> list[int]:
        """Where the hours begin in which the tiers of a device do not yet have what came late."""
        marks = list(self._waiting | self._in_work) if self._waiting or self._in_work else []
        return sorted({hour_ns for whose, hour_ns in marks if whose in {device, _EVERYONE}})

    # --- making

    def roll(self, now_ns: int, bad: Sequence[int], frames: Sequence[int] = ()) -> Rolled:
        """One portion. `bad` are the numbers of the flaws whose values never count, `frames` those of the metrics that are
        frames as devices sent them, and amount to nothing."""
        self._frames = frames
        closed_ns = (now_ns - DELAY_NS) // MINUTE_NS * MINUTE_NS
        if self.state.minutes_ns < closed_ns:
            self._roll_closed(closed_ns, bad)
        elif self._waiting:
            self._roll_late(bad)
        behind = self.state.minutes_ns < closed_ns
        return Rolled(
            until_ns=self.state.minutes_ns, waiting=len(self._waiting), coarse=self._coarse, more=behind or bool(self._waiting)
        )

    def _roll_closed(self, closed_ns: int, bad: Sequence[int]) -> None:
        with self.gate:
            self._closing_ns = closed_ns
        began = time.perf_counter()
        since = self.state.minutes_ns
        if closed_ns - since > _AT_FIRST_NS:
            since = max(since, min(self._oldest(RAW_TABLES.values(), "time_ns", since), closed_ns) // MINUTE_NS * MINUTE_NS)
        until = min(closed_ns, since + self._span_ns)
        hours = until - until % HOUR_NS
        self._connection.begin()
        try:
            self._make("minutes", _interval(since, until), bad)
            if hours > self.state.hours_ns:
                self._make_hours("hours", f"WHERE start_ns >= {self.state.hours_ns} AND start_ns < {hours}")
            state = State(
                minutes_ns=until,
                hours_ns=max(hours, self.state.hours_ns),
                raw_from_ns=self.state.raw_from_ns,
                minute_from_ns=self.state.minute_from_ns,
            )
            self._commit(state)
        except BaseException:
            self._connection.rollback()
            raise
        quick = time.perf_counter() - began < _LONG_S
        self._span_ns = min(self._span_ns * 2, _LONGEST_NS) if quick else max(self._span_ns // 2 // MINUTE_NS, 1) * MINUTE_NS

    def _roll_late(self, bad: Sequence[int]) -> None:
        with self.gate:
            marks = _portion(self._waiting)
            self._in_work = set(marks)
            self._waiting -= self._in_work  # a value that comes from now on leaves its mark again
        try:
            self._connection.begin()
            try:
                self._make_anew(marks, bad)
                self._commit(self.state)
            except BaseException:
                self._connection.rollback()
                raise
        except BaseException:
            with self.gate:
                self._waiting |= self._in_work
            raise
        finally:
            self._in_work = set()

    def _make_anew(self, marks: Sequence[Mark], bad: Sequence[int]) -> None:
        first, last = marks[0][1], marks[-1][1] + HOUR_NS
        whose, whens = zip(*marks, strict=True)
        self._connection.register("marks", {"whose": np.array(whose, np.int32), "hour_ns": np.array(whens, np.int64)})
        try:
            # Two marks may name one device: the wide one for everybody, and its own.
            marked = (
                "AND EXISTS (SELECT 1 FROM marks WHERE marks.hour_ns = {0} - {0} % 3600000000000 AND marks.whose IN (device, 0))"
                if _EVERYONE in whose
                else "AND (device, {0} - {0} % 3600000000000) IN (SELECT whose, hour_ns FROM marks)"
            )
            made_ns, lost_ns = self.state.minutes_ns, max(self.state.raw_from_ns, self.state.minute_from_ns)
            self._fresh()
            self._make("fresh", f"{_interval(first, min(last, made_ns))} {marked.format('time_ns')}", bad)
            self._replace("minutes", first, last, self.state.raw_from_ns)
            self._fresh()
            end = min(last, self.state.hours_ns)
            self._make_hours("fresh", f"WHERE start_ns >= {first} AND start_ns < {end} {marked.format('start_ns')}")
            self._replace("hours", first, last, lost_ns)
            self._connection.execute("DELETE FROM touched WHERE (device, hour_ns) IN (SELECT whose, hour_ns FROM marks)")
        finally:
            self._connection.unregister("marks")

    def _fresh(self) -> None:
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE fresh ({_COLUMNS})")

    def _make(self, table: str, which: str, bad: Sequence[int]) -> None:
        """Minutes from raw values, each time of a metric once."""
        flaws, frames = (", ".join(map(str, [-1, *numbers])) for numbers in (bad, self._frames))
        for kind, raw in RAW_TABLES.items():
            amounts = _TEXTS if kind is Kind.TEXT else _NUMBERS
            last = _LAST.get(kind, "arg_max(value, time_ns), NULL")
            self._connection.execute(
                f"INSERT INTO {table} SELECT device, metric, {kind.value}, time_ns - time_ns % {MINUTE_NS} AS start_ns, "
                f"count(*), {amounts}, {last} FROM (SELECT device, metric, time_ns, any_value(value) AS value FROM {raw} {which} "
                f"AND flaw NOT IN ({flaws}) AND metric NOT IN ({frames}) AND value IS NOT NULL GROUP BY device, metric, time_ns) "
                "GROUP BY device, metric, start_ns ORDER BY device, metric, start_ns"
            )

    def _make_hours(self, table: str, which: str) -> None:
        self._connection.execute(
            f"INSERT INTO {table} SELECT device, metric, kind, start_ns - start_ns % {HOUR_NS} AS hour_ns, "
            f"{_MERGED}, {MERGED_TEXT} FROM minutes {which} "
            "GROUP BY device, metric, kind, hour_ns ORDER BY device, metric, hour_ns"
        )

    def _replace(self, table: str, first: int, last: int, lost_ns: int) -> None:
        """Put what is fresh in place of what was there. Where the values that made the old row may have been forgotten, it
        stays unless the new one was made of at least as many."""
        self._connection.execute(
            f"DELETE FROM fresh USING {table} AS old WHERE {_SAME} AND old.n > fresh.n AND fresh.start_ns < {lost_ns}"
        )
        self._connection.execute(
            f"DELETE FROM {table} AS old USING fresh WHERE {_SAME} AND old.start_ns >= {first} AND old.start_ns < {last}"
        )
        self._connection.execute(f"INSERT INTO {table} SELECT * FROM fresh ORDER BY device, metric, start_ns")

    # --- forgetting

    def prune(self, tier: Tier, before_ns: int) -> bool:
        """One portion, never what is not yet in the next tier; whether there is more."""
        tables, column = (RAW_TABLES.values(), "time_ns") if tier is Tier.RAW else ([TIER_TABLES[tier]], "start_ns")
        made_ns = {Tier.RAW: self.state.minutes_ns, Tier.MINUTE: self.state.hours_ns, Tier.HOUR: before_ns}[tier]
        with self.gate:
            touched_ns = min((hour_ns for _, hour_ns in self._waiting | self._in_work), default=before_ns)
        limit_ns = min(before_ns, made_ns, before_ns if tier is Tier.HOUR else touched_ns)
        limit_ns -= limit_ns % (MINUTE_NS if tier is Tier.RAW else HOUR_NS)
        oldest_ns = self._oldest(tables, column, 0)
        if oldest_ns >= limit_ns:
            return False
        until_ns = min(limit_ns, oldest_ns - oldest_ns % HOUR_NS + _FORGET_NS[tier])
        self._connection.begin()
        try:
            for table in tables:
                self._connection.execute(f"DELETE FROM {table} WHERE {column} < {until_ns}")
            self._commit(_forgotten(self.state, tier, until_ns))
        except BaseException:
            self._connection.rollback()
            raise
        return until_ns < limit_ns

    def _oldest(self, tables: Iterable[str], column: str, since_ns: int) -> int:
        found = [
            self._connection.execute(f"SELECT min({column}) FROM {table} WHERE {column} >= {since_ns}").fetchone()
            for table in tables
        ]
        return min((row[0] for row in found if row and row[0] is not None), default=2**62)

    def _commit(self, state: State) -> None:
        self._connection.execute("DELETE FROM progress")
        every = ", ".join(f"('{name}', {getattr(state, name)})" for name in State.__struct_fields__)
        self._connection.execute(f"INSERT INTO progress VALUES {every}")
        self._connection.commit()
        self.state = state


def merged(grid_ns: int, origin_ns: int) -> tuple[str, str]:
    """What to select of a tier, but for texts, and how to group it, so that there is a row for each interval of an even grid."""
    return _MERGED, f"GROUP BY metric, kind, (start_ns - {origin_ns}) // {grid_ns}"


def _interval(since_ns: int, until_ns: int) -> str:
    return f"WHERE time_ns >= {since_ns} AND time_ns < {until_ns}"


def _portion(marks: set[Mark]) -> list[Mark]:
    """The oldest marks that lie within a day, in order of time: raw values are found by time."""
    ordered = sorted(marks, key=lambda mark: (mark[1], mark[0]))
    return [mark for mark in ordered[:_MARKS_AT_ONCE] if mark[1] < ordered[0][1] + _LONGEST_NS]


def _forgotten(state: State, tier: Tier, until_ns: int) -> State:
    raw_ns = max(state.raw_from_ns, until_ns if tier is Tier.RAW else 0)
    minute_ns = max(state.minute_from_ns, until_ns if tier is Tier.MINUTE else 0)
    return State(minutes_ns=state.minutes_ns, hours_ns=state.hours_ns, raw_from_ns=raw_ns, minute_from_ns=minute_ns)
