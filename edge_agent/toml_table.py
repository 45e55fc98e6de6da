"""A TOML file read key by key: every mistake collected with its line, unknown keys refused.

`tomllib` says nothing of lines, so a small index finds them again: the line of each table header and of each
`key =`. A key that the index misses (in an inline table) is reported at the line of the table that holds it.
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from device_profiles.mistakes import Findings, did_you_mean

__all__ = ["Table", "read_toml"]

_T = TypeVar("_T")

Path_ = tuple[str | int, ...]

MAX_BYTES = 1024 * 1024

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*([A-Za-z0-9_-]+|"[^"]*"|'[^']*')\s*(?:=|\.)""")


def read_toml(path: Path, findings: Findings) -> "Table | None":
    """The root table of a file; None, with the mistake noted, when it is not TOML at all."""
    try:
        data = path.read_bytes()
    except OSError as error:
        findings.add(1, "file", error.strerror or str(error), "the path of a file that can be read")
        return None
    if len(data) > MAX_BYTES:
        findings.add(1, "file", f"{len(data)} bytes", f"at most {MAX_BYTES} bytes")
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        findings.add(1 + data[: error.start].count(b"\n"), "file", "bytes that are not UTF-8", "the file in UTF-8")
        return None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else 1 + text.count("\n")
        findings.add(line, "file", str(error), "valid TOML")
        return None
    return Table(findings, index_lines(text), (), content)


def index_lines(text: str) -> dict[Path_, int]:
    """The line of each table and key that stands on a line of its own."""
    lines: dict[Path_, int] = {}
    counts: dict[Path_, int] = {}
    here: Path_ = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None:
            here = _place(header[2], counts, repeated=header[1] == "[[")
            lines.setdefault(here, number)
            continue
        key = _KEY.match(line)
        if key is not None:
            lines.setdefault((*here, key[1].strip("\"'")), number)
    return lines


def _place(name: str, counts: dict[Path_, int], *, repeated: bool) -> Path_:
    """Where a header leads: below arrays of tables, into their last element."""
    place: Path_ = ()
    words = [word.strip().strip("\"'") for word in name.split(".")]
    for index, word in enumerate(words):
        place = (*place, word)
        if repeated and index == len(words) - 1:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


class Table:
    """One table of the file. Each reader takes a key, notes what is wrong with it and returns something to go on with;
    `finish` refuses the keys that nobody asked for."""

    def __init__(self, findings: Findings, lines: Mapping[Path_, int], place: Path_, content: Mapping[str, Any]) -> None:
        self._findings = findings
        self._lines = lines
        self._place = place
        self._content = content
        self._asked: set[str] = set()

    def text(self, key: str, default: str | None = None) -> str:
        """A text; required, and then not empty, where there is no default."""
        value = self._read(key, str, "a text in quotes", "" if default is None else default, required=default is None)
        if default is None and not value and self._content.get(key) == "":
            self.wrong(key, "is empty", f"{key} = a text in quotes")
        return value

    def choice(self, key: str, words: Sequence[str], default: str | None = None) -> str:
        """One of `words`; the first of them where it is none."""
        value = self.text(key, default)
        if value in words:
            return value
        if isinstance(self._content.get(key), str) and value:
            self.wrong(key, f"{value!r}"[:80], did_you_mean(value, words))
        return words[0]

    def flag(self, key: str, *, default: bool) -> bool:
        """true or false."""
        return self._read(key, bool, "true or false", default)

    def integer(self, key: str, default: int, *, low: int, high: int) -> int:
        """A whole number between `low` and `high`."""
        value = self._read(key, int, f"a whole number from {low} to {high}", default)
        if not low <= value <= high:
            self.wrong(key, f"{value}", f"a whole number from {low} to {high}")
            return default
        return value

    def number(self, key: str, default: float, *, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        value = self._read(key, (int, float), f"a number from {low:g} to {high:g}", default)
        if not low <= value <= high:
            self.wrong(key, f"{value}", f"a number from {low:g} to {high:g}")
            return default
        return float(value)

    def checked(self, key: str, value: _T, check: Callable[[_T], object], instead: str) -> _T:
        """`value` again; a mistake where `check` raises ValueError. What is missing has been told already."""
        if not value:
            return value
        try:
            check(value)
        except ValueError as error:
            self.wrong(key, str(error), instead)
        return value

    def raw(self, key: str) -> Any:
        """Whatever stands there; None where nothing does."""
        self._asked.add(key)
        return self._content.get(key)

    def table(self, key: str) -> "Table":
        """A table within; empty where there is none."""
        found: dict[str, Any] = self._read(key, dict, f"a table [{key}]", {})
        return Table(self._findings, self._lines, (*self._place, key), found)

    def tables(self, key: str) -> "list[Table]":
        """An array of tables; empty where there is none."""
        found: list[Any] = self._read(key, list, f"tables [[{key}]]", [])
        inner = []
        for index, content in enumerate(found):
            if isinstance(content, dict):
                inner.append(Table(self._findings, self._lines, (*self._place, key, index), content))
            else:
                self.wrong(key, f"{content!r} is no table", f"[[{key}]] with keys below it")
        return inner

    def wrong(self, key: str, what: str, instead: str) -> None:
        """Note a mistake at `key`, or at the table itself where `key` is empty."""
        place = (*self._place, key) if key else self._place
        self._findings.add(self._line(place), _dotted(place) or "file", what, instead)

    def finish(self) -> None:
        """Refuse every key that was not asked for."""
        for key in self._content:
            if key not in self._asked:
                self.wrong(key, "is not a key here", did_you_mean(key, self._asked))

    def _read(self, key: str, kind: type | tuple[type, ...], wanted: str, default: _T, *, required: bool = False) -> _T:
        """The value at `key` where it is of the kind of `default`."""
        self._asked.add(key)
        if key not in self._content:
            if required:
                self.wrong(key, "is missing", f"{key} = {wanted}")
            return default
        value = self._content[key]
        # A boolean is an int to Python, and a mistake here.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.wrong(key, f"{value!r}"[:80], wanted)
            return default
        return cast("_T", value)

    def _line(self, place: Path_) -> int:
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)


def _dotted(place: Path_) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
