"""The duty plan: which department, who of it is on duty, who is asked after them."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.clocks.rules import CalendarRules
from cloud.dispatch.districts import District, from_ring
from cloud.dispatch.duty import Duty
from cloud.dispatch.escalation import DEFAULT_PLAN, WHAT_WORDS, Escalation, What
from cloud.dispatch.people import Department, Person
from cloud.dispatch.roster import WEEK, Day, Roster, Rotation, Shift, shift
from cloud.workflow.states import Role
from device_profiles.matter import ClockKind, DepartmentRule, Limit, Limits, Matter
from device_profiles.quantities import Text
from telemetry.records import Priority

CHINA = WorkCalendar(chinese_rules())
WHOLE = (shift("00:00-24:00"),)


def matter(department: str, by: DepartmentRule = DepartmentRule.MATTER) -> Matter:
    return Matter(
        code="lamp_out",
        title=Text("单灯故障", "Lamp out"),
        gbt_code="0137",
        department=department,
        department_by=by,
        limits=Limits(handle=Limit("2", ClockKind.WORKING_DAYS)),
        filed_when=Text("不亮", "It is dark"),
        closes_when=Text("亮灯", "It is lit"),
    )


def at(text: str, calendar: WorkCalendar = CHINA) -> int:
    """Local time of the city as nanoseconds."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=calendar.zone).timestamp()) * 1_000_000_000


def crew(name: str, department: str = "lamps", *districts: str) -> Person:
    return Person(name=name, department=department, roles=frozenset({Role.CREW}), districts=districts)


def roster(
    *people: str, hours: tuple[str, ...] = ("00:00-24:00",), days: frozenset[Day] = frozenset(WEEK), **more: object
) -> Roster:
    shifts = tuple(shift(text) for text in hours)
    return Roster(**{"department": "lamps", "groups": (people,), "shifts": shifts, "days": days} | more)  # type: ignore[arg-type]


def duty(*rosters: Roster, people: tuple[Person, ...] = ()) -> Duty:
    names = dict.fromkeys(name for each in rosters for group in each.groups for name in group)
    held = {person.name: person for person in people}
    everybody = [held.get(name, crew(name)) for name in names]
    return Duty(departments=[Department(name="lamps")], people=everybody, rosters=rosters, calendar=CHINA)


# ---- departments

CLEANING = Duty(
    departments=[
        Department(name="lamps", other_names=("streetlights",)),
        Department(name="covers", owners=("SZ-7", "the municipal company")),
        Department(name="covers west", owners=("SZ-7",), districts=("west",)),
        Department(name="cleaning", other_names=("sweepers",)),
        Department(name="cleaning west", other_names=("cleaning",), districts=("west", "north")),
        Department(name="toilets east", other_names=("toilets",), districts=("east",)),
    ]
)


@pytest.mark.parametrize(
    ("by", "named", "district", "owner", "department"),
    [
        pytest.param("matter", "lamps", "west", "SZ-7", "lamps", id="the matter's own, wherever it is and whoever owns it"),
        pytest.param("matter", "streetlights", "", "", "lamps", id="the matter's own by another of its names"),
        pytest.param(
            "matter", "cleaning", "west", "", "cleaning", id="the matter's own also where a district has one of that name"
        ),
        pytest.param("matter", "elsewhere", "west", "", "elsewhere", id="one that the plan does not know"),
        pytest.param("owner", "lamps", "", "SZ-7", "covers", id="the owner's, by code"),
        pytest.param("owner", "lamps", "east", "the municipal company", "covers", id="the owner's, by name"),
        pytest.param("owner", "lamps", "west", "SZ-7", "covers west", id="the owner's in this district"),
        pytest.param("owner", "lamps", "west", "the municipal company", "covers", id="the owner's for all of the city"),
        pytest.param("owner", "lamps", "west", "cleaning", "cleaning west", id="an owner that is a department"),
        pytest.param("owner", "streetlights", "west", "", "lamps", id="the named one where the owner is not known"),
        pytest.param("owner", "lamps", "west", "somebody", "lamps", id="the named one where nobody looks after that owner's"),
        pytest.param("district", "cleaning", "north", "SZ-7", "cleaning west", id="the district's"),
        pytest.param("district", "cleaning", "east", "", "cleaning", id="the named one where the district has none"),
        pytest.param("district", "sweepers", "east", "", "cleaning", id="the named one by another of its names"),
        pytest.param("district", "cleaning", "", "", "cleaning", id="the named one where the district is not known"),
        pytest.param("district", "toilets", "west", "", "toilets", id="the matter's word where only other districts have one"),
    ],
)
def test_the_department_is_found_by_the_matters_rule(by: str, named: str, district: str, owner: str, department: str) -> None:
    assert CLEANING.department(matter(named, DepartmentRule(by)), district=district, owner=owner) == department


