"""The rosters of a duty file."""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from cloud.dispatch.fields import date, known, known_each
from cloud.dispatch.people import Department, Person
from cloud.dispatch.read_people import within
from cloud.dispatch.roster import WEEK, Day, Roster, Rotation, Shift, shift
from cloud.workflow.states import Role
from device_profiles.mistakes import did_you_mean
from device_profiles.toml_table import Table

__all__ = ["read_rosters"]

_SHIFTS: Final = '["08:00-18:00"], over midnight ["20:00-08:00"], a whole day ["00:00-24:00"]'
_GROUPS: Final = '[["li.wei", "wang.fang"], ["chen.jie"]], each group with somebody in it'
_DATES: Final = "dates without quotes, such as [2026-10-01, 2026-10-02]"
_TURNS: Final = {"day": 1, "week": 7}
_DOERS: Final = frozenset({Role.CREW, Role.DEPARTMENT})
"""Who may take and finish a task, by the workflow's table."""


def read_rosters(
    tables: Iterable[Table], departments: Mapping[str, Department], people: Mapping[str, Person], districts: Collection[str]
) -> Iterator[Roster]:
    """The rosters in their order."""
    for table in tables:
        dates = _dates(table)
        roster = Roster(
            department=known(table, "department", departments),
            districts=known_each(table, "districts", districts),
            groups=_groups(table),
            shifts=_shifts(table),
            days=_days(table, dates),
            dates=dates,
            first=date(table, "from"),
            last=date(table, "until"),
            rotation=_rotation(table),
        )
        if roster.first is not None and roster.last is not None and roster.last < roster.first:
            table.wrong("until", f"{roster.last} is before {roster.first}", f"a date from {roster.first} on")
        table.finish()
        department = departments.get(roster.department)
        if department is not None:
            within(table, roster.districts, department)
        for name in dict.fromkeys(name for group in roster.groups for name in group):
            _check_person(table, name, roster, people)
        yield roster


def _check_person(table: Table, name: str, roster: Roster, people: Mapping[str, Person]) -> None:
    """Tell what keeps somebody from ever being asked."""
    key = "people" if table.raw("groups") is None else "groups"
    person = people.get(name)
    if person is None:
        table.wrong(key, f"{name!r} is nobody in this file"[:120], did_you_mean(name, people))
    elif roster.department and person.department != roster.department:
        table.wrong(key, f"{name!r} is not of {roster.department!r}", "people of this department")
    elif not person.roles & _DOERS:
        table.wrong(key, f"{name!r} has no role that takes tasks", 'people with the role "crew" or "department"')
    elif roster.districts and person.districts and not {*roster.districts} & {*person.districts}:
        table.wrong(key, f"{name!r} works in none of these districts", f"people of {', '.join(roster.districts)}")


def _groups(table: Table) -> tuple[tuple[str, ...], ...]:
    people, groups = table.texts("people"), table.raw("groups")
    if (groups is None) == (not people):
        table.wrong("people", "has to stand here, or groups", 'people = ["li.wei"], or groups and turn and anchor')
    if groups is None:
        return (people,)
    if not isinstance(groups, list) or not groups or not all(_is_group(group) for group in groups):
        table.wrong("groups", f"{groups!r}"[:80], _GROUPS)
        return ((),)
    return tuple(tuple(group) for group in groups)


def _is_group(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _rotation(table: Table) -> Rotation | None:
    anchor = date(table, "anchor")
    if table.raw("groups") is None:
        for key in ("turn", "anchor"):
            if table.raw(key) is not None:
                table.wrong(key, "stands without groups", f"groups = {_GROUPS}")
        return None
    turn = table.choice("turn", list(_TURNS))
    if anchor is None:
        if table.raw("anchor") is None:
            table.wrong("anchor", "is missing", "the date on which the first group's turn begins, such as 2026-01-05")
        return None
    return Rotation(anchor, _TURNS[turn])


def _days(table: Table, dates: Collection[dt.date]) -> frozenset[Day]:
    """The days named; every day where neither days nor dates are."""
    words = table.texts("days")
    for word in words:
        if word not in list(Day):
            table.wrong("days", f"{word!r}"[:80], did_you_mean(word, list(Day)))
    if not words and not dates:
        return frozenset(WEEK)
    return frozenset(Day(word) for word in words if word in list(Day))


def _dates(table: Table) -> frozenset[dt.date]:
    value = table.raw("dates")
    if value is None:
        return frozenset()
    if isinstance(value, list) and value and all(type(each) is dt.date for each in value):
        return frozenset(value)
    table.wrong("dates", f"{value!r}"[:80], _DATES)
    return frozenset()


def _shifts(table: Table) -> tuple[Shift, ...]:
    found = []
    texts = table.texts("hours")
    for text in texts:
        try:
            found.append(shift(text))
        except ValueError as error:
            table.wrong("hours", str(error), _SHIFTS)
    if table.raw("hours") in (None, []):
        table.wrong("hours", "is missing", f"hours = {_SHIFTS}")
    return tuple(found)
