"""What the figures of alarm health are counted from, piece by piece."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.health.count_log import Carried, Kind, LogCount
from cloud.health.definitions import Verdict, definitions, judge
from cloud.health.rates import INTERVAL_NS, Rates
from cloud.health.stale import StaleDays
from cloud.health.tally import Tally
from cloud.health.waits import Waits

S = 1_000_000_000
START = 1_760_000_400 * S // INTERVAL_NS * INTERVAL_NS
DAY = 86_400 * S


def rated(*seconds: float, end_s: float = 86_400) -> Rates:
    rates = Rates(START)
    for second in seconds:
        rates.add(START + round(second * S))
    rates.finish(START + round(end_s * S))
    return rates


def test_intervals_begin_at_whole_ten_minutes() -> None:
    rates = rated(*range(590, 601), *[600.0 + each for each in range(1, 12)])
    assert (rates.peak, rates.above_target, rates.above_many) == (12, 2, 1)


def test_ten_alarms_in_ten_minutes_are_a_flood_until_fewer_than_five_are() -> None:
    flood = rated(*range(0, 100, 10)).floods
    assert [(each.start_ns - START, each.alarms, each.peak) for each in flood] == [(90 * S, 10, 10)]
    # The sixth of them leaves the last ten minutes 600 s after it came.
    assert [each.end_ns for each in flood] == [START + 650 * S]


def test_nine_alarms_in_ten_minutes_are_none() -> None:
    assert rated(*range(9), 600, 601).floods == []


def test_a_flood_that_goes_on_at_the_end_has_no_end() -> None:
    [flood] = rated(*range(20), end_s=100).floods
    assert (flood.end_ns, flood.alarms) == (None, 20)


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=120))
def test_floods_are_those_that_a_slow_look_at_every_second_finds(seconds: list[int]) -> None:
    times = sorted(seconds)
    found, since = [], None
    for now in range(5000):
        recent = sum(now - 600 < each <= now for each in times)
        if since is None and recent >= 10:
            since = now
        elif since is not None and recent < 5:
            found.append((since, now))
            since = None
    rates = rated(*times, end_s=5000)
    assert [((each.start_ns - START) // S, ((each.end_ns or 0) - START) // S) for each in rates.floods] == found


def test_the_third_raise_within_a_minute_chatters() -> None:
    tally = Tally()
    for second in (0, 30, 60, 200, 260, 321):
        tally.add("a/r", START + second * S)
    tally.add("b/r", START)
    assert (tally.chattering(), tally.top(10)) == ([("a/r", 1)], [("a/r", 6), ("b/r", 1)])


def test_of_too_many_alarms_the_rarest_are_forgotten_and_that_is_said() -> None:
    tally = Tally(most=10)
    for number in range(9):
        tally.add(f"often-{number % 3}/r", START + number * DAY)
    for number in range(40):
        tally.add(f"once-{number}/r", START)
    assert not tally.exact
    assert tally.top(3) == [("often-0/r", 3), ("often-1/r", 3), ("often-2/r", 3)]


@given(st.lists(st.floats(1, 3e6), min_size=1, max_size=60), st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_a_quantile_is_right_within_one_percent(waits: list[float], part: float) -> None:
    held = Waits()
    for wait in waits:
        held.add(round(wait * S))
    exact = sorted(waits)[max(0, math.ceil(part * len(waits)) - 1)]
    assert held.quantile(part) == pytest.approx(exact, rel=0.01)


def test_of_no_waits_there_is_no_quantile() -> None:
    assert Waits().quantile(0.5) is None


def test_an_alarm_is_stale_a_day_after_its_raise_on_each_day_that_it_stands_there() -> None:
    days = StaleDays(START, START + 5 * DAY)
    last = days.add(START - DAY, START - DAY, START + DAY // 2)
    assert last == 0
    days.add(START - DAY, START + DAY // 2 + S, START + 2 * DAY, before=last)
    days.add(START + DAY, START + DAY, START + 2 * DAY)
    days.add(START + 2 * DAY, START + 2 * DAY, START + 9 * DAY)
    assert list(days.by_day) == [1, 1, 0, 1, 1]


def counted(*steps: tuple[int, str, Kind], carried: tuple[Carried, ...] = (), hidden: tuple[str, ...] = ()) -> LogCount:
    """After steps of (second, alarm, kind), a week long."""
    count = LogCount(START, START + 7 * DAY, dict.fromkeys(hidden, START - 2 * DAY), carried)
    for second, alarm, kind in steps:
        count.feed((alarm, int(kind), "high", START + second * S, ""))
    count.finish()
    return count


OWN, ONE, TWO = "c/r", "c/r/1", "c/r/2"


def test_a_raise_while_suppressed_is_no_alarm_and_given_back_while_unseen_it_is_one() -> None:
    count = counted((0, OWN, Kind.HIDDEN), (1, ONE, Kind.RAISED), (9, OWN, Kind.SHOWN), (39, ONE, Kind.ACKNOWLEDGED))
    assert (count.annunciated, count.suppressed, count.given_back, count.said_again) == (1, 1, 1, 0)
    assert count.waits.quantile(0.5) == pytest.approx(30, rel=0.01)


def test_what_came_and_went_while_suppressed_is_never_an_alarm() -> None:
    count = counted((0, OWN, Kind.HIDDEN), (1, ONE, Kind.RAISED), (5, ONE, Kind.ENDED), (9, OWN, Kind.SHOWN))
    assert (count.annunciated, count.suppressed, count.given_back, count.fleeting) == (0, 1, 0, 0)


def test_an_alarm_that_was_told_before_its_shelf_is_said_again_after_it() -> None:
    count = counted((0, ONE, Kind.RAISED), (1, OWN, Kind.HIDDEN), (9, OWN, Kind.SHOWN))
    assert (count.annunciated, count.suppressed, count.said_again) == (1, 0, 1)


def test_what_is_acknowledged_is_not_given_back() -> None:
    count = counted(
        (0, OWN, Kind.HIDDEN), (1, ONE, Kind.RAISED), (2, ONE, Kind.ACKNOWLEDGED), (9, OWN, Kind.SHOWN), (10, ONE, Kind.AGAIN)
    )
    assert (count.annunciated, count.given_back, count.said_again, count.waits.count) == (0, 0, 1, 0)


def test_fleeting_is_what_returned_within_a_minute_before_anybody_saw_it() -> None:
    seen = [(0, ONE, Kind.RAISED), (5, ONE, Kind.ACKNOWLEDGED), (60, ONE, Kind.ENDED)]
    unseen = [(100, TWO, Kind.RAISED), (160, TWO, Kind.ENDED)]
    slow = [(300, "c/r/3", Kind.RAISED), (361, "c/r/3", Kind.ENDED)]
    assert counted(*seen, *unseen, *slow).fleeting == 1


def test_an_alarm_is_acknowledged_also_after_it_returned_and_only_once() -> None:
    count = counted((0, ONE, Kind.RAISED), (100, ONE, Kind.ENDED), (500, ONE, Kind.ACKNOWLEDGED), (501, ONE, Kind.ACKNOWLEDGED))
    assert (count.waits.count, count.acknowledged_in_time, count.could_be_acknowledged) == (1, 1, 1)


def test_an_alarm_of_the_last_ten_minutes_had_no_time_to_be_acknowledged() -> None:
    last = 7 * 86_400 - 60
    count = counted((last, ONE, Kind.RAISED), (last + 5, ONE, Kind.ACKNOWLEDGED))
    assert (count.annunciated, count.could_be_acknowledged, count.acknowledged_in_time, count.waits.count) == (1, 0, 0, 1)


def test_time_while_suppressed_does_not_make_an_alarm_stale() -> None:
    day = 86_400
    count = counted((0, ONE, Kind.RAISED), (day // 2, OWN, Kind.HIDDEN), (3 * day, OWN, Kind.SHOWN), (4 * day, ONE, Kind.ENDED))
    assert list(count.stale.by_day) == [0, 0, 0, 1, 0, 0, 0]
    assert count.still_stale == []


def test_what_was_active_before_is_stale_and_no_new_alarm() -> None:
    carried = (Carried(ONE, "high", START - 2 * DAY, acknowledged=False),)
    count = counted((60, ONE, Kind.ACKNOWLEDGED), carried=carried)
    assert (count.annunciated, count.waits.count, list(count.stale.by_day)) == (0, 0, [1] * 7)
    assert count.still_stale == [(OWN, START - 2 * DAY)]


@pytest.mark.parametrize(
    ("raised_before_days", "wanted"),
    [pytest.param(1, (1, 0), id="raised under its shelf it is new"), pytest.param(3, (0, 1), id="told before it is said again")],
)
def test_what_was_suppressed_at_the_beginning_is_given_back(raised_before_days: int, wanted: tuple[int, int]) -> None:
    carried = (Carried(ONE, "high", START - raised_before_days * DAY, acknowledged=False),)
    count = counted((60, OWN, Kind.SHOWN), carried=carried, hidden=(OWN,))
    assert (count.annunciated, count.said_again) == wanted


def test_another_desks_raises_are_not_counted_and_neither_is_what_becomes_of_them() -> None:
    count = LogCount(START, START + DAY, belongs=lambda desk: desk == "ours")
    for alarm, desk in ((ONE, "ours"), ("d/r/1", "theirs")):
        count.feed((alarm, int(Kind.RAISED), "low", START + S, desk))
        count.feed((alarm, int(Kind.ENDED), "low", START + 2 * S, desk))
    count.finish()
    assert (count.annunciated, count.fleeting, count.mix["low"]) == (1, 1, 1)


def test_memory_does_not_grow_with_alarms_that_nobody_ever_acknowledges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.health.count_log._MOST_WAITING", 3)
    count = LogCount(START, START + DAY)
    for number in range(10):
        count.feed((f"c/r/{number}", int(Kind.RAISED), "low", START + number * S, ""))
        count.feed((f"c/r/{number}", int(Kind.ENDED), "low", START + number * S, ""))
    assert (count.annunciated, count.forgotten) == (10, 7)


@pytest.mark.parametrize(
    ("figure", "value", "verdict"),
    [
        ("alarms_per_day", 150, Verdict.MET),
        ("alarms_per_day", 200, Verdict.ABOVE_TARGET),
        ("alarms_per_day", 301, Verdict.BEYOND),
        ("low_pct", 81, Verdict.MET),
        ("low_pct", 40, Verdict.BEYOND),
        ("floods", 3, Verdict.NO_TARGET),
        ("chattering", None, Verdict.NO_DATA),
    ],
)
def test_a_figure_is_held_against_its_target(figure: str, value: float | None, verdict: Verdict) -> None:
    assert judge(definitions()[figure], value) is verdict


def test_every_figure_says_what_it_means_in_both_languages() -> None:
    assert len(definitions()) == 21
    for each in definitions().values():
        assert all((each.title.zh, each.title.en, each.means.zh, each.means.en)), each.name
        assert each.id == f"{each.name}/{each.version}"


def test_the_page_explains_every_figure_as_the_code_has_it() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "alarm-health.md").read_text("utf-8")
    for each in definitions().values():
        words = "" if each.target is None else each.target.words
        assert f"| {each.title.en} ({each.title.zh}) | `{each.id}` | {each.means.en} | {words} |" in page