def test_departments_that_matters_name_and_nobody_is_called_are_listed_once() -> None:
    named = [matter(word) for word in ("lamps", "sweepers", "toilets", "parks", "bridges", "parks")]
    assert CLEANING.unknown(named) == ("parks", "bridges")


def test_an_empty_plan_sends_every_matter_to_its_department_and_has_nobody() -> None:
    empty = Duty()
    assert [empty.department(matter("lamps", by), district="west", owner="SZ-7") for by in DepartmentRule] == ["lamps"] * 3
    assert (empty.district(111.0, 35.0), empty.crew("lamps", "", 0), empty.next_person("lamps", "", 0, "li.wei")) == ("", "", "")
    assert (empty.supervisor("lamps"), empty.members(Role.CREW)) == ("", ())
    assert empty.escalation(Priority.HIGH) == DEFAULT_PLAN[Priority.HIGH]


# ---- who is on duty


def test_people_are_asked_in_the_order_of_the_plan_each_once() -> None:
    plan = duty(roster("li", "wang"), roster("chen", "li"), roster("zhao", hours=("09:00-10:00",)))
    now = at("2026-11-20 08:59")
    assert plan.on_duty("lamps", "", now) == ("li", "wang", "chen")
    assert [plan.next_person("lamps", "", now, name) for name in ("li", "wang", "chen", "zhao", "")] == [
        "wang",
        "chen",
        "",
        "li",
        "li",
    ]
    assert plan.crew("lamps", "", at("2026-11-20 09:00")) == "li"
    assert plan.on_duty("lamps", "", at("2026-11-20 09:00"))[-1] == "zhao"


def test_nobody_is_on_duty_outside_of_the_shifts() -> None:
    plan = duty(roster("li", hours=("08:00-12:00", "14:00-18:00")))
    times = ("07:59", "08:00", "11:59", "12:00", "13:59", "14:00", "18:00")
    assert [plan.crew("lamps", "", at(f"2026-11-20 {time}")) for time in times] == ["", "li", "li", "", "", "li", ""]


def test_a_shift_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    plan = duty(roster("li", hours=("20:00-08:00",), days=frozenset({Day.FRIDAY})))
    times = ("20 07:59", "20 19:59", "20 20:00", "21 00:00", "21 07:59", "21 08:00", "21 20:00")
    assert [plan.crew("lamps", "", at(f"2026-11-{time}")) for time in times] == ["", "", "li", "li", "li", "", ""]


def test_the_first_hour_of_a_shift_is_today_s_and_not_yesterday_s() -> None:
    # 24 hours from 08:00, in turns: at 08:00 the next group stands alone.
    turns = Rotation(dt.date(2026, 11, 20), 1)
    plan = duty(roster(hours=("08:00-08:00",), groups=(("li",), ("wang",)), rotation=turns))
    times = ("20 07:59", "20 08:00", "21 07:59", "21 08:00", "22 08:00")
    assert [plan.on_duty("lamps", "", at(f"2026-11-{time}")) for time in times] == [
        ("wang",),
        ("li",),
        ("li",),
        ("wang",),
        ("li",),
    ]


def test_groups_take_turns_by_the_week_from_the_anchor_on_and_back() -> None:
    turns = Rotation(dt.date(2026, 11, 16), 7)
    plan = duty(roster(groups=(("li",), ("wang",), ("chen",)), rotation=turns))
    days = ("11-08", "11-15", "11-16", "11-22", "11-23", "11-30", "12-07")
    assert [plan.crew("lamps", "", at(f"2026-{day} 12:00")) for day in days] == ["wang", "chen", "li", "li", "wang", "chen", "li"]


