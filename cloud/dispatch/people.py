"""Departments (专业部门) and the people who work on cases, and the names by which a department is found."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from cloud.workflow.states import Role

__all__ = ["Clash", "Department", "Names", "Person"]


class Department(msgspec.Struct, frozen=True, kw_only=True):
    """One department. Its `name`, and the `other_names`, are those that the matters use; `owners` (权属单位) are the codes or
    names of those whose objects it looks after. Without `districts` it works everywhere. `supervisor` is a person, or ""."""

    name: str
    other_names: tuple[str, ...] = ()
    districts: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    supervisor: str = ""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with an account of this name. Without `districts` they work wherever their department does."""

    name: str
    department: str
    roles: frozenset[Role]
    districts: tuple[str, ...] = ()


class Clash(msgspec.Struct, frozen=True):
    """A word that leads to two departments in one district ("" for all of the city)."""

    word: str
    district: str
    first: str
    second: str


class Names:
    """Which department is meant by a word: the one that works in the district, or one that works everywhere."""

    def __init__(self, words: Mapping[str, Iterable[str]], departments: Iterable[Department]) -> None:
        """`words` are those of each department, by its name."""
        self._held: dict[tuple[str, str], str] = {}
        self.clashes: list[Clash] = []
        for department in departments:
            for place in _places(words[department.name], department.districts):
                first = self._held.setdefault(place, department.name)
                if first != department.name:
                    self.clashes.append(Clash(*place, first, department.name))

    def local(self, word: str, district: str) -> str:
        """The department of that word that works in this district and not everywhere; "" where there is none."""
        return self._held.get((word, district), "") if district else ""

    def find(self, word: str, district: str) -> str:
        """The local one, or else the one for all of the city; "" where there is neither."""
        return self.local(word, district) or self._held.get((word, ""), "")

    @classmethod
    def called(cls, departments: Iterable[Department]) -> "Names":
        """By what departments are called."""
        held = list(departments)
        return cls({each.name: (each.name, *each.other_names) for each in held}, held)

    @classmethod
    def owning(cls, departments: Iterable[Department]) -> "Names":
        """By whose objects they look after."""
        held = list(departments)
        return cls({each.name: each.owners for each in held}, held)


def _places(words: Iterable[str], districts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        for district in districts or ("",):
            yield word, district
