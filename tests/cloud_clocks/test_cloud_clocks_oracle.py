"""The clocks against a count of every minute, around holidays, swapped workdays, year ends and clock changes."""

from typing import NamedTuple

import pytest
from cloud_clocks_oracle import (
    DAY,
    MINUTE,
    SETTINGS,
    WINDOW_MINUTES,
    WINDOWS,
    Setting,
    Window,
    calendar_of,
    slow_deadline,
    slow_spent,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.clocks.clock import Hold, amount_ns, deadline, left, spent


class Story(NamedTuple):
    """A case: when it starts, its limit in minutes (or whole days), what holds it, and when somebody looks."""

    start: int
    limit: int
    days: int
    holds: list[tuple[int, int | None]]
    now: int


_HOLD = st.tuples(st.integers(0, 20 * 1440), st.one_of(st.integers(0, 9 * 1440), st.integers(0, 300), st.none()))
_STORY = st.builds(
    Story,
    start=st.integers(0, 14 * 1440),
    limit=st.integers(1, 40 * 60),
    days=st.integers(1, 5),
    holds=st.lists(_HOLD, max_size=3),
    now=st.integers(0, WINDOW_MINUTES - 2 * 1440),
)
_each_clock = pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s.kind}-{s.working_day}-{s.calendar_day}")


def _case(story: Story, window: Window, setting: Setting) -> tuple[int, int, list[Hold]]:
    def at(minute: int) -> int:
        return window.start_ns + minute * MINUTE

    limit = story.days * DAY if setting.whole_days else story.limit * MINUTE
    # At most one hold of many days, so that the limit ends within the window.
    lengths = [end if index == 0 or end is None else end % 1440 for index, (_, end) in enumerate(story.holds)]
    holds = [
        Hold(at(story.start + begin - 1440), None if length is None else at(story.start + begin - 1440 + length))
        for (begin, _), length in zip(story.holds, lengths, strict=True)
    ]
    return at(story.start), limit, holds


@_each_clock
@settings(max_examples=30)
@given(story=_STORY, window=st.sampled_from(WINDOWS))
def test_a_deadline_is_the_minute_in_which_a_slow_count_reaches_the_limit(setting: Setting, story: Story, window: Window) -> None:
    start, limit, holds = _case(story, window, setting)
    assert deadline(start, limit, setting.kind, calendar_of(window, setting), holds) == slow_deadline(
        window, setting, start, limit, holds
    )


@_each_clock
@settings(max_examples=30)
@given(story=_STORY, window=st.sampled_from(WINDOWS))
def test_what_is_spent_is_the_sum_of_every_minute_that_counts(setting: Setting, story: Story, window: Window) -> None:
    start, limit, holds = _case(story, window, setting)
    calendar, now = calendar_of(window, setting), window.start_ns + story.now * MINUTE
    slow = slow_spent(window, setting, start, now, holds)
    assert spent(start, now, setting.kind, calendar, holds) == slow
    assert left(start, limit, now, setting.kind, calendar, holds=holds) == limit - slow


@_each_clock
@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: w.name)
def test_every_hour_of_the_first_fortnight_starts_a_day_that_ends_right(setting: Setting, window: Window) -> None:
    calendar = calendar_of(window, setting)
    whole = amount_ns(2, setting.kind, calendar)
    for hour in range(0, 14 * 24, 17):
        start = window.start_ns + hour * 60 * MINUTE
        assert deadline(start, whole, setting.kind, calendar) == slow_deadline(window, setting, start, whole, [])
