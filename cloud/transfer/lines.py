"""Rows as lines of CSV or of JSON, and back."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from cloud.transfer.rows import COLUMNS, BadRow, Row, Said, check_row, escape, iso_ns, kind_of, unescape
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["CsvLines", "JsonLines"]

_TRUTHS: Final[Mapping[str, bool]] = {"true": True, "false": False}


class CsvLines:
    """Comma separated, UTF-8, with the names of the columns in the first line; they may stand in any order."""

    def __init__(self) -> None:
        self._columns: Sequence[str] = COLUMNS

    def head(self) -> str:
        """The line that comes first."""
        return ",".join(COLUMNS) + "\n"

    def read_head(self, line: bytes) -> None:
        """Learn the columns; ValueError where there are not all that are needed."""
        self._columns = next(csv.reader([line.decode("utf-8-sig", "replace").rstrip("\r\n")]), [])
        foreign = set(self._columns) - set(COLUMNS)
        if foreign:
            raise ValueError(f"no CSV of values: column {', '.join(sorted(foreign))[:80]} is none; want {','.join(COLUMNS)}")
        missing = {"device", "metric", "type", "value"} - set(self._columns)
        if missing or not {"time", "time_ns"} & set(self._columns):
            raise ValueError(
                f"no CSV of values: the first line lacks {', '.join(sorted(missing)) or 'time'}; want {','.join(COLUMNS)}"
            )

    def encode(self, rows: Iterable[Row]) -> bytes:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows(_fields(row) for row in rows)
        return out.getvalue().encode()

    def decode(self, line: bytes) -> Row:
        """BadRow where it is none."""
        try:
            fields = next(csv.reader([line.decode().rstrip("\r\n")], strict=True), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadRow(Reason.BAD_FIELD, f"no line of CSV in UTF-8: {error}") from None
        if len(fields) != len(self._columns):
            raise BadRow(Reason.BAD_LENGTH, f"{len(fields)} fields: want {len(self._columns)}")
        said = Said(**dict(zip(self._columns, fields, strict=True)))
        return check_row(said, _value(said.type, str(said.value)))


class JsonLines:
    """One JSON object a line."""

    def head(self) -> str:
        return ""

    def read_head(self, line: bytes) -> None:
        """There is none."""

    def encode(self, rows: Iterable[Row]) -> bytes:
        return b"".join(msgspec.json.encode(_members(row)) + b"\n" for row in rows)

    def decode(self, line: bytes) -> Row:
        """BadRow where it is none."""
        try:
            said = _said.decode(line)
        except msgspec.ValidationError as error:
            raise BadRow(Reason.BAD_FIELD, str(error)) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadRow(Reason.NOT_JSON, str(error)) from None
        value = said.value
        if said.type == "float" and type(value) is int:
            value = float(value)  # JSON of others writes 20.0 as 20
        if said.type and said.type != kind_of(value):
            raise BadRow(Reason.WRONG_TYPE, f"value is of type {kind_of(value)}, not {said.type[:20]}")
        return check_row(said, value)


_said: Final = msgspec.json.Decoder(Said)


def _members(row: Row) -> dict[str, Any]:
    return {
        "device": row.device,
        "metric": row.metric,
        "time": iso_ns(row.time_ns),
        "time_ns": row.time_ns,
        "type": kind_of(row.value),
        "value": row.value,
        "quality": row.quality.name.lower(),
        "reason": "" if row.reason is None else row.reason.value,
    }


def _fields(row: Row) -> list[Any]:
    members = _members(row)
    match row.value:
        case bool():
            members["value"] = "true" if row.value else "false"
        case str():
            members["value"] = escape(row.value)
        case float():
            members["value"] = repr(row.value)
        case _:
            pass
    return list(members.values())


def _float(text: str) -> float:
    return float(text)


_READ: Final[Mapping[str, Callable[[str], Value]]] = {
    "float": _float,
    "integer": int,
    "boolean": lambda text: _TRUTHS[text.lower()],
    "string": unescape,
}


def _value(kind: str, text: str) -> Value:
    if kind == "none" and not text:
        return None
    try:
        return _READ[kind](text)
    except (KeyError, ValueError):
        raise BadRow(Reason.WRONG_TYPE, f"value {text[:40]!r} is no {kind[:20] or 'type'}") from None
