"""Civil times as devices write them."""

import pytest

from firmware_bridge.civil import civil_time, time_of_day
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        ("241123", "2024-11-23"),
        ("24112310", "2024-11-23T10:00"),
        ("2411231030", "2024-11-23T10:30"),
        ("241123103015", "2024-11-23T10:30:15"),
        ("240229", "2024-02-29"),
    ],
)
def test_as_many_digits_as_there_are_make_a_time(digits: str, said: str) -> None:
    assert civil_time(digits) == said


@pytest.mark.parametrize(
    ("digits", "reason"),
    [
        pytest.param("000000", Reason.NO_VALUE, id="a clock that was never set"),
        pytest.param("230229", Reason.IMPLAUSIBLE_TIME, id="no leap year"),
        pytest.param("241123240000", Reason.IMPLAUSIBLE_TIME, id="hour 24"),
        pytest.param("001123", None, id="the year 2000"),
    ],
)
def test_what_no_calendar_has_is_refused(digits: str, reason: Reason | None) -> None:
    if reason is None:
        assert civil_time(digits) == "2000-11-23"
        return
    with pytest.raises(ParseError) as refusal:
        civil_time(digits)
    assert refusal.value.reason is reason


def test_midnight_is_a_time() -> None:
    assert time_of_day("000000") == "00:00:00"
