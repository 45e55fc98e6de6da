"""Tables of matters and of codes from YAML, or every mistake in them at once."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from device_profiles.branch import NAME, Branch
from device_profiles.matter import (
    ClockKind,
    CodeTable,
    DepartmentRule,
    DeviceClause,
    DeviceWord,
    Limit,
    Limits,
    Matter,
    MatterTable,
)
from device_profiles.mistakes import Findings, Mistake, ProfileError, did_you_mean, one_of
from device_profiles.yaml_nodes import line_at, read_yaml
from telemetry.records import Priority

__all__ = ["CITIES", "OWN", "in_force", "load_code_tables", "load_matters", "load_table", "load_tables"]

_HERE = Path(__file__).parent
OWN = _HERE / "matters.yaml"
"""The product's own table."""
_CODES = _HERE / "gbt_codes.yaml"
CITIES = _HERE / "cities"
"""The folder of cities' own tables, each an example to copy and edit."""

_CODE = re.compile(r"(E-)?[0-9]{4}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_A_DATE = 'a date in quotes, such as "2026-01-01"'
# A year of each: the longest limit of the tables at hand is five days.
_MOST = {
    ClockKind.URGENT_HOURS: 366 * 24,
    ClockKind.CALENDAR_DAYS: 366,
    ClockKind.WORKING_HOURS: 366 * 8,
    ClockKind.WORKING_DAYS: 366,
}


@cache
def load_code_tables(path: Path = _CODES) -> Mapping[str, CodeTable]:
    """The codes of every edition, by the edition's name. Raises ProfileError."""
    findings = Findings(str(path))
    tables = {edition: _code_table(edition, branch) for edition, branch in _root(path, findings).inner()}
    findings.raise_if_any()
    return tables


@cache
def load_table(path: Path) -> MatterTable:
    """The table in a file. Raises ProfileError with every mistake."""
    findings = Findings(str(path))
    table = _Reader(_root(path, findings), load_code_tables()).table()
    findings.raise_if_any()
    return table


@cache
def load_matters(path: Path = OWN) -> Mapping[str, Matter]:
    """The matters of one table, the product's own if none is named, by code. Raises ProfileError."""
    return load_table(path).matters


def load_tables(paths: Iterable[Path]) -> tuple[MatterTable, ...]:
    """A city's tables, the oldest first. Raises ProfileError with the mistakes of all files; two tables of one day are one."""
    tables: dict[str, MatterTable] = {}
    mistakes: list[Mistake] = []
    for path in paths:
        try:
            table = load_table(path)
        except ProfileError as error:
            mistakes.extend(error.mistakes)
            continue
        if table.valid_from in tables:
            what = f"{table.valid_from} is the date of {tables[table.valid_from].name} too"
            line = line_at(read_yaml(path, Findings(str(path))), "valid_from")
            mistakes.append(Mistake(str(path), line, "valid_from", what, "another date, or both tables as one"))
        tables.setdefault(table.valid_from, table)
    if mistakes:
        raise ProfileError(mistakes)
    return tuple(tables[date] for date in sorted(tables))


def in_force(tables: Iterable[MatterTable], on: dt.date, own: Mapping[str, Matter] | None = None) -> Mapping[str, Matter]:
    """The matters by which a case that is filed on that date goes: the product's own, and over them the city's, old to new.

    A line counts from its own date on, so a change never reaches back.
    """
    matters = dict(load_matters() if own is None else own)
    for table in sorted(tables, key=lambda table: table.valid_from):
        matters |= {code: matter for code, matter in table.matters.items() if matter.valid_from <= on.isoformat()}
    return matters


def _root(path: Path, findings: Findings) -> Branch:
    return Branch(findings, read_yaml(path, findings), "")


def _code_table(edition: str, branch: Branch) -> CodeTable:
    table = CodeTable(
        edition=edition,
        component_classes=_names(branch.branch("component_classes"), re.compile(r"[0-9]{2}")),
        event_classes=_names(branch.branch("event_classes"), re.compile(r"[0-9]{2}")),
        codes=_names(branch.branch("codes"), _CODE),
    )
    branch.finish()
    return table


def _names(branch: Branch, form: re.Pattern[str]) -> dict[str, str]:
    """Code -> name; a code of another form is a mistake and left out."""
    names: dict[str, str] = {}
    for code in branch:
        name = branch.text(code)
        if form.fullmatch(code):
            names[code] = name
        else:
            branch.wrong_key(code, f"{code!r} is not a code", 'two digits of class and two of subclass, as "0103" or "E-0503"')
    return names


class _Reader:
    """One file: its head, then its lines."""

    def __init__(self, root: Branch, code_tables: Mapping[str, CodeTable]) -> None:
        self._root = root
        self._name = root.text("table", form=NAME, like="small letters, digits and _, such as yuncheng_2023")
        self._codes = code_tables[root.word("edition", code_tables)]
        self._valid_from = _date(root, "valid_from")
        self._stages = root.optional("stages")
        self._extensions = self._read_extensions(root.optional("extensions"))

    def table(self) -> MatterTable:
        root = self._root
        usual = self._usual()
        table = MatterTable(
            name=self._name,
            city=root.both("city"),
            edition=self._codes.edition,
            valid_from=self._valid_from,
            source=root.text("source"),
            extensions=self._extensions,
            matters={code: self._matter(code, branch, usual) for code, branch in root.branch("matters").inner()},
        )
        root.finish()
        return table

    def _usual(self) -> dict[str, Limit]:
        """The limits of the stages where a line says nothing else."""
        if self._stages is None:
            return {}
        usual = _limits(self._stages, ("accept", "verify", "dispatch", "check"))
        self._stages.finish()
        return usual

    def _read_extensions(self, branch: Branch | None) -> dict[str, str]:
        extensions = {} if branch is None else _names(branch, _CODE)
        for code in extensions.keys() & self._codes.codes.keys():
            what = f"{code} is {self._codes.codes[code]} in {self._codes.edition}"
            (branch or self._root).wrong_key(code, what, "a number that the edition leaves free, from 99 downward")
        return extensions

    def _matter(self, code: str, branch: Branch, usual: Mapping[str, Limit]) -> Matter:
        if not NAME.fullmatch(code):
            branch.wrong("", f"{code!r} is not a matter's name", "small letters, digits and _")
        codes = self._line_codes(branch)
        department = branch.branch("department")
        matter = Matter(
            code=code,
            title=branch.both("title"),
            gbt_code=next(iter(codes), ""),
            codes=codes,
            department=department.text("name"),
            department_by=department.choice("by", DepartmentRule, DepartmentRule.MATTER),
            priority=branch.choice("priority", Priority),
            limits=_all_limits(branch, usual),
            filed_when=branch.both("filed_when"),
            closes_when=branch.both("closes_when"),
            device=_device(branch.optional("device")),
            people_only=branch.flag("people_only", default=False),
            source=branch.text("source"),
            table=self._name,
            edition=self._codes.edition,
            valid_from=_date(branch, "valid_from", self._valid_from),
        )
        department.finish()
        if matter.people_only and matter.device is not None:
            branch.wrong("device", "no device tells of this matter: it is people_only", "either people_only or device")
        if matter.valid_from < self._valid_from:
            branch.wrong("valid_from", f"before the table's own date, {self._valid_from}", f'"{self._valid_from}" or later')
        branch.finish()
        return matter

    def _line_codes(self, branch: Branch) -> dict[str, str]:
        inner = branch.branch("codes")
        codes = _names(inner, _CODE)
        if not codes and branch.is_sound("codes"):
            branch.wrong("codes", "no code", 'one or more, such as {"0103": 雨水井盖}')
        for code, name in codes.items():
            self._check_code(inner, code, name)
        return codes

    def _check_code(self, branch: Branch, code: str, name: str) -> None:
        """A code means what the edition says, or what the table itself adds to it."""
        edition, known = self._codes.edition, {**self._codes.codes, **self._extensions}
        if code in known:
            if known[code] != name:
                other = next((other for other, meant in known.items() if meant == name), None)
                instead = f'"{code}": {known[code]}' if other is None else f'"{other}": {name}'
                branch.wrong_key(code, f"{code} is {known[code]} in {edition}, not {name}", instead)
            return
        kind = code.removeprefix("E-")[:2]
        classes = self._codes.event_classes if code.startswith("E-") else self._codes.component_classes
        if kind not in classes:
            branch.wrong_key(code, f"{edition} has no class {kind}", one_of(classes))
        else:
            branch.wrong_key(code, f"{code} is not in {edition}", f"{did_you_mean(code, known)}, or add it to extensions")


def _all_limits(branch: Branch, usual: Mapping[str, Limit]) -> Limits:
    own = _limits(branch, ("accept", "verify", "dispatch", "check"))
    handle = _limit(branch.branch("handle"))
    return Limits(handle=handle, **{**usual, **own})


def _limits(branch: Branch, stages: Iterable[str]) -> dict[str, Limit]:
    return {stage: _limit(branch.branch(stage)) for stage in stages if branch.has(stage)}


def _limit(branch: Branch) -> Limit:
    """One clock with its number, as {urgent_hours: 2}."""
    kinds = [kind for kind in ClockKind if branch.has(kind)]
    if len(kinds) != 1:
        what = "no clock" if not kinds else f"{len(kinds)} clocks"
        branch.finish()
        branch.wrong_here(what, f"one clock with its number, as {{urgent_hours: 2}}: {one_of(ClockKind)}")
        return Limit("1", ClockKind.URGENT_HOURS)
    kind = kinds[0]
    count = branch.number(kind, low=0, high=_MOST[kind])
    if count <= 0:
        branch.wrong(kind, "a limit of nothing", "a number above 0")
    elif kind in {ClockKind.CALENDAR_DAYS, ClockKind.WORKING_DAYS} and count != int(count):
        branch.wrong(kind, f"{count:g} days", "whole days, or hours")
    branch.finish()
    return Limit(f"{count:.12g}", kind)


def _device(branch: Branch | None) -> DeviceClause | None:
    if branch is None:
        return None
    clause = DeviceClause(word=branch.choice("word", DeviceWord), says=branch.both("says"))
    branch.finish()
    return clause


def _date(branch: Branch, key: str, default: str | None = None) -> str:
    text = branch.text(key, default, form=_DATE, like=_A_DATE)
    try:
        return text and dt.date.fromisoformat(text).isoformat()
    except ValueError:
        branch.wrong(key, f"{text!r} is not a day of the calendar", _A_DATE)
        return default or ""
