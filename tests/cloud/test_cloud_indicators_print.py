"""Numbers on paper: rounded once, in either language, safe to open, and never without what they mean."""

import csv
import datetime as dt
import html
import io
import re
from fractions import Fraction
from html.parser import HTMLParser

import pytest
from cloud_indicators_histories import DAY, HOUR, NOVEMBER, OCTOBER, Story, closed, confirmed, dispatched, reported
from hypothesis import given
from hypothesis import strategies as st

from cloud.clocks.civil import check_zone
from cloud.indicators.csv_file import COLUMNS, csv_file
from cloud.indicators.figures import group_title, instant, rounded, shown
from cloud.indicators.page import page
from cloud.indicators.period import days, month, week
from cloud.indicators.sentences import RULES
from cloud.indicators.table import INDICATORS
from cloud.indicators.tally import Line, Report, tally
from cloud.indicators.texts import Language, in_language, texts
from cloud.indicators.words import COUNT_WORDS, By
from cloud.workflow.states import Role, Step

CHINA = check_zone("Asia/Shanghai")
MONTH = month("2026-10", CHINA)
MADE = NOVEMBER + 8 * HOUR
BY_CODE = {row.code: row for row in INDICATORS}


def reporting(by: By = By.DISTRICT, made: int = MADE, **row: object) -> Report:
    stories: list[Story] = [
        closed(**row),
        closed(5 * HOUR, **row),
        dispatched(),
        confirmed(district="west"),
        reported(district=""),
    ]
    return tally([told.history() for told in stories], MONTH, by, made)


def rows(report: Report, language: Language = Language.EN) -> list[dict[str, str]]:
    text = csv_file(report, language).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), fieldnames=COLUMNS))


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(Fraction(1, 8), 2, "0.13"), (Fraction(2, 3) * 100, 2, "66.67"), (Fraction(1), 2, "1.00"), (Fraction(5, 2), 0, "3")],
)
def test_a_number_is_rounded_half_up(value: Fraction, places: int, text: str) -> None:
    assert rounded(value, places) == text


@given(st.fractions(min_value=0, max_value=1000), st.integers(0, 6))
def test_a_rounded_number_is_the_nearest_one(value: Fraction, places: int) -> None:
    text = rounded(value, places)
    assert abs(Fraction(text) - value) <= Fraction(1, 2 * 10**places)
    assert len(text.partition(".")[2]) == places


@pytest.mark.parametrize(
    ("code", "value", "zh", "en"),
    [
        ("handling_rate", Fraction(11, 12), "91.67 %", "91.67 %"),
        ("handling_rate", None, "无数据", "no data"),
        ("mean_handling_time", Fraction(185 * HOUR, 60), "3 小时 05 分", "3 h 05 min"),
        ("overdue_number", Fraction(17), "17", "17"),
    ],
)
def test_a_value_is_printed_with_its_unit(code: str, value: Fraction | None, zh: str, en: str) -> None:
    said = shown(Line("", BY_CODE[code], 0, 0, value))
    assert (said.zh, said.en) == (zh, en)


def test_a_moment_is_printed_with_its_zone() -> None:
    assert instant(OCTOBER, CHINA) == "2026-10-01 00:00 +08:00 (Asia/Shanghai)"


def test_nobody_and_the_system_have_names() -> None:
    assert group_title(By.PERSON, "system").zh == "系统"
    assert group_title(By.DEPARTMENT, "").en == "no department"
    assert group_title(By.DISTRICT, "system").en == "system"


# Periods


def test_a_month_begins_and_ends_at_midnight_of_its_zone() -> None:
    assert (MONTH.from_ns, MONTH.until_ns) == (OCTOBER, NOVEMBER)
    assert month("2026-12", CHINA).until_ns == month("2027-01", CHINA).from_ns


def test_a_week_is_from_monday_to_sunday() -> None:
    held = week("2026-W43", CHINA)
    assert instant(held.from_ns, CHINA).startswith("2026-10-19 00:00")
    assert held.until_ns - held.from_ns == 7 * DAY


def test_a_month_in_which_clocks_change_is_an_hour_longer() -> None:
    held = month("2026-10", check_zone("Europe/Berlin"))
    assert held.until_ns - held.from_ns == 31 * DAY + HOUR


@pytest.mark.parametrize("name", ["2026-13", "2026-1", "october", "1969-12", "2101-01", "", "2026-10-01"])
def test_what_is_no_month_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="want"):
        month(name, CHINA)


@pytest.mark.parametrize("name", ["2026-W54", "2026-43", "W43", "2026-W00"])
def test_what_is_no_week_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="want"):
        week(name, CHINA)


