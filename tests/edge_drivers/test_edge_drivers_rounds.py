"""Whom a line asks next, with time as a number."""

import itertools

import pytest

from edge_agent.drivers.rounds import Rounds


def walk(rounds: Rounds, seconds: float, cost_s: dict[int, float], round_s: float = 0.1) -> dict[int, list[float]]:
    """Live through `seconds` of a line on which a round takes `round_s`, or `cost_s` where the unit is dead."""
    asked: dict[int, list[float]] = {}
    now_s = 0.0
    while True:
        due_s, unit = rounds.first(now_s)
        began_s = max(now_s, due_s)
        if began_s > seconds:
            return asked
        now_s = began_s + cost_s.get(unit, round_s)
        asked.setdefault(unit, []).append(began_s)
        rounds.done(began_s, now_s, answered=unit not in cost_s)


def test_equal_periods_are_spread_over_the_line_and_kept() -> None:
    asked = walk(Rounds([4.0] * 4, 0.0), 20.0, {})
    assert asked == {unit: pytest.approx([unit + 4.0 * n for n in range(len(asked[unit]))]) for unit in range(4)}


def test_the_first_round_of_a_slow_line_takes_a_second_a_unit() -> None:
    asked = walk(Rounds([60.0, 60.0, 60.0], 0.0), 5.0, {})
    assert asked == {0: [0.0], 1: [1.0], 2: [2.0]}


def test_an_overloaded_line_leaves_rounds_out_and_asks_everybody_as_often() -> None:
    asked = walk(Rounds([0.2] * 5, 0.0), 10.0, {})
    counts = [len(times) for times in asked.values()]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == pytest.approx(100, abs=2), "no time is lost"


def test_dead_units_cost_a_line_ever_less() -> None:
    asked = walk(Rounds([1.0] * 10, 0.0), 600.0, dict.fromkeys(range(8), 1.5))
    late = sum(start > 60 for unit in range(8) for start in asked[unit])
    assert late * 1.5 / 540 < 0.1, "under a tenth of the line after the first minute"
    assert len(asked[9]) > 500


def test_a_dead_unit_is_asked_at_least_every_five_minutes() -> None:
    times = walk(Rounds([1.0], 0.0), 3600.0, {0: 1.0})[0]
    assert max(b - a for a, b in itertools.pairwise(times)) <= 301.0


def test_a_period_longer_than_any_pause_is_kept_by_a_dead_unit_too() -> None:
    times = walk(Rounds([900.0], 0.0), 9000.0, {0: 1.0})[0]
    assert times[1] - times[0] == pytest.approx(900.0)
    assert times[-1] - times[-2] == pytest.approx(901.0)


@pytest.mark.parametrize("dead", [1, 4, 16], ids="{} dead of 17".format)
@pytest.mark.parametrize("limit_s", [0.2, 1.5], ids="{} s in vain".format)
def test_all_dead_units_together_cost_a_line_less_than_a_twentieth(dead: int, limit_s: float) -> None:
    asked = walk(Rounds([5.0] * 17, 0.0), 7200.0, dict.fromkeys(range(dead), limit_s))
    vain = [start for unit in range(dead) for start in asked[unit] if start > 120.0]
    # The longest pause bounds it from below: sixteen units of 1.5 s every 300 s are 8 %.
    allowed = max(0.05, dead * limit_s / 300.0)
    assert len(vain) * limit_s / 7080.0 <= allowed
    assert len(asked[16]) > 0.97 * 7200 / 5.0, "the living unit keeps its rhythm"


def test_short_periods_go_before_long_ones_where_the_line_is_full_and_none_waits_for_ever() -> None:
    periods_s = [1.0, 1.0, *[30.0] * 10]
    asked = walk(Rounds(periods_s, 0.0), 300.0, {}, round_s=0.45)
    assert min(len(asked[0]), len(asked[1])) > 0.6 * 300, "the fast ones take most of it"
    slow = [len(asked[unit]) for unit in range(2, 12)]
    assert min(slow) >= 300 / 30 / 2, "the slow ones are late, not left out"


def test_one_that_comes_back_brings_the_others_of_its_cable_a_question_soon() -> None:
    rounds, now_s = Rounds([5.0] * 3, 0.0), 0.0
    dead = {0, 1}
    last: dict[int, float] = {}
    while now_s < 3000.0:
        due_s, unit = rounds.first(now_s)
        began_s = max(now_s, due_s)
        if began_s > 2000.0:
            dead.discard(0)
        now_s = began_s + (1.0 if unit in dead else 0.1)
        rounds.done(began_s, now_s, answered=unit not in dead)
        if unit == 0 and 0 not in dead:
            break
        last[unit] = began_s
    soon_s = min(due for due, unit in rounds._waiting if unit == 1)
    assert soon_s - now_s <= 21.0


def test_lines_of_one_period_speak_each_in_its_own_phase_after_a_first_round_at_once() -> None:
    starts = [walk(Rounds([10.0], 0.0, phase), 45.0, {})[0] for phase in (0.25, 0.5, 1.0)]
    assert [times[0] for times in starts] == [0.0, 0.0, 0.0]
    assert [times[1:] for times in starts] == [[2.5, 12.5, 22.5, 32.5, 42.5], [5.0, 15.0, 25.0, 35.0, 45.0], [10, 20, 30, 40]]
