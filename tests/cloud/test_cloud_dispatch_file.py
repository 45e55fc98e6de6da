"""The duty file: the sample and every example of the documentation load, and every mistake is told at once with its line."""

import datetime as dt
import re
import shutil
from pathlib import Path
from textwrap import dedent

import pytest

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.dispatch.duty import Duty
from cloud.dispatch.duty_file import SAMPLE, load_duty
from cloud.dispatch.escalation import DEFAULT_PLAN, WHAT_WORDS, Escalation, What
from cloud.workflow.states import Role
from device_profiles.mistakes import ConfigError
from device_profiles.read_matters import load_matters
from telemetry.records import Priority

CHINA = WorkCalendar(chinese_rules())
DOCS = Path(__file__).parents[2] / "docs" / "dispatch.md"
CITY = """
[[districts]]
name = "west"
ring = [[0, 0], [1, 0], [1, 1], [0, 1]]
[[districts]]
name = "east"
ring = [[1, 0], [2, 0], [2, 1], [1, 1]]
[[departments]]
name = "lamps"
districts = ["west"]
[[departments]]
name = "covers"
[[people]]
name = "li"
department = "lamps"
roles = ["crew"]
[[people]]
name = "chen"
department = "covers"
roles = ["crew"]
districts = ["east"]
[[people]]
name = "zhao"
roles = ["supervisor"]
"""
LINES = CITY.count("\n")


def load(folder: Path, text: str) -> Duty:
    file = folder / "duty.toml"
    file.write_text(dedent(text), encoding="utf-8")
    return load_duty(file, CHINA)


def mistakes(folder: Path, text: str) -> list[str]:
    """Each as "line: where: what", counted from the end of the city above."""
    with pytest.raises(ConfigError) as caught:
        load(folder, CITY + dedent(text).removeprefix("\n"))
    return [f"{each.line - LINES}: {each.where}: {each.what}" for each in caught.value.mistakes]


def at(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=CHINA.zone).timestamp()) * 1_000_000_000


def test_the_sample_is_a_small_city() -> None:
    duty = load_duty(SAMPLE, CHINA)
    assert duty.district(111.04, 35.03) == "140802", "the border between the two is the first one's"
    assert duty.district(111.06, 35.03) == "development"
    assert duty.districts[0].title.en == "Yanhu"
    times = ("2026-10-01 12:00", "2026-10-08 10:00", "2026-10-08 13:00", "2026-01-06 03:00", "2026-01-06 20:00")
    assert [duty.crew("路灯管理所", "", at(time)) for time in times] == ["wang.fang", "li.wei", "", "li.wei", "wang.fang"]
    assert duty.on_duty("市政养护处", "140802", at("2026-10-08 10:00")) == ("chen.jie", "liu.yang")
    assert duty.on_duty("市政养护处", "development", at("2026-10-08 10:00")) == ()
    assert (duty.supervisor("市政养护处"), duty.members(Role.SUPERVISOR)) == ("zhao.min", ("zhao.min",))
    assert duty.escalation(Priority.CRITICAL)[1] == Escalation(what=What.NEXT_PERSON, after_s=360)
    assert duty.escalation(Priority.LOW) == DEFAULT_PLAN[Priority.LOW]


def test_the_departments_of_the_sample_are_those_of_the_matters() -> None:
    duty = load_duty(SAMPLE, CHINA)
    matters = load_matters()
    cleaning = next(
        matter for matter in matters.values() if matter.department == "环卫作业单位" and matter.department_by == "district"
    )
    assert duty.department(cleaning, district="development", owner="") == "开发区环卫公司"
    assert duty.department(matters["cover_displaced"], district="", owner="1408-SZ") == "市政设施养护单位"
    assert not {"路灯管理所", "市政设施养护单位", "环卫作业单位"} & {*duty.unknown(matters.values())}


