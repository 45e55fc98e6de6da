"""Whose an object is: the city's register of components (部件), as far as cases need it."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

__all__ = ["Register", "RegisterError", "read_register"]

_COLUMNS: Final = ("component_code", "owner")
_CODE: Final = re.compile(r"[0-9]{2,32}")
_MOST_ROWS: Final = 2_000_000
_MOST_TOLD: Final = 20
_OWNER_MOST: Final = 64


class RegisterError(ValueError):
    """What is wrong in a register, as (line, what) pairs; at most twenty."""

    def __init__(self, mistakes: Iterable[tuple[int, str]]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"line {line}: {what}" for line, what in self.mistakes))


class Register:
    """Owners by component code, or by the first digits of many: six of the district, four of class and subclass
    (GB/T 30428.2). The longest that fits is the object's."""

    def __init__(self, owners: Mapping[str, str] = {}) -> None:
        self._owners = dict(owners)
        self._lengths = sorted({len(code) for code in self._owners}, reverse=True)

    def owner(self, component_code: str) -> str:
        """The code or name of the owner (权属单位); "" where the register does not say."""
        lengths = (length for length in self._lengths if length <= len(component_code))
        return next((found for length in lengths if (found := self._owners.get(component_code[:length]))), "")


def read_register(file: Path) -> Register:
    """A CSV file in UTF-8 with the columns `component_code` and `owner`; others are left alone.

    Raises RegisterError with the mistakes, OSError where it cannot be read. Blocks.
    """
    mistakes: list[tuple[int, str]] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            owners = dict(_rows(csv.DictReader(lines), mistakes))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RegisterError([(1, f"is no CSV file in UTF-8: {error}"[:200])]) from error
    if mistakes:
        raise RegisterError(mistakes[:_MOST_TOLD])
    return Register(owners)


def _rows(table: "csv.DictReader[str]", mistakes: list[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        mistakes.append((1, f"has no column {' and '.join(missing)}"))
        return
    seen: set[str] = set()
    for number, row in enumerate(table, 2):
        code, owner = (row["component_code"] or "").strip(), (row["owner"] or "").strip()
        what = _wrong(code, owner, seen) if number <= _MOST_ROWS else f"is beyond {_MOST_ROWS:,} lines"
        if what:
            mistakes.append((number, what))
            if len(mistakes) >= _MOST_TOLD:
                return
        seen.add(code)
        yield code, owner


def _wrong(code: str, owner: str, seen: set[str]) -> str:
    if not _CODE.fullmatch(code):
        return f"component_code {code[:40]!r}: want its digits, or the first ones of many"
    if not 1 <= len(owner) <= _OWNER_MOST:
        return f"owner {owner[:40]!r}: want 1 to {_OWNER_MOST} characters"
    return f"component_code {code} stands above already" if code in seen else ""