def test_a_period_without_a_day_is_refused() -> None:
    with pytest.raises(ValueError, match="want its end after its beginning"):
        days("none", dt.date(2026, 10, 2), dt.date(2026, 10, 2), CHINA)


# CSV


def test_a_csv_file_opens_as_chinese_in_a_spreadsheet() -> None:
    content = csv_file(reporting(), Language.ZH)
    assert content.startswith(b"\xef\xbb\xbf")
    lines = content.decode("utf-8-sig").split("\r\n")
    assert lines[0].split(",") == [texts(Language.ZH)[key] for key in COLUMNS]
    assert len(set(lines[0].split(","))) == len(COLUMNS)
    assert "\n" not in "".join(lines)


def test_every_number_of_the_csv_file_stands_with_what_it_is_made_of() -> None:
    report = reporting()
    found = rows(report)[1:]
    assert len(found) == len(INDICATORS) * (1 + len(report.groups))
    for row in found:
        indicator = BY_CODE[row["code"]]
        assert row["definition"] == indicator.sentence.en
        assert row["numerator_name"] == COUNT_WORDS[indicator.numerator].en
        assert row["version"] == "1"
        assert row["value"]
    [late] = [row for row in found if (row["level"], row["code"]) == ("city", "late_handling_rate")]
    assert (late["value"], late["unit"], late["numerator"], late["denominator"]) == ("25.00", "%", "1", "4")
    [mean] = [row for row in found if (row["level"], row["code"]) == ("city", "mean_handling_time")]
    assert (mean["value"], mean["unit"], mean["numerator"], mean["denominator"]) == ("2.33", "h", "7.00", "3")
    [none] = [row for row in found if (row["level"], row["code"]) == ("city", "satisfaction_rate")]
    assert (none["value"], none["denominator"]) == ("no data", "0")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1"])
def test_a_name_that_a_spreadsheet_would_run_is_only_text(name: str) -> None:
    groups = {row["group"] for row in rows(reporting(district=name))}
    assert f"'{name}" in groups
    assert name not in groups


# The page


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def seen(report: Report, language: Language = Language.ZH) -> Seen:
    parser = Seen()
    parser.feed(page(report, language))
    assert parser.open == []
    return parser


@pytest.mark.parametrize("by", list(By))
@pytest.mark.parametrize("language", list(Language))
def test_every_number_of_the_page_stands_with_what_it_is_made_of(by: By, language: Language) -> None:
    report = reporting(by)
    text = seen(report, language).text
    for line in report.of_city():
        row = line.indicator
        assert in_language(row.title, language) in text
        assert f"{in_language(row.sentence, language)} [" in text
        assert in_language(shown(line), language) in text
        assert in_language(COUNT_WORDS[row.numerator], language) in text
    for rule in RULES:
        assert in_language(rule, language) in text
    assert "2026-11-01 08:00 +08:00 (Asia/Shanghai)" in text
    assert "$" not in text


def test_the_page_is_for_paper_and_runs_nothing() -> None:
    content = page(reporting(By.PERSON), Language.ZH)
    found = seen(reporting(By.PERSON))
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in {"href", "src"}]
    assert "@media print" in content
    assert "size: A4" in content
    assert 'lang="zh-CN"' in content


def test_a_name_that_is_markup_is_shown_as_it_is_written() -> None:
    name = '<script>alert("1")</script>&amp;'
    content = page(reporting(district=name), Language.EN)
    assert "<script" not in content
    assert html.escape(name) in content
    assert name in seen(reporting(district=name), Language.EN).text


def test_a_period_that_is_not_over_says_so() -> None:
    partial, future = texts(Language.EN)["partial"], texts(Language.EN)["future"]
    assert partial in seen(reporting(made=NOVEMBER - 1), Language.EN).text
    assert future in seen(reporting(made=OCTOBER - DAY), Language.EN).text
    over = seen(reporting(made=NOVEMBER), Language.EN).text
    assert partial not in over
    assert future not in over


def test_a_department_that_has_nothing_to_show_has_no_data_and_a_person_no_line() -> None:
    told = dispatched().then(Step.RETURN, HOUR, Role.DEPARTMENT).then(Step.DISPATCH, department="lights")
    by_department = tally([told.history()], MONTH, By.DEPARTMENT, MADE)
    [roads] = [line for line in by_department.of_groups() if (line.group, line.indicator.code) == ("roads", "handling_rate")]
    assert roads.value is None
    by_person = tally([told.history()], MONTH, By.PERSON, MADE)
    assert all(line.numerator or line.denominator for line in by_person.of_groups())


def test_bars_are_as_long_as_the_share_they_stand_for() -> None:
    widths = re.findall(r'class="bar"><i style="width:([\d.]+)%"', page(reporting(), Language.ZH))
    assert widths
    assert all(0 <= float(width) <= 100 for width in widths)
