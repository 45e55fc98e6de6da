"""A TOML file read key by key: every mistake collected with its line, unknown keys refused.

`tomllib` says nothing of lines, so a small index finds them again: the line of each table header and of each
`key =`. A key that the index misses (in an inline table) is reported at the line of the table that holds it.
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from device_profiles.mistakes import ConfigError, Findings, did_you_mean

__all__ = ["Table", "read_toml"]

_T = TypeVar("_T")

Place = tuple[str | int, ...]

MAX_BYTES = 1024 * 1024
_TEXT = "a text in quotes"
_TEXTS = 'a list of texts, ["like", "this"]'

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*([A-Za-z0-9_-]+|"[^"]*"|'[^']*')\s*(?:=|\.)""")


def read_toml(path: Path, findings: Findings) -> "Table":
    """The root table of a file; ConfigError when it is not TOML at all."""
    try:
        data = path.read_bytes()
    except OSError as error:
        _unreadable(findings, 1, error.strerror or str(error), "the path of a file that can be read")
    if len(data) > MAX_BYTES:
        _unreadable(findings, 1, f"{len(data)} bytes", f"at most {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        return Table(findings, index_lines(text), (), tomllib.loads(text))
    except UnicodeDecodeError as error:
        line = 1 + data[: error.start].count(b"\n")
        _unreadable(findings, line, "bytes that are not UTF-8", "the file in UTF-8")
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        _unreadable(findings, int(found[1]) if found else 1 + data.count(b"\n"), str(error), "valid TOML")


def _unreadable(findings: Findings, line: int, what: str, instead: str) -> NoReturn:
    findings.add(line, "file", what, instead)
    raise ConfigError(findings.in_order())


def index_lines(text: str) -> dict[Place, int]:
    """The line of each table and key that stands on a line of its own."""
    lines: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    here: Place = ()
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


def _place(name: str, counts: dict[Place, int], *, repeated: bool) -> Place:
    """Where a header leads: below arrays of tables, into their last element."""
    place: Place = ()
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
    `finish` refuses the keys that nobody asked for. `sound` until a mistake is noted, inner tables' own aside."""

    def __init__(self, findings: Findings, lines: Mapping[Place, int], place: Place, content: Mapping[str, Any]) -> None:
        self._findings = findings
        self._lines = lines
        self._place = place
        self._content = content
        self._asked: set[str] = set()
        self.sound = True

    def text(self, key: str, default: str | None = None) -> str:
        """A text; required, and then not empty, where there is no default."""
        value: str | None = self._read(key, str, _TEXT)
        if default is None and (value == "" or key not in self._content):
            self.wrong(key, "is missing" if value is None else "is empty", f"{key} = {_TEXT}")
        return (default or "") if value is None else value

    def checked(self, key: str, check: Callable[[str], object], instead: str, default: str | None = None) -> str:
        """A text that `check` takes; ValueError tells what is wrong and, after ": want ", what to write instead of `instead`."""
        value = self.text(key, default)
        try:
            if value:
                check(value)
        except ValueError as error:
            what, _, wanted = str(error).partition(": want ")
            self.wrong(key, what, wanted or instead)
        return value

    def choice(self, key: str, words: Sequence[str], default: str | None = None) -> str:
        """One of `words`; the first of them where it is none."""
        value = self.text(key, default)
        if value in words:
            return value
        if value:
            self.wrong(key, f"{value!r}"[:80], did_you_mean(value, words))
        return words[0]

    def flag(self, key: str, *, default: bool) -> bool:
        """true or false."""
        value: bool | None = self._read(key, bool, "true or false")
        return default if value is None else value

    def integer(self, key: str, default: _T, *, low: int, high: int) -> int | _T:
        """A whole number between `low` and `high`."""
        value: int | _T = self._between(key, int, f"a whole number from {low} to {high}", default, low=low, high=high)
        return value

    def number(self, key: str, default: float, *, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return float(self._between(key, (int, float), f"a number from {low:g} to {high:g}", default, low=low, high=high))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where there is none."""
        found: list[Any] = self._read(key, list, _TEXTS) or []
        if not all(isinstance(item, str) for item in found):
            self.wrong(key, f"{found!r}"[:80], _TEXTS)
            return ()
        return tuple(found)

    def file(self, key: str, folder: Path) -> Path | None:
        """A file that is there, its path taken from `folder`; None where none is named."""
        named = self.text(key, "")
        if named and not (folder / named).is_file():
            self.wrong(key, f"{folder / named} is no file", "the path of a file that exists")
        return folder / named if named else None

    def files(self, key: str, folder: Path) -> tuple[Path, ...]:
        """Those of the files named that are there, their paths taken from `folder`."""
        paths = [folder / named for named in self.texts(key)]
        for path in paths:
            if not path.is_file():
                self.wrong(key, f"{path} is no file", "the path of a file that exists")
        return tuple(path for path in paths if path.is_file())

    def folders(self, key: str, folder: Path) -> tuple[Path, ...]:
        """Those of the folders named that are there, their paths taken from `folder`."""
        paths = [folder / named for named in self.texts(key)]
        for path in paths:
            if not path.is_dir():
                self.wrong(key, f"{path} is no folder", "the path of a folder that exists")
        return tuple(path for path in paths if path.is_dir())

    def raw(self, key: str) -> Any:
        """Whatever stands there; None where nothing does."""
        self._asked.add(key)
        return self._content.get(key)

    def table(self, key: str) -> "Table":
        """A table within; empty where there is none."""
        content: dict[str, Any] = self._inner(key, dict, "a table", f"[{key}] above its keys")
        return Table(self._findings, self._lines, (*self._place, key), content)

    def tables(self, key: str) -> "list[Table]":
        """An array of tables; empty where there is none."""
        inner = []
        found: list[Any] = self._inner(key, list, "a list of tables", f"[[{key}]] above each of them")
        for index, content in enumerate(found):
            if isinstance(content, dict):
                inner.append(Table(self._findings, self._lines, (*self._place, key, index), content))
            else:
                self.wrong(key, f"{content!r}"[:80] + " is not a table", f"[[{key}]] above its keys")
        return inner

    def wrong(self, key: str, what: str, instead: str) -> None:
        """Note a mistake at `key`, or at the table itself where `key` is empty."""
        self.sound = False
        place = (*self._place, key) if key else self._place
        self._findings.add(self._line(place), _dotted(place) or "file", what, instead)

    def finish(self) -> None:
        """Refuse every key that was not asked for."""
        for key in self._content:
            if key not in self._asked:
                self.wrong(key, "is not a key here", did_you_mean(key, self._asked))

    def _read(self, key: str, kind: type | tuple[type, ...], wanted: str) -> Any:
        """The value at `key` where it is of `kind`; None, with any mistake noted, otherwise."""
        value = self.raw(key)
        # A boolean is an int to Python, and a mistake here.
        if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
            return value
        self.wrong(key, f"{value!r}"[:80], wanted)
        return None

    def _inner(self, key: str, kind: Callable[[], _T], noun: str, instead: str) -> _T:
        value = self.raw(key)
        if value is not None and type(value) is not kind:
            self.wrong(key, f"{value!r}"[:80] + f" is not {noun}", instead)
        return value if type(value) is kind else kind()

    def _between(self, key: str, kind: type | tuple[type, ...], wanted: str, default: _T, *, low: float, high: float) -> Any:
        value = self._read(key, kind, wanted)
        if value is None or low <= value <= high:
            return default if value is None else value
        self.wrong(key, f"{value}", wanted)
        return default

    def _line(self, place: Place) -> int:
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)


def _dotted(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
