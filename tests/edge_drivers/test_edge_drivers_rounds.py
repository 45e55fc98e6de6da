"""Whom a line asks next, with time as a number."""

import itertools

import pytest

from edge_agent.drivers.rounds import Rounds


def walk(rounds: Rounds, seconds: float, cost_s: dict[int, float]) -> dict[int, list[float]]:
    """Live through `seconds` of a line on which a round takes 0.1 s, or `cost_s` where the unit is dead."""
    asked: dict[int, list[float]] = {}
    now_s = 0.0
    while True:
        due_s, unit = rounds.first()
        began_s = max(now_s, due_s)
        if began_s > seconds:
            return asked
        now_s = began_s + cost_s.get(unit, 0.1)
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
