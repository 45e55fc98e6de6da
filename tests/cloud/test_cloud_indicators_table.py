"""The table of indicators is whole, says what it means in both languages, and its page is written from it."""

import re
from pathlib import Path

import pytest

from cloud.indicators.describe import indicator_table, level_table, rule_list
from cloud.indicators.sentences import RULES, SENTENCES
from cloud.indicators.table import INDICATORS
from cloud.indicators.texts import Language, texts
from cloud.indicators.words import BY_WORDS, CHARGE_WORDS, COUNT_WORDS, LEVELS, SOURCE_WORDS, By, Charge, Count, Kind, Source

PAGE = Path(__file__).resolve().parents[2] / "docs" / "indicators.md"
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize(
    "title",
    [
        "有效上报率", "按时立案率", "准确立案率", "准确派遣率", "按期派遣率", "处置率", "按期处置率", "结案率", "按期结案率",
        "超期结案率", "未结案率", "按期核实率", "按期核查率", "准确受理率", "按期受理率", "返工率", "立案率", "派遣率", "核查率",
        "公众举报率", "超期处置率", "满意率",
    ],
)  # fmt: skip
def test_every_indicator_of_the_standard_as_far_as_it_is_public_is_there(title: str) -> None:
    assert [row.title.zh for row in INDICATORS].count(title) == 1


@pytest.mark.parametrize("title", ["立案率", "派遣率", "核查率", "公众举报率", "超期处置率", "满意率"])
def test_what_is_fixed_nowhere_is_our_own_and_says_so(title: str) -> None:
    [row] = [row for row in INDICATORS if row.title.zh == title]
    assert (row.source, row.version) == (Source.OWN, 1)


def test_codes_and_titles_are_there_once() -> None:
    for names in ([row.code for row in INDICATORS], [row.title.zh for row in INDICATORS], [row.title.en for row in INDICATORS]):
        assert len(set(names)) == len(names)
    assert set(SENTENCES) == {row.code for row in INDICATORS}


def test_a_rate_and_a_mean_have_a_denominator_and_a_number_has_none() -> None:
    for row in INDICATORS:
        assert (row.denominator is None) == (row.kind is Kind.NUMBER), row.code
        assert row.numerator is not row.denominator


def test_every_count_is_used_and_every_word_is_said_in_both_languages() -> None:
    used = {row.numerator for row in INDICATORS} | {row.denominator for row in INDICATORS}
    assert used == {*Count, None}
    for words, enum in ((COUNT_WORDS, Count), (CHARGE_WORDS, Charge), (SOURCE_WORDS, Source), (BY_WORDS, By)):
        assert set(words) == set(enum)  # type: ignore[call-overload] # four enums
    for text in (*COUNT_WORDS.values(), *CHARGE_WORDS.values(), *SENTENCES.values(), *RULES, *(row.title for row in INDICATORS)):
        assert CHINESE.search(text.zh)
        assert text.en
        assert not CHINESE.search(text.en)


def test_the_catalogue_has_the_same_headings_in_both_languages() -> None:
    zh, en = texts(Language.ZH), texts(Language.EN)
    assert zh.keys() == en.keys()
    for key in zh:
        assert re.findall(r"{\w+}", zh[key]) == re.findall(r"{\w+}", en[key]), key


def test_the_city_and_its_districts_are_shown_everything() -> None:
    assert set(LEVELS) == set(Charge)
    assert all({By.CITY, By.DISTRICT} <= levels for levels in LEVELS.values())


@pytest.mark.parametrize(("mark", "part"), [("indicators", indicator_table()), ("levels", level_table()), ("rules", rule_list())])
def test_the_page_holds_what_the_code_says(mark: str, part: str) -> None:
    page = PAGE.read_text("utf-8")
    assert f"<!-- {mark} -->\n{part}\n<!-- end of {mark} -->" in page, "run tools/write_indicators.py"
