"""The answer to a question as a table: for a terminal, as CSV, as Parquet."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np

__all__ = ["as_csv", "as_text", "table_of", "write_parquet"]

_GAP: Final = "  "
_PLAIN: Final[Sequence[tuple[type, str]]] = ((bool, "BOOLEAN"), (int, "BIGINT"), (float, "DOUBLE"), (str, "VARCHAR"))
_NUMPY: Final[Mapping[str, Any]] = {"BOOLEAN": np.bool_, "BIGINT": np.int64, "DOUBLE": np.float64, "VARCHAR": object}


def table_of(answer: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """(columns, rows) of a history answer: time and metric first, then whatever its points or buckets have."""
    points = [(name, point) for name, found in answer["metrics"].items() for point in found]
    beside = list(dict.fromkeys(member for _, point in points for member in point if member != "time"))
    rows = [[point.get("time"), name, *(point.get(member) for member in beside)] for name, point in points]
    return ["time", "metric", *beside], rows


def as_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns in line, numbers to the right; without colour."""
    shown = [[_shown(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[index]) for row in shown)]) for index, name in enumerate(columns)]
    right = [any(isinstance(row[index], int | float) for row in rows) for index in range(len(columns))]
    lines = [_line(columns, widths, right), *(_line(row, widths, right) for row in shown)]
    return "\n".join(lines) + "\n"


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """With the names of the columns in the first line; true and false in small letters."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_shown(value) for value in row] for row in rows)
    return out.getvalue()


def write_parquet(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A column has the type that all its values have; where they differ, whole numbers become numbers, the rest text."""
    typed = {name: _column([row[index] for row in rows]) for index, name in enumerate(columns)}
    shape = ", ".join(f'"{name}" {kind}' for name, (kind, _, _) in typed.items())
    made = path.with_name(path.name + ".new")
    with duckdb.connect(config={"memory_limit": "256MB"}) as base:
        base.execute(f"CREATE TABLE answer ({shape})")
        if rows:
            staged = {name: values for name, (_, values, _) in typed.items()}
            staged |= {f"{name}?": missing for name, (_, _, missing) in typed.items()}
            base.register("staged", staged)
            picked = ", ".join(f'CASE WHEN NOT "{name}?" THEN "{name}" END' for name in columns)
            base.execute(f"INSERT INTO answer SELECT {picked} FROM staged")  # noqa: S608 - the API's own column names
        name = str(made).replace("'", "''")
        base.execute(f"COPY answer TO '{name}' (FORMAT parquet, COMPRESSION zstd)")
    made.replace(path)


def _column(values: Sequence[Any]) -> tuple[str, Any, Any]:
    """(type, values with fillers, which are missing)."""
    kinds = {type(value) for value in values if value is not None}
    kind = next((word for plain, word in _PLAIN if kinds == {plain}), "DOUBLE" if kinds == {int, float} else "VARCHAR")
    filler = "" if kind == "VARCHAR" else 0
    filled = [filler if value is None else _shown(value) if kind == "VARCHAR" else value for value in values]
    return kind, np.array(filled, dtype=_NUMPY[kind]), np.array([value is None for value in values], dtype=np.bool_)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)]
    return _GAP.join(parts).rstrip()


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case _:
            return str(value)