def test_the_sample_names_every_key() -> None:
    shown = set(re.findall(r"(?:^|\{ |, )([a-z_]+) =", SAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    package = SAMPLE.parent
    code = "".join((package / name).read_text() for name in ("duty_file.py", "read_people.py", "read_rosters.py", "fields.py"))
    readers = "text|checked|choice|integer|number|texts|file|raw|known|known_each|name|names|date"
    read = set(re.findall(rf'(?:{readers})\((?:table, )?"([a-z_]+)"', code))
    assert read == shown


def test_every_example_of_the_documentation_is_a_file_that_loads(tmp_path: Path) -> None:
    for name in ("duty.sample.geojson", "duty.sample.csv"):
        shutil.copy(SAMPLE.with_name(name), tmp_path)
    snippets = re.findall(r"^```toml\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    loaded = [load(tmp_path, snippet) for snippet in snippets]
    assert len(loaded) == 5
    assert [bool(each.districts) for each in loaded] == [True, True, False, False, True]


def test_the_documentation_ends_with_the_sample_and_has_the_usual_escalation() -> None:
    text = DOCS.read_text(encoding="utf-8")
    sample = f"<!-- sample -->\n```toml\n{SAMPLE.read_text(encoding='utf-8')}```\n<!-- end of sample -->\n"
    assert text.endswith(sample)
    rows = [
        f"| `{priority.value}` | {when(step)} | {WHAT_WORDS[step.what].zh} {WHAT_WORDS[step.what].en} |\n"
        for priority in Priority
        for step in DEFAULT_PLAN[priority]
    ]
    head = "<!-- escalation -->\n| priority | when | what |\n|---|---|---|\n"
    assert f"{head}{''.join(rows)}<!-- end of escalation -->\n" in text


def when(step: Escalation) -> str:
    return f"{step.fraction} of the limit" if step.after_s is None else f"{step.after_s // 60} min without an answer"


def test_an_empty_file_is_an_empty_plan(tmp_path: Path) -> None:
    duty = load(tmp_path, "")
    assert (duty.districts, duty.departments, duty.people) == ((), {}, {})
    assert duty.escalation(Priority.HIGH) == DEFAULT_PLAN[Priority.HIGH]


def test_escalation_of_a_priority_is_the_files_alone(tmp_path: Path) -> None:
    words = ('fraction = 0.1, what = "remind"', 'after_minutes = 1, what = "supervisor"', 'fraction = 2, what = "next_person"')
    steps = f"[{', '.join(f'{{ {word} }}' for word in words)}]"
    duty = load(tmp_path, f'[[escalation]]\npriority = "low"\nsteps = {steps}\n[[escalation]]\npriority = "high"\nsteps = []\n')
    assert duty.escalation(Priority.LOW) == (
        Escalation(what=What.REMIND, fraction="0.1"),
        Escalation(what=What.SUPERVISOR, after_s=60),
        Escalation(what=What.NEXT_PERSON, fraction="2"),
    )
    assert duty.escalation(Priority.HIGH) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            """
            [[districts]]
            name = "west"
            [[districts]]
            name = " north"
            ring = [[0, 0], [1, 1], [0, 1], [1, 0]]
            [[districts]]
            name = "south"
            geojson = "nowhere.geojson"
            colour = "red"
            """,
            [
                "1: districts[2].ring: has to stand here, or geojson, one of the two",
                "2: districts[2].name: 'west' stands above already",
                "4: districts[3].name: ' north' is empty, or has spaces around it",
                "5: districts[3].ring: Self-intersection[0.5 0.5]",
                "8: districts[4].geojson: {folder}/nowhere.geojson is no file",
                "9: districts[4].colour: is not a key here",
            ],
            id="districts",
        ),
        pytest.param(
            """
            [[departments]]
            name = "lights"
            other_names = ["lamps"]
            districts = ["west", "north"]
            owners = ["SZ", "SZ"]
            supervisor = "zhou"
            [[departments]]
            name = "covers"
            owners = ["SZ"]
            [[departments]]
            name = "parks"
            owners = ["", "Y"]
            [[departments]]
            name = "gardens"
            owners = ["Y"]
            """,
            [
                "3: departments[2].other_names: 'lamps' leads to 'lamps' in 'west' already",
                "4: departments[2].districts: 'north' is not in this file",
                "5: departments[2].owners: names one twice",
                "6: departments[2].supervisor: 'zhou' is nobody in this file",
                "8: departments[3].name: 'covers' stands above already",
                "12: departments[4].owners: '' is empty, or has spaces around it",
                "15: departments[5].owners: 'Y' leads to 'parks' in all of the city already",
            ],
            id="departments",
        ),
        pytest.param(
            """
            [[people]]
            name = "li"
            department = "lamp"
            roles = ["crew", "system"]
            [[people]]
            name = "sun"
            department = "lamps"
            districts = ["east"]
            """,
            [
                "2: people[3].name: 'li' stands above already",
                "3: people[3].department: 'lamp' is not in this file",
                "4: people[3].roles: 'system'",
                "5: people[4].roles: is missing",
                "8: people[4].districts: east: 'lamps' does not work there",
            ],
            id="people",
        ),
        pytest.param(
            """
            [[rosters]]
            department = "lamps"
            hours = ["08:00-18:00", "8-9"]
            people = ["li", "chen", "nobody"]
            days = ["monday", "Sunday"]
            dates = ["2026-10-01"]
            from = 2026-10-02
            until = 2026-10-01
            turn = "week"
            [[rosters]]
            department = "covers"
            districts = ["west"]
            groups = [["chen"], []]
            [[rosters]]
            department = "covers"
            districts = ["west"]
            hours = ["00:00-24:00"]
            groups = [["chen"]]
            turn = "month"
            [[rosters]]
            department = "nowhere"
            hours = ["00:00-24:00"]
            anchor = 2026-01-01T00:00:00
            """,
            [
                "3: rosters[0].hours: '8-9' is no shift",
                "4: rosters[0].people: 'chen' is not of 'lamps'",
                "4: rosters[0].people: 'nobody' is nobody in this file",
                "5: rosters[0].days: 'Sunday'",
                "6: rosters[0].dates: ['2026-10-01']",
                "8: rosters[0].until: 2026-10-01 is before 2026-10-02",
                "9: rosters[0].turn: stands without groups",
                "10: rosters[1].hours: is missing",
                "10: rosters[1].turn: is missing",
                "10: rosters[1].anchor: is missing",
                "13: rosters[1].groups: [['chen'], []]",
                "14: rosters[2].anchor: is missing",
                "18: rosters[2].groups: 'chen' works in none of these districts",
                "19: rosters[2].turn: 'month'",
                "20: rosters[3].people: has to stand here, or groups",
                "21: rosters[3].department: 'nowhere' is not in this file",
                "23: rosters[3].anchor: datetime.datetime(2026, 1, 1, 0, 0)",
                "23: rosters[3].anchor: stands without groups",
            ],
            id="rosters",
        ),
        pytest.param(
            """
            [[people]]
            name = "sun"
            department = "covers"
            roles = ["inspector"]
            [[rosters]]
            department = "covers"
            hours = ["00:00-24:00"]
            people = ["sun"]
            """,
            ["8: rosters[0].people: 'sun' has no role that takes tasks"],
            id="somebody on duty who cannot take a task",
        ),
        pytest.param(
            """
            [[escalation]]
            priority = "high"
            steps = [{ what = "shout", fraction = 0.5 }, { what = "remind" }, { what = "remind", fraction = 20 }]
            [[escalation]]
            priority = "low"
            steps = [
                { what = "remind", fraction = 0.5, after_minutes = 5 },
                { what = "remind", after_minutes = 5 },
                { what = "remind", after_minutes = 5 },
            ]
            [[escalation]]
            priority = "low"
            steps = []
            [[escalation]]
            priority = "medium"
            """,
            [
                "3: escalation[0].steps[0].what: 'shout'",
                "3: escalation[0].steps[1]: has no time",
                "3: escalation[0].steps[2].fraction: 20",
                "6: escalation[1].steps: has one step twice",
                "6: escalation[1].steps[0]: has fraction and after_minutes",
                "12: escalation[2].priority: 'low' stands above already",
                "14: escalation[3].steps: is missing",
            ],
            id="escalation",
        ),
    ],
)
def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path, text: str, told: list[str]) -> None:
    found = mistakes(tmp_path, text)
    assert sorted(found) == sorted(each.replace("{folder}", str(tmp_path)) for each in told)


def test_a_geojson_file_that_is_none_says_why(tmp_path: Path) -> None:
    (tmp_path / "north.geojson").write_text('{"type": "Point", "coordinates": [1, 2]}')
    found = mistakes(tmp_path, '[[districts]]\nname = "north"\ngeojson = "north.geojson"\n')
    assert found == ["3: districts[2].geojson: holds a 'Point' that is no polygon"]
