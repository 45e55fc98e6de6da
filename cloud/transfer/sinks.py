"""Files that are written slice by slice and go on where a killed writer left them.

What is not whole has another name: `out.csv.part` with `out.csv.state` beside it, or `out.parquet.part`, a DuckDB file
that holds the rows until all are there. The name that was asked for appears at the end, complete.
"""

from collections.abc import Sequence
from os import fsync
from pathlib import Path
from typing import Any, Final, Protocol

import duckdb
import msgspec
import numpy as np

from cloud.transfer.formats import FileKind
from cloud.transfer.lines import CsvLines, JsonLines
from cloud.transfer.rows import Row, kind_of
from cloud.transfer.state import load_state, save_state

__all__ = ["Place", "Sink", "open_sink"]

_MEMORY: Final = "256MB"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an export is: everything before (device, metric, time) is in the file. `question` is what was asked for."""

    question: str
    end_ns: int
    device: str = ""
    metric: str = ""
    time_ns: int = 0
    rows: int = 0


class Sink(Protocol):
    """A file in the making."""

    def resume(self, question: str) -> Place | None:
        """The place that a former run of the same question came to; None to begin anew."""
        ...

    def write(self, rows: Sequence[Row], place: Place) -> None:
        """Keep the rows and the place together: after a crash both are there, or neither."""
        ...

    def finish(self) -> None:
        """Give the file its name."""
        ...

    def close(self) -> None:
        """Let go; what is there stays for the next run."""
        ...


def open_sink(path: Path, kind: FileKind) -> Sink:
    """The file `path` of a kind; nothing is touched before `resume`."""
    return (
        _ParquetSink(path) if kind is FileKind.PARQUET else _LineSink(path, CsvLines() if kind is FileKind.CSV else JsonLines())
    )


class _LineState(msgspec.Struct, frozen=True):
    place: Place
    bytes: int


class _LineSink:
    """Lines: the state says how many bytes count, what is behind them is cut off."""

    def __init__(self, path: Path, lines: CsvLines | JsonLines) -> None:
        self._path = path
        self._lines = lines
        self._part = path.with_name(path.name + ".part")
        self._state = path.with_name(path.name + ".state")

    def resume(self, question: str) -> Place | None:
        state = load_state(self._state, _LineState)
        known = state is not None and state.place.question == question and self._part.exists()
        self._file = self._part.open("r+b" if known else "w+b")
        if known and state is not None and self._part.stat().st_size >= state.bytes:
            self._file.truncate(state.bytes)
            self._file.seek(state.bytes)
            return state.place
        self._file.truncate(0)
        self._file.write(self._lines.head().encode())
        return None

    def write(self, rows: Sequence[Row], place: Place) -> None:
        self._file.write(self._lines.encode(rows))
        self._file.flush()
        fsync(self._file.fileno())
        save_state(self._state, _LineState(place, self._file.tell()))

    def finish(self) -> None:
        self._file.close()
        self._part.replace(self._path)
        self._state.unlink(missing_ok=True)

    def close(self) -> None:
        self._file.close()


class _ParquetSink:
    """Parquet by DuckDB's own writer, out of a table that grows slice by slice, each in one transaction with its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")

    def resume(self, question: str) -> Place | None:
        for _ in range(2):
            self._base = duckdb.connect(str(self._part), config={"memory_limit": _MEMORY, "threads": 1})
            self._base.execute("CREATE TABLE IF NOT EXISTS place (said VARCHAR)")
            self._base.execute(f"CREATE TABLE IF NOT EXISTS points ({_COLUMNS})")
            found = self._base.execute("SELECT said FROM place").fetchone()
            place = None if found is None else msgspec.json.decode(found[0], type=Place)
            if place is None or place.question == question:
                return place
            self._base.close()
            self._part.unlink()
        return None

    def write(self, rows: Sequence[Row], place: Place) -> None:
        self._base.execute("BEGIN")
        if rows:
            self._base.register("staged", _arrays(rows))
            self._base.execute(_INSERT)
            self._base.unregister("staged")
        self._base.execute("DELETE FROM place")
        self._base.execute("INSERT INTO place VALUES (?)", [msgspec.json.encode(place).decode()])
        self._base.execute("COMMIT")

    def finish(self) -> None:
        made = self._path.with_name(self._path.name + ".new")
        name = str(made).replace("'", "''")
        self._base.execute(f"COPY points TO '{name}' (FORMAT parquet, COMPRESSION zstd)")
        self._base.close()
        made.replace(self._path)
        self._part.unlink()

    def close(self) -> None:
        self._base.close()


_COLUMNS: Final = (
    "device VARCHAR, metric VARCHAR, time TIMESTAMP_NS, time_ns BIGINT, type VARCHAR, value_float DOUBLE, "
    "value_integer BIGINT, value_boolean BOOLEAN, value_string VARCHAR, quality VARCHAR, reason VARCHAR"
)
_INSERT: Final = (
    "INSERT INTO points SELECT device, metric, make_timestamp_ns(time_ns), time_ns, type, "
    "CASE WHEN type = 'float' THEN real END, CASE WHEN type = 'integer' THEN whole END, "
    "CASE WHEN type = 'boolean' THEN whole = 1 END, CASE WHEN type = 'string' THEN text END, quality, reason FROM staged"
)


def _arrays(rows: Sequence[Row]) -> dict[str, Any]:
    """Columns that DuckDB takes as they are; a value lies in the one of its type, the others hold fillers."""
    values = [row.value for row in rows]
    return {
        "device": _texts([row.device for row in rows]),
        "metric": _texts([row.metric for row in rows]),
        "time_ns": np.array([row.time_ns for row in rows], dtype=np.int64),
        "type": _texts([kind_of(value) for value in values]),
        "real": np.array([value if isinstance(value, float) else 0.0 for value in values], dtype=np.float64),
        "whole": np.array([int(value) if isinstance(value, int) else 0 for value in values], dtype=np.int64),
        "text": _texts([value if isinstance(value, str) else "" for value in values]),
        "quality": _texts([row.quality.name.lower() for row in rows]),
        "reason": _texts(["" if row.reason is None else row.reason.value for row in rows]),
    }


def _texts(words: Sequence[str]) -> Any:
    return np.array(words, dtype=object)
