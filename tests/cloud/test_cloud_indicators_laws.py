"""Whatever happens to cases, the one pass over them gives the numbers that asking each case by itself gives."""

import random

import pytest
from cloud_indicators_histories import DAY, NOVEMBER, OCTOBER, many, steps_of
from cloud_indicators_oracle import Oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.clocks.civil import check_zone
from cloud.indicators.history import History
from cloud.indicators.period import Period, month
from cloud.indicators.rounds import walk
from cloud.indicators.table import INDICATORS
from cloud.indicators.tally import Line, tally
from cloud.indicators.words import By, Count
from cloud.workflow.states import Step

CHINA = check_zone("Asia/Shanghai")
MONTH = month("2026-10", CHINA)

a_chance = st.builds(random.Random, st.integers(0, 2**32 - 1))
a_made = st.sampled_from([OCTOBER - DAY, OCTOBER + 9 * DAY, NOVEMBER, NOVEMBER + 30 * DAY])


def told(lines: list[Line]) -> dict[tuple[str, str], tuple[int, int | None]]:
    return {(line.group, line.indicator.code): (line.numerator, line.denominator) for line in lines}


def oracle(cases: list[History], made: int, **who: str) -> dict[str, tuple[int, int | None]]:
    return Oracle(cases, MONTH.from_ns, MONTH.until_ns, made, **who).numbers()


@settings(max_examples=25)
@given(chance=a_chance, made=a_made, count=st.integers(0, 12))
def test_the_numbers_of_the_city_are_those_of_the_oracle(chance: random.Random, made: int, count: int) -> None:
    cases = [each.history() for each in many(chance, count)]
    found = told(list(tally(cases, MONTH, By.CITY, made).of_city()))
    assert found == {("", code): numbers for code, numbers in oracle(cases, made).items()}


@settings(max_examples=15)
@given(chance=a_chance, made=a_made)
@pytest.mark.parametrize("by", [By.DISTRICT, By.DEPARTMENT, By.PERSON])
def test_the_numbers_of_each_group_are_those_of_the_oracle(by: By, chance: random.Random, made: int) -> None:
    cases = [each.history() for each in many(chance, 8)]
    report = tally(cases, MONTH, by, made)
    found = told(list(report.of_groups()))
    shown = {row.code for row in INDICATORS if row.is_shown(by)}
    wanted = {}
    for group in report.groups:
        inside = [case for case in cases if by is not By.DISTRICT or case.district == group]
        who = {} if by is By.DISTRICT else {by.value: group}
        wanted |= {(group, code): numbers for code, numbers in oracle(inside, made, **who).items() if code in shown}
    if by is By.PERSON:
        wanted = {key: numbers for key, numbers in wanted.items() if any(numbers)}
    assert found == wanted
    assert told(list(report.of_city())) == {("", code): numbers for code, numbers in oracle(cases, made).items()}


@settings(max_examples=15)
@given(chance=a_chance)
def test_districts_add_up_to_the_city_in_everything_but_hot_spots(chance: random.Random) -> None:
    report = tally([each.history() for each in many(chance, 8)], MONTH, By.DISTRICT, NOVEMBER)
    for count in set(Count) - {Count.HOT}:
        assert sum(counts.get(count, 0) for counts in report.groups.values()) == report.city.get(count, 0)


@settings(max_examples=15)
@given(chance=a_chance, made=a_made)
def test_no_share_is_above_one_and_the_order_of_cases_does_not_matter(chance: random.Random, made: int) -> None:
    cases = [each.history() for each in many(chance, 8)]
    report = tally(cases, MONTH, By.PERSON, made)
    for line in (*report.of_city(), *report.of_groups()):
        if line.indicator.denominator is not None and line.indicator.kind == "rate":
            assert line.value is None if line.denominator == 0 else 0 <= line.value <= 1  # type: ignore[operator]
    chance.shuffle(cases)
    assert tally(cases, MONTH, By.PERSON, made) == report


@settings(max_examples=15)
@given(chance=a_chance, at=st.integers(1, 30))
def test_what_happened_in_two_parts_of_a_month_is_what_happened_in_the_month(chance: random.Random, at: int) -> None:
    cases = [each.history() for each in many(chance, 8)]
    middle = OCTOBER + at * DAY
    spans = ((OCTOBER, middle), (middle, NOVEMBER))
    parts = [Period(name="part", from_ns=begin, until_ns=end, zone=CHINA) for begin, end in spans]
    first, second = (tally(cases, part, By.CITY, NOVEMBER + DAY).city for part in parts)
    whole = tally(cases, MONTH, By.CITY, NOVEMBER + DAY).city
    for count in (Count.REPORTED, Count.JUDGED, Count.CLOSURES, Count.APPEALS_GRANTED, Count.JOINED, Count.ACCEPT_ENDED):
        assert first.get(count, 0) + second.get(count, 0) == whole.get(count, 0)


def test_the_stories_take_every_step_and_make_every_number() -> None:
    stories = many(random.Random(3), 700)  # noqa: S311 - repeatable stories, no secret
    assert steps_of(stories) == {step.value for step in Step} - {"supervise"}
    counts = tally([told.history() for told in stories], MONTH, By.CITY, NOVEMBER).city
    assert {count for count in Count if not counts.get(count)} == {Count.ASKED, Count.SATISFIED}


def test_what_the_clocks_rows_say_of_lateness_and_of_whose_time_it_was_is_what_the_steps_say() -> None:
    compared = 0
    for told in many(random.Random(5), 200):  # noqa: S311 - repeatable stories, no secret
        rounds = walk(told.history(), NOVEMBER + 400 * DAY).rounds
        for clock in {row["clock"] for row in told.clocks}:
            rows = [row for row in told.clocks if row["clock"] == clock]
            mine = [each for each in rounds if each.clock == clock]
            assert len(rows) == len(mine)
            for row, each in zip(rows, mine, strict=True):
                assert (each.start_ns, each.end_ns) == (row["start_ns"], row["stopped_ns"])
                if each.end is not None:
                    assert each.person == row["charged"]
                if each.is_done:
                    compared += 1
                    assert each.is_late == row["late"]
                    assert each.running_ns == each.end_ns - each.start_ns - sum(end - start for start, end in row["holds"])
    assert compared > 200
