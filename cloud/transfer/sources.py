"""Files of rows that are read from any place on, a portion at a time."""

# ruff: noqa: S608 - what is put into a statement is a file's name, its quotes doubled

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

import duckdb
import msgspec

from cloud.transfer.formats import FileKind
from cloud.transfer.lines import CsvLines, JsonLines
from cloud.transfer.rows import BadRow, Row, Said, check_row
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["Numbered", "Portion", "Source", "fingerprint", "open_source"]

_LONGEST_LINE: Final = 1024 * 1024
_MEMORY: Final = "256MB"


class Numbered(msgspec.Struct, frozen=True):
    """One row of a file by its number, the first being 1; in a CSV that is the line's, its head being line 1."""

    number: int
    row: Row | None
    fault: BadRow | None = None


class Portion(msgspec.Struct, frozen=True):
    """Some rows, and the place behind them: bytes or rows, by the kind of file, and the number of the last one."""

    rows: list[Numbered]
    place: int
    number: int


class Source(Protocol):
    """A file; `size` is in the unit of its places."""

    size: int

    def portions(self, place: int, number: int, most: int) -> Iterator[Portion]:
        """From the place on that a portion ended at, row `number` being the last one before it; (0, 0) is the beginning."""
        ...


def open_source(path: Path, kind: FileKind) -> Source:
    """OSError or ValueError where it cannot be read as such."""
    if kind is FileKind.PARQUET:
        return _ParquetSource(path)
    return _LineSource(path, CsvLines() if kind is FileKind.CSV else JsonLines())


def fingerprint(path: Path) -> str:
    """The file as it is just now: its size and its two ends."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = file.read(65_536)
        file.seek(max(0, size - 65_536))
        ends += file.read(65_536)
    return f"{size}-{sha256(ends).hexdigest()[:32]}"


class _LineSource:
    def __init__(self, path: Path, lines: CsvLines | JsonLines) -> None:
        self._path = path
        self._lines = lines
        self.size = path.stat().st_size
        with path.open("rb") as file:
            lines.read_head(file.readline(_LONGEST_LINE))

    def portions(self, place: int, number: int, most: int) -> Iterator[Portion]:
        with self._path.open("rb") as file:
            if place == 0 and isinstance(self._lines, CsvLines):
                file.readline(_LONGEST_LINE)
                number = 1
            else:
                file.seek(place)
            found: list[Numbered] = []
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if line.strip():
                    found.append(self._read(number, line, file))
                if len(found) >= most:
                    yield Portion(found, file.tell(), number)
                    found = []
            yield Portion(found, file.tell(), number)

    def _read(self, number: int, line: bytes, file: Any) -> Numbered:
        if len(line) >= _LONGEST_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(_LONGEST_LINE)
            return Numbered(number, None, BadRow(Reason.OVERSIZED, f"a line of more than {_LONGEST_LINE} bytes"))
        try:
            return Numbered(number, self._lines.decode(line))
        except BadRow as fault:
            return Numbered(number, None, fault)


class _ParquetSource:
    def __init__(self, path: Path) -> None:
        self._name = str(path).replace("'", "''")
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        self._base = duckdb.connect(config={"memory_limit": _MEMORY, "threads": 1})
        try:
            counted = self._base.execute(f"SELECT count(*) FROM read_parquet('{self._name}')").fetchone()
            described = self._base.execute(f"DESCRIBE SELECT * FROM read_parquet('{self._name}')").fetchall()
        except duckdb.Error as error:
            raise ValueError(f"{path}: no Parquet file: {error}") from None
        missing = set(_PARQUET) - {name for name, *_ in described}
        if missing:
            raise ValueError(f"{path}: no Parquet of values: columns {', '.join(sorted(missing))} are missing")
        self.size = int(counted[0]) if counted else 0

    def portions(self, place: int, number: int, most: int) -> Iterator[Portion]:
        names = ", ".join(_PARQUET)
        read = f"read_parquet('{self._name}', file_row_number = true)"
        rows = self._base.execute(f"SELECT {names} FROM {read} WHERE file_row_number >= ?", [place])
        while some := rows.fetchmany(most):
            found = []
            for fields in some:
                place += 1
                found.append(_read_parquet(place, dict(zip(_PARQUET, fields, strict=True))))
            yield Portion(found, place, place)


_PARQUET: Final[Sequence[str]] = (
    "device", "metric", "time_ns", "type", "value_float", "value_integer", "value_boolean", "value_string", "quality", "reason",
)  # fmt: skip


def _read_parquet(number: int, said: Mapping[str, Any]) -> Numbered:
    try:
        words = {name: said[name] or "" for name in ("device", "metric", "type", "quality", "reason")}
        return Numbered(number, check_row(Said(time_ns=said["time_ns"], **words), _typed(said)))
    except BadRow as fault:
        return Numbered(number, None, fault)


def _typed(said: Mapping[str, Any]) -> Value:
    kind = said["type"]
    if kind == "none":
        return None
    value: Value = said.get(f"value_{kind}")
    if value is None:
        raise BadRow(Reason.WRONG_TYPE, f"no value of type {kind!r}: want float, integer, boolean, string or none")
    return value
