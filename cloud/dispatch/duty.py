"""The duty plan made ready to be asked: which department, which person, and who after them."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud.clocks.calendar import WorkCalendar
from cloud.clocks.rules import CalendarRules
from cloud.dispatch.districts import District, DistrictMap
from cloud.dispatch.escalation import DEFAULT_PLAN, Plan
from cloud.dispatch.people import Department, Names, Person
from cloud.dispatch.register import Register
from cloud.dispatch.roster import Roster
from cloud.workflow.states import Role
from device_profiles.matter import DepartmentRule, Matter
from telemetry.clock import SECOND_NS
from telemetry.records import Priority

__all__ = ["Duty"]

_PLAIN: Final = CalendarRules()


class Duty:
    """Who handles what, and who is there; never changed once it is made. Names are those of accounts, "" is nobody.

    An empty plan works: every matter goes to the department that it names, and there is nobody to give it to.
    """

    def __init__(
        self,
        *,
        districts: Iterable[District] = (),
        departments: Iterable[Department] = (),
        people: Iterable[Person] = (),
        rosters: Iterable[Roster] = (),
        escalation: Mapping[Priority, Plan] = DEFAULT_PLAN,
        calendar: WorkCalendar | None = None,
        register: Register | None = None,
    ) -> None:
        """`calendar` gives the rosters their zone and their days off; without one, China's time and Monday to Friday."""
        self.districts: Final = tuple(districts)
        self.departments: Final = {department.name: department for department in departments}
        self.people: Final = {person.name: person for person in people}
        self._map = DistrictMap(self.districts)
        parts = [place for place, district in enumerate(self.districts) for _ in district.parts]
        # The last one is for -1, which is in none.
        self._of_part = np.array([*parts, -1], dtype=np.int64)
        self._called = Names.called(self.departments.values())
        self._owning = Names.owning(self.departments.values())
        self._areas = {person.name: frozenset(self._area(person)) for person in self.people.values()}
        self._rosters: dict[str, list[Roster]] = {}
        for roster in rosters:
            self._rosters.setdefault(roster.department, []).append(roster)
        self._escalation = dict(escalation)
        self._register = register or Register()
        self._calendar = calendar or WorkCalendar(_PLAIN)

    def district(self, longitude: float, latitude: float) -> str:
        """The district of a position, by `DistrictMap.at`; "" outside of all of them."""
        return self._map.at(longitude, latitude)

    def districts_at(self, longitudes: NDArray[np.float64], latitudes: NDArray[np.float64]) -> NDArray[np.int64]:
        """The same for many positions: places in `districts`; -1 outside of all of them."""
        return self._of_part[self._map.at_many(longitudes, latitudes)]

    def owner(self, component_code: str) -> str:
        """Whose object (权属单位) it is, by the city's register; "" where that does not say."""
        return self._register.owner(component_code)

    def department(self, matter: Matter, *, district: str, owner: str) -> str:
        """The department for a problem of `matter` in `district`, on an object of `owner` (code or name; "" where not known).

        MATTER: the one that the matter names. OWNER: the one that looks after that owner's objects, or is called as the owner.
        DISTRICT: the one that is called as the matter names it and works in that district. Where there is no such department
        it is the named one, as the plan calls it; the matter's own word where the plan does not know it.
        """
        found = ""
        match matter.department_by:
            case DepartmentRule.MATTER:
                pass
            case DepartmentRule.OWNER:
                found = self._owning.find(owner, district) or self._called.find(owner, district)
            case DepartmentRule.DISTRICT:
                found = self._called.local(matter.department, district)
        return found or self._named(matter.department, "")

    def on_duty(self, department: str, district: str, now_ns: int) -> tuple[str, ...]:
        """Everybody of a department who is on duty for a district, in the order in which they are asked, each once.

        Rosters are asked in the order of the plan, in each its people in theirs. Rosters and people of other districts are left
        out; where `district` is "", the place is not known and nobody is left out because of theirs.
        """
        now = dt.datetime.fromtimestamp(now_ns // SECOND_NS, self._calendar.zone)
        day, minute = now.date(), now.hour * 60 + now.minute
        found: dict[str, None] = {}
        for roster in self._rosters.get(self._named(department, district), ()):
            if _reaches(roster.districts, district):
                names = roster.on_duty(day, minute, self._is_worked)
                found.update((name, None) for name in names if _reaches(self._areas.get(name, ()), district))
        return tuple(found)

    def crew(self, department: str, district: str, now_ns: int) -> str:
        """Who is on duty first; "" where nobody is."""
        return next(iter(self.on_duty(department, district, now_ns)), "")

    def next_person(self, department: str, district: str, now_ns: int, after: str) -> str:
        """Who is on duty next after somebody who is silent; "" after the last. The first where `after` is not on duty now."""
        names = self.on_duty(department, district, now_ns)
        rest = names[names.index(after) + 1 :] if after in names else names
        return next(iter(rest), "")

    def supervisor(self, department: str) -> str:
        """The department's supervisor; "" where none is named."""
        held = self.departments.get(self._named(department, ""))
        return "" if held is None else held.supervisor

    def members(self, role: Role, *, department: str = "", district: str = "") -> tuple[str, ...]:
        """Everybody with a role, on duty or not, in the order of the plan; of a department, and for a district, where given."""
        wanted = department and self._named(department, district)
        return tuple(
            person.name
            for person in self.people.values()
            if role in person.roles
            and (not wanted or person.department == wanted)
            and _reaches(self._areas[person.name], district)
        )

    def escalation(self, priority: Priority) -> Plan:
        """What is done about a case of that priority that is not getting done."""
        return self._escalation.get(priority, ())

    def unknown(self, matters: Iterable[Matter]) -> tuple[str, ...]:
        """The departments that `matters` name and nobody in the plan is called, each once: their cases wait for a dispatcher."""
        called = {word for each in self.departments.values() for word in (each.name, *each.other_names)}
        return tuple(dict.fromkeys(matter.department for matter in matters if matter.department not in called))

    def _named(self, word: str, district: str) -> str:
        """The department of exactly this name, or else the one that is called so; the word itself where there is none."""
        return word if word in self.departments else self._called.find(word, district) or word

    def _area(self, person: Person) -> tuple[str, ...]:
        department = self.departments.get(person.department)
        return person.districts or (() if department is None else department.districts)

    def _is_worked(self, day: dt.date) -> bool:
        return bool(self._calendar.hours(day))


def _reaches(districts: Iterable[str], district: str) -> bool:
    """Whether what is limited to `districts`, to none where it is empty, holds for one; any holds where it is not known."""
    held = tuple(districts)
    return not held or not district or district in held
