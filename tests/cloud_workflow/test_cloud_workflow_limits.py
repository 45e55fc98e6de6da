"""Every stage that has a clock has a limit in every matter, and the clocks can count it."""

import datetime as dt

import pytest
from cloud_workflow_deeds import T0

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.clocks.clock import amount_ns, deadline
from cloud.workflow.states import Clock
from device_profiles.lint_matters import built_in_tables
from device_profiles.matter import Limit, Limits, Matter
from device_profiles.read_matters import load_table, load_tables

LINES = [matter for path in built_in_tables() for matter in load_table(path).matters.values()]


@pytest.fixture(scope="module")
def calendar() -> WorkCalendar:
    return WorkCalendar(chinese_rules())


def test_a_matter_has_a_limit_for_each_clock_of_the_workflow() -> None:
    assert set(Limits.__struct_fields__) == {clock.value for clock in Clock}


@pytest.mark.parametrize("matter", LINES, ids=lambda matter: f"{matter.table}.{matter.code}")
def test_the_clocks_of_the_city_can_count_every_limit(matter: Matter, calendar: WorkCalendar) -> None:
    for clock in Clock:
        limit: Limit = getattr(matter.limits, clock)
        end = deadline(T0, amount_ns(limit.count, limit.clock, calendar), limit.clock, calendar)
        assert end is not None
        assert T0 < end < T0 + dt.timedelta(days=30) // dt.timedelta(microseconds=1) * 1000


def test_the_tables_of_all_cities_load_together() -> None:
    assert len(load_tables(built_in_tables()[1:])) >= 1
