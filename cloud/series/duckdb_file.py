"""The blocking half of the embedded store: tables, statements and rows of one DuckDB file."""

# ruff: noqa: S608 - every name that is put into a statement is one of the tables below; values are bound

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt

from cloud.series.columns import GOOD, Columns
from cloud.series.duckdb_rows import DuckRows
from cloud.series.duckdb_tiers import DuckTiers, Mark
from cloud.series.honest import sound
from cloud.series.rollups import Rows
from cloud.series.store import Point, Rolled, RowRefused
from cloud.series.tiers import Part
from telemetry.raw_frames import is_raw_frame
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value
from telemetry.wire import ReadingsBatch

__all__ = ["DuckFile"]

_TABLES: Final[Mapping[str, str]] = {"floats": "DOUBLE", "wholes": "BIGINT", "truths": "BIGINT", "texts": "VARCHAR"}
_COLUMNS: Final = ("device", "metric", "time_ns", "value", "flaw")
_WHERE: Final = "device = ? AND metric = ? AND time_ns >= ? AND time_ns < ?"
_CHECKPOINT: Final = "64MB"  # of log: DuckDB's own 16 MB means two checkpoints a second at full speed
_ALL: Final = 2**62


class _Names:
    """The numbers of devices, metrics and flaws, kept in the table `names` beside the values that use them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        rows = connection.execute("SELECT space, name, no FROM names").fetchall()
        self._known: dict[tuple[str, str], int] = {(space, name): no for space, name, no in rows}
        self._words: dict[tuple[str, int], str] = {(space, no): name for space, name, no in rows}
        self._unsaved: list[tuple[str, str, int]] = []

    def device(self, name: str) -> int:
        return self._known.get(("device", name)) or self._give("device", name)

    def metric(self, name: str) -> int:
        return self._known.get(("metric", name)) or self._give("metric", name)

    def flaw(self, flaw: Flaw) -> int:
        word = f"{int(flaw.quality)} {flaw.reason}"
        return self._known.get(("flaw", word)) or self._give("flaw", word)

    def find(self, space: str, name: str) -> int | None:
        return self._known.get((space, name))

    def flaw_of(self, no: int) -> tuple[Quality, Reason]:
        quality, reason = self._words["flaw", no].split(" ")
        return Quality(int(quality)), Reason(reason)

    def bad_flaws(self) -> list[int]:
        return [no for (space, no) in list(self._words) if space == "flaw" and self.flaw_of(no)[0] is Quality.BAD]

    def unset_flaws(self) -> list[int]:
        return [no for (space, no) in list(self._words) if space == "flaw" and self.flaw_of(no)[1] is Reason.CLOCK_UNSYNCED]

    def frames(self) -> list[int]:
        return [no for (space, name), no in list(self._known.items()) if space == "metric" and is_raw_frame(name)]

    def word(self, space: str, no: int) -> str:
        return self._words[space, no]

    def save(self) -> None:
        if self._unsaved:
            spaces, names, numbers = zip(*self._unsaved, strict=True)
            columns = {"space": _text(spaces), "name": _text(names), "no": np.array(numbers, dtype=np.int32)}
            insert(self._connection, "names", columns)

    def saved(self) -> None:
        self._unsaved.clear()

    def _give(self, space: str, name: str) -> int:
        no = len(self._known) + 1
        self._known[space, name] = no
        self._words[space, no] = name
        self._unsaved.append((space, name, no))
        return no


class DuckFile:
    """The blocking half: made and written in the writing thread, asked in the reading one."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path))
        # Half of the machine is for everybody else; and a small question costs half of what it does when shared out.
        self._connection.execute(f"SET threads = {max(1, (os.cpu_count() or 2) // 2)}")
        for table, kind in _TABLES.items():
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table} "
                f"(device INTEGER, metric INTEGER, time_ns BIGINT, value {kind}, flaw SMALLINT)"
            )
        self._connection.execute("CREATE TABLE IF NOT EXISTS names (space VARCHAR, name VARCHAR, no INTEGER)")
        self._connection.execute(f"SET wal_autocheckpoint = '{_CHECKPOINT}'")
        self._names = _Names(self._connection)
        self._questions = self._connection.cursor()
        self.tiers = DuckTiers(self._connection)
        self._rows = DuckRows(self._questions)

    def write(self, jobs: Sequence[Sequence[ReadingsBatch]]) -> list[list[RowRefused]]:
        """Commit the batches of all jobs together, or none of them; what each job was refused."""
        columns = Columns(self._names)
        refused = [_stage(columns, batches) for batches in jobs]
        tables = {table: arrays for table in _TABLES if (arrays := getattr(columns, table).arrays())}
        with self.tiers.gate:
            marks = self.tiers.late([(arrays[0], arrays[2]) for arrays in tables.values()])
            self._connection.begin()
            try:
                self._names.save()
                for table, arrays in tables.items():
                    insert(self._connection, table, dict(zip(_COLUMNS, arrays, strict=True)))
                self._save_marks(marks)
                self._connection.commit()
            except duckdb.Error:
                self._connection.rollback()
                raise
            self.tiers.keep(marks)
        self._names.saved()
        return refused

    def points(
        self, device: str, metric: str, start_ns: int, end_ns: int, limit: int, *, newest_first: bool = False
    ) -> list[Point]:
        """The first `limit` points of the interval, or its last ones from the latest back, each time once."""
        key = self._key(device, metric)
        if key is None:
            return []
        union = " UNION ALL ".join(_select(table) for table in _TABLES)
        rows = self._questions.execute(
            f"SELECT DISTINCT ON (time_ns) * FROM ({union}) ORDER BY time_ns {'DESC' if newest_first else 'ASC'} LIMIT ?",
            [*((*key, start_ns, end_ns) * len(_TABLES)), limit],
        ).fetchall()
        return [self._point(time_ns, table, value, flaw) for time_ns, table, *value, flaw in rows]

    def rows(self, device: str, metrics: Sequence[str], parts: Sequence[Part], grid: tuple[int, int] | None) -> dict[str, Rows]:
        """metric -> what the parts of an interval hold, bad values left out; of tiers at most one row for each interval of
        `grid`, (width, origin) in ns."""
        whose = self._names.find("device", device)
        known = {number: metric for metric in metrics if (number := self._names.find("metric", metric)) is not None}
        if whose is None or not known:
            return {}
        found = self._rows.read(whose, list(known), parts, grid, self._names.bad_flaws())
        return {known[number]: rows for number, rows in found.items()}

    def stale_hours(self, device: str) -> list[int]:
        """Where the hours begin whose tiers do not yet have what came late of a device."""
        whose = self._names.find("device", device)
        return [] if whose is None else self.tiers.stale_hours(whose)

    def roll(self, now_ns: int) -> Rolled:
        return self.tiers.roll(now_ns, self._names.bad_flaws(), self._names.frames())

    def latest(self, horizon_ns: int) -> list[tuple[str, str, Point]]:
        """(device, metric, newest point up to `horizon_ns` whose clock was set), table by table."""
        found: list[tuple[str, str, Point]] = []
        unset = ", ".join(map(str, [-1, *self._names.unset_flaws()]))
        for table in _TABLES:
            rows = self._questions.execute(
                "SELECT device, metric, max(time_ns), arg_max({'value': value, 'flaw': flaw}, time_ns) "
                f"FROM {table} WHERE time_ns <= ? AND flaw NOT IN ({unset}) GROUP BY ALL",
                [horizon_ns],
            ).fetchall()
            for device, metric, time_ns, held in rows:
                point = self._point(time_ns, table, [held["value"]], held["flaw"])
                found.append((self._names.word("device", device), self._names.word("metric", metric), point))
        return found

    def delete_before(self, time_ns: int) -> None:
        for table in _TABLES:
            self._connection.execute(f"DELETE FROM {table} WHERE time_ns < ?", [time_ns])

    def count(self) -> int:
        union = " UNION ".join(f"SELECT device, metric, time_ns FROM {table}" for table in _TABLES)
        row = self._questions.execute(f"SELECT count(*) FROM ({union})").fetchone()
        return int(row[0]) if row else 0

    def close_reader(self) -> None:
        self._questions.close()

    def close(self) -> None:
        self._connection.close()

    def _key(self, device: str, metric: str) -> tuple[int, int] | None:
        numbers = self._names.find("device", device), self._names.find("metric", metric)
        return None if numbers[0] is None or numbers[1] is None else (numbers[0], numbers[1])

    def _save_marks(self, marks: Sequence[Mark]) -> None:
        if marks:
            devices, hours = zip(*marks, strict=True)
            columns: dict[str, npt.NDArray[Any]] = {
                "device": np.array(devices, dtype=np.int32),
                "hour_ns": np.array(hours, dtype=np.int64),
            }
            insert(self._connection, "touched", columns)

    def _point(self, time_ns: int, table: str, value: Sequence[Any], flaw: int) -> Point:
        held: Value = next((part for part in value if part is not None), None)
        if table == "truths":
            held = bool(held)
        return Point(time_ns, held) if flaw == GOOD else Point(time_ns, held, *self._names.flaw_of(flaw))


def _stage(columns: Columns, batches: Sequence[ReadingsBatch]) -> list[RowRefused]:
    refused: list[RowRefused] = []
    for batch in batches:
        good, bad = sound(batch)
        refused += bad
        columns.add(good)
    return refused


def insert(connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Append whole columns: the fast way in, some hundred times that of rows."""
    connection.register("staged", columns)
    try:
        connection.execute(f"INSERT INTO {table} SELECT * FROM staged")
    finally:
        connection.unregister("staged")


def _text(words: Sequence[str]) -> npt.NDArray[np.object_]:
    return np.array(words, dtype=object)


def _select(table: str) -> str:
    """One table's values in the column of their type; the three columns of a row hold one value or none."""
    columns = {"floats": "value, NULL, NULL", "texts": "NULL, NULL, value"}.get(table, "NULL, value, NULL")
    reals, wholes, texts = columns.split(", ")
    typed = f"{reals}::DOUBLE AS real, {wholes}::BIGINT AS whole, {texts}::VARCHAR AS text"
    return f"SELECT time_ns, '{table}' AS kind, {typed}, flaw FROM {table} WHERE {_WHERE}"
