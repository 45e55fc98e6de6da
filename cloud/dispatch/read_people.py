"""The departments and people of a duty file."""

from collections.abc import Collection, Iterable, Mapping

from cloud.dispatch.fields import ACCOUNT_MOST, known, known_each, names, new_name
from cloud.dispatch.people import Department, Names, Person
from cloud.workflow.states import Role
from device_profiles.mistakes import did_you_mean
from device_profiles.toml_table import Table

__all__ = ["read_departments", "read_people", "within"]

_ROLES = [role.value for role in Role if role is not Role.SYSTEM]


def read_departments(tables: Iterable[Table], districts: Collection[str]) -> dict[str, tuple[Department, Table]]:
    """The departments by name, each with its table: their supervisors are looked for once the people are known."""
    found: dict[str, tuple[Department, Table]] = {}
    for table in tables:
        department = Department(
            name=new_name(table, found),
            other_names=names(table, "other_names"),
            districts=known_each(table, "districts", districts),
            owners=names(table, "owners"),
            supervisor=table.text("supervisor", ""),
        )
        table.finish()
        found.setdefault(department.name, (department, table))
    held = {word: department for word, (department, _) in found.items() if word}
    for key, index in (("other_names", Names.called(held.values())), ("owners", Names.owning(held.values()))):
        for clash in index.clashes:
            where = repr(clash.district) if clash.district else "all of the city"
            what = f"{clash.word!r} leads to {clash.first!r} in {where} already"
            found[clash.second][1].wrong(key, what, "a word of its own, or districts of its own for each of the two")
    return found


def read_people(
    tables: Iterable[Table], departments: Mapping[str, tuple[Department, Table]], districts: Collection[str]
) -> dict[str, Person]:
    """The people by name; the supervisors of the departments are checked to be among them."""
    found: dict[str, Person] = {}
    for table in tables:
        person = Person(
            name=new_name(table, found, ACCOUNT_MOST),
            department=known(table, "department", departments, ""),
            roles=_roles(table),
            districts=known_each(table, "districts", districts),
        )
        held = departments.get(person.department)
        if held is not None:
            within(table, person.districts, held[0])
        table.finish()
        found.setdefault(person.name, person)
    for department, table in departments.values():
        if department.supervisor and department.supervisor not in found:
            table.wrong(
                "supervisor", f"{department.supervisor!r} is nobody in this file", did_you_mean(department.supervisor, found)
            )
    return found


def within(table: Table, districts: Iterable[str], department: Department) -> None:
    """Tell of the districts in which the department does not work."""
    beyond = [each for each in districts if department.districts and each not in department.districts]
    if beyond:
        wanted = f"some of {', '.join(department.districts)}"
        table.wrong("districts", f"{', '.join(beyond)}: {department.name!r} does not work there", wanted)


def _roles(table: Table) -> frozenset[Role]:
    words = table.texts("roles")
    for word in words:
        if word not in _ROLES:
            table.wrong("roles", f"{word!r}"[:80], did_you_mean(word, _ROLES))
    if not words and table.raw("roles") in (None, []):
        table.wrong("roles", "is missing", f'roles = ["crew"], of {", ".join(_ROLES)}')
    return frozenset(Role(word) for word in words if word in _ROLES)
