"""Whose alarms are looked at: everybody's, one department's, or one district's.

A department has the alarms whose case it handles, and of those without a case the ones whose matter it is for; a district has
those whose case lies in it. An alarm of a rule without a matter, or of one that nobody knows any more, is only in the whole.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import cases
from device_profiles.matter import Matter
from device_profiles.model import Profile

__all__ = ["EVERYBODY", "AlarmDesk", "DeskKind", "FindMatter", "UnknownDeskError", "departments", "find_desk"]

FindMatter = Callable[[str], Matter | None]
"""The line of a matter by its code in the city's table; None where the city has none."""


class DeskKind(StrEnum):
    ALL = "all"
    DEPARTMENT = "department"
    DISTRICT = "district"


class AlarmDesk(msgspec.Struct, frozen=True):
    kind: DeskKind
    name: str = ""


EVERYBODY = AlarmDesk(DeskKind.ALL)


class UnknownDeskError(LookupError):
    """No department or district of that name; the text lists those that there are."""


def departments(catalog: Mapping[str, Profile], find: FindMatter = lambda code: None) -> dict[str, str]:
    """profile/rule -> the department that the rule's matter names, in the city's table or else in the product's own."""
    found = {}
    for profile in catalog.values():
        for rule in profile.alarms.values():
            matter = None if rule.matter is None else find(rule.matter) or profile.matters.get(rule.matter)
            if matter is not None:
                found[f"{profile.name}/{rule.name}"] = matter.department
    return found


async def find_desk(conn: AsyncConnection, by_rule: Mapping[str, str], name: str) -> AlarmDesk:
    """The desk that `name` means, "" or "all" for everybody's; UnknownDeskError where there is none. `by_rule`: `departments`."""
    if name in {"", DeskKind.ALL.value}:
        return EVERYBODY
    known = set(by_rule.values()) | set(await conn.scalars(select(cases.c.department).distinct()))
    if name in known:
        return AlarmDesk(DeskKind.DEPARTMENT, name)
    districts = set(await conn.scalars(select(cases.c.district).distinct())) - {""}
    if name in districts:
        return AlarmDesk(DeskKind.DISTRICT, name)
    there = ", ".join([DeskKind.ALL.value, *sorted(known), *sorted(districts)])
    raise UnknownDeskError(f"desk {name!r}: no department and no district with cases; there are: {there}")