def test_workdays_and_days_off_are_those_of_the_citys_calendar() -> None:
    plan = duty(roster("li", days=frozenset({Day.WORKDAY})), roster("wang", days=frozenset({Day.DAY_OFF})))
    # A holiday in the week, a Saturday that is worked instead, a plain Saturday, a plain Friday.
    days = ("2026-10-01", "2026-10-10", "2026-11-21", "2026-11-20")
    assert [plan.on_duty("lamps", "", at(f"{day} 02:10")) for day in days] == [("wang",), ("li",), ("wang",), ("li",)]


def test_a_roster_of_dates_that_stands_first_is_asked_first_on_them() -> None:
    plan = duty(roster("wang", days=frozenset(), dates=frozenset({dt.date(2026, 10, 1)})), roster("li"))
    assert plan.on_duty("lamps", "", at("2026-10-01 12:00")) == ("wang", "li")
    assert plan.on_duty("lamps", "", at("2026-10-02 12:00")) == ("li",)


def test_a_roster_holds_from_its_first_to_its_last_day() -> None:
    plan = duty(roster("li", hours=("22:00-06:00",), first=dt.date(2026, 11, 20), last=dt.date(2026, 11, 21)))
    times = ("20 05:00", "20 22:00", "21 05:00", "21 23:00", "22 05:59", "22 23:00")
    assert [plan.crew("lamps", "", at(f"2026-11-{time}")) for time in times] == ["", "li", "li", "li", "li", ""]


def test_rosters_and_people_of_other_districts_are_left_out_where_the_district_is_known() -> None:
    plan = duty(roster("li", districts=("west",)), roster("wang", "chen"), people=(crew("wang", "lamps", "east"),))
    now = at("2026-11-20 12:00")
    found = [plan.on_duty("lamps", district, now) for district in ("west", "east", "north", "")]
    assert found == [("li", "chen"), ("wang", "chen"), ("chen",), ("li", "wang", "chen")]


def test_people_without_districts_of_their_own_work_where_their_department_does() -> None:
    plan = Duty(
        departments=[Department(name="toilets west", other_names=("toilets",), districts=("west",))],
        people=[crew("li", "toilets west")],
        rosters=[Roster(department="toilets west", groups=(("li",),), shifts=WHOLE, days=frozenset(WEEK))],
    )
    assert plan.members(Role.CREW, district="east") == ()
    assert plan.members(Role.CREW, department="toilets", district="west") == ("li",)
    assert plan.crew("toilets", "west", 0) == "li"
    assert (plan.crew("toilets west", "", 0), plan.crew("toilets west", "east", 0)) == ("li", "")


def test_members_are_those_with_the_role() -> None:
    both = Person(name="wang", department="lamps", roles=frozenset({Role.CREW, Role.DEPARTMENT}))
    city = Person(name="zhao", department="", roles=frozenset({Role.SUPERVISOR}))
    plan = Duty(
        departments=[Department(name="lamps", other_names=("streetlights",), supervisor="zhao"), Department(name="covers")],
        people=[city, crew("li"), both, crew("chen", "covers")],
    )
    assert plan.members(Role.CREW) == ("li", "wang", "chen")
    assert plan.members(Role.CREW, department="streetlights") == ("li", "wang")
    assert plan.members(Role.SUPERVISOR) == ("zhao",)
    assert [plan.supervisor(word) for word in ("streetlights", "covers", "nobody")] == ["zhao", "", ""]


def test_a_position_is_told_its_district() -> None:
    plan = Duty(districts=[District("west", Text("西", "West"), from_ring([[0, 0], [1, 0], [1, 1], [0, 1]]))])
    assert (plan.district(0.5, 0.5), plan.district(1.5, 0.5)) == ("west", "")


