"""A city's duty plan: a TOML file, read whole, every mistake told at once."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cloud.clocks.calendar import WorkCalendar
from cloud.dispatch.districts import District, from_geojson, from_ring
from cloud.dispatch.duty import Duty
from cloud.dispatch.escalation import DEFAULT_PLAN, Escalation, Plan, What
from cloud.dispatch.fields import new_name, titled
from cloud.dispatch.read_people import read_departments, read_people
from cloud.dispatch.read_rosters import read_rosters
from cloud.dispatch.register import Register, RegisterError, read_register
from device_profiles.mistakes import ConfigError, Findings
from device_profiles.toml_table import Table, read_toml
from telemetry.records import Priority

__all__ = ["SAMPLE", "load_duty"]

SAMPLE: Final = Path(__file__).with_name("duty.sample.toml")
"""Every key there is, in a small city."""

_RING: Final = "[[111.00, 35.02], [111.04, 35.02], [111.04, 35.05]], longitude and latitude of each corner, in WGS-84"
_GEOJSON: Final = "the name of a GeoJSON file with polygons in WGS-84, beside this one"
_GEOJSON_MOST: Final = 32 * 1024 * 1024
_MOST_MINUTES: Final = 7 * 24 * 60


def load_duty(path: Path, calendar: WorkCalendar | None = None) -> Duty:
    """The plan in a duty file; what files it names are taken from its own folder. `calendar` as for `Duty`.

    Raises ConfigError with every mistake in it.
    """
    findings = Findings(str(path))
    root = read_toml(path, findings)
    districts = _districts(root.tables("districts"), path.parent)
    read = read_departments(root.tables("departments"), districts)
    people = read_people(root.tables("people"), read, districts)
    departments = {name: department for name, (department, _) in read.items()}
    rosters = tuple(read_rosters(root.tables("rosters"), departments, people, districts))
    escalation = _escalation(root.tables("escalation"))
    register = _register(root, path.parent)
    root.finish()
    if len(findings):
        raise ConfigError(findings.in_order())
    return Duty(
        districts=districts.values(),
        departments=departments.values(),
        people=people.values(),
        rosters=rosters,
        escalation=escalation,
        register=register,
        calendar=calendar,
    )


def _register(root: Table, folder: Path) -> Register:
    file = root.file("register", folder)
    try:
        return read_register(file) if file is not None and file.is_file() else Register()
    except (RegisterError, OSError) as error:
        root.wrong("register", str(error)[:400], "a CSV file with the columns component_code and owner")
        return Register()


def _districts(tables: Iterable[Table], folder: Path) -> dict[str, District]:
    found: dict[str, District] = {}
    for table in tables:
        name = new_name(table, found)
        district = District(name=name, title=titled(table, name), parts=_parts(table, folder))
        table.finish()
        found.setdefault(name, district)
    return found


def _parts(table: Table, folder: Path) -> tuple[Any, ...]:
    ring, file = table.raw("ring"), table.file("geojson", folder)
    if (ring is None) == (table.raw("geojson") is None):
        table.wrong("ring", "has to stand here, or geojson, one of the two", f"ring = {_RING}")
        return ()
    try:
        if file is None:
            return from_ring(ring)
        return from_geojson(_content(file)) if file.is_file() else ()
    except (ValueError, OSError) as error:
        key, wanted = ("ring", _RING) if file is None else ("geojson", _GEOJSON)
        table.wrong(key, str(error)[:200], wanted)
        return ()


def _content(file: Path) -> bytes:
    if file.stat().st_size > _GEOJSON_MOST:
        raise ValueError(f"is larger than {_GEOJSON_MOST // 1024 // 1024} MiB")
    return file.read_bytes()


def _escalation(tables: Iterable[Table]) -> Mapping[Priority, Plan]:
    """The plan of each priority that the file has, and the usual one of the others."""
    found: dict[Priority, Plan] = {}
    for table in tables:
        priority = Priority(table.choice("priority", list(Priority)))
        if table.raw("steps") is None:
            table.wrong("steps", "is missing", 'steps = [{ fraction = 0.8, what = "remind" }], or [] for nothing')
        if priority in found and table.sound:
            table.wrong("priority", f"{priority.value!r} stands above already", "each priority once")
        steps = tuple(_steps(table.tables("steps")))
        if len({*steps}) != len(steps):
            table.wrong("steps", "has one step twice", "each step once")
        table.finish()
        found[priority] = steps
    return {**DEFAULT_PLAN, **found}


def _steps(tables: Iterable[Table]) -> Iterator[Escalation]:
    for table in tables:
        what = What(table.choice("what", list(What)))
        after_min = table.integer("after_minutes", None, low=1, high=_MOST_MINUTES)
        fraction = table.number("fraction", 0.0, low=0.01, high=10)
        given = [key for key in ("fraction", "after_minutes") if table.raw(key) is not None]
        if len(given) != 1:
            table.wrong("", f"has {' and '.join(given) or 'no time'}", "either fraction = 0.5 or after_minutes = 10")
        table.finish()
        if table.sound:
            after_s = None if after_min is None else after_min * 60
            yield Escalation(what=what, after_s=after_s, fraction=None if after_min is not None else f"{fraction:.9g}")