def test_where_clocks_go_back_the_hour_that_they_show_twice_is_twice_in_the_shift() -> None:
    berlin = WorkCalendar(CalendarRules(zone="Europe/Berlin"))
    plan = Duty(
        departments=[Department(name="lamps")],
        people=[crew("li")],
        rosters=[roster("li", hours=("02:00-03:00",))],
        calendar=berlin,
    )
    night = at("2026-10-25 00:00", berlin)
    on = [plan.crew("lamps", "", night + minutes * 60_000_000_000) for minutes in (119, 120, 180, 239, 240)]
    assert on == ["", "li", "li", "li", ""]


_MINUTES = st.integers(0, 95).map(lambda quarter: 15 * quarter)
_DATES = st.dates(dt.date(2026, 9, 20), dt.date(2026, 10, 20))


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    start, end = draw(_MINUTES), draw(_MINUTES)
    days, dates = draw(st.frozensets(st.sampled_from(Day), max_size=3)), draw(st.frozensets(_DATES, max_size=2))
    names = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=2, unique=True).map(tuple)
    return roster(
        hours=(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}",),
        days=days,
        dates=dates,
        groups=tuple(draw(st.lists(names, min_size=1, max_size=3))),
        rotation=Rotation(draw(_DATES), draw(st.sampled_from([1, 7]))),
        first=draw(st.none() | _DATES),
        last=draw(st.none() | _DATES),
    )


def slowly(held: Roster, now: dt.datetime) -> set[str]:
    """Who is on duty, by trying every day around: each shift as two times on the wall, each day by its own words."""
    found: set[str] = set()
    for back in range(-1, 3):
        day = now.date() - dt.timedelta(days=back)
        begins = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=held.shifts[0].start_min)
        ends = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=held.shifts[0].end_min)
        words = {day.strftime("%A").lower(), "workday" if CHINA.hours(day) else "day_off"}
        named = day in held.dates or bool(words & {each.value for each in held.days})
        if named and begins <= now < ends and (held.first or day) <= day <= (held.last or day):
            assert held.rotation is not None
            turn = held.rotation.anchor
            group = 0
            while turn > day:
                turn, group = turn - dt.timedelta(days=held.rotation.days), group - 1
            while turn + dt.timedelta(days=held.rotation.days) <= day:
                turn, group = turn + dt.timedelta(days=held.rotation.days), group + 1
            found |= {*held.groups[group % len(held.groups)]}
    return found


@settings(max_examples=150)
@given(held=rosters(), now=st.datetimes(dt.datetime(2026, 9, 19), dt.datetime(2026, 10, 21)))  # noqa: DTZ001 - time on the wall
def test_the_people_on_duty_are_those_that_a_slow_count_finds(held: Roster, now: dt.datetime) -> None:
    assert {*duty(held).on_duty("lamps", "", at(now.isoformat()))} == slowly(held, now)


# ---- shifts and escalation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("08:00-12:00", Shift(480, 720)),
        ("00:00-24:00", Shift(0, 1440)),
        ("20:00-08:00", Shift(1200, 1920)),
        ("08:00-08:00", Shift(480, 1920)),
        ("00:00-00:00", Shift(0, 1440)),
        ("16:30-00:00", Shift(990, 1440)),
    ],
)
def test_a_shift_is_read(text: str, expected: Shift) -> None:
    assert shift(text) == expected


@pytest.mark.parametrize(
    "text", ["", "8:00-12:00", "08:00", "24:00-08:00", "08:00-25:00", "08:60-09:00", "08:00-24:30", "٠٨:٠٠-12:00"]
)
def test_what_is_no_shift_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no shift"):
        shift(text)


def test_an_escalation_has_one_time() -> None:
    for times in ({}, {"fraction": "0.5", "after_s": 60}, {"fraction": "0"}, {"after_s": 0}):
        with pytest.raises(ValueError, match="want"):
            Escalation(what=What.REMIND, **times)  # type: ignore[arg-type]


def test_every_priority_has_a_plan_that_ends_at_the_supervisor_when_the_limit_is_over() -> None:
    assert DEFAULT_PLAN.keys() == {*Priority}
    assert all(plan[-1] == Escalation(what=What.SUPERVISOR, fraction="1") for plan in DEFAULT_PLAN.values())
    assert WHAT_WORDS.keys() == {*What}
