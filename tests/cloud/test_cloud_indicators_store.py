"""What is in the store is counted: all that touches the period, nothing twice, whatever the size of a page."""

import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cloud_indicators_histories import DAY, NOVEMBER, OCTOBER, Story, closed, many, reported, store
from sqlalchemy import event, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.clocks.civil import check_zone
from cloud.indicators.period import month
from cloud.indicators.reading import histories, report
from cloud.indicators.tally import tally
from cloud.indicators.words import By
from cloud.relational.engine import make_engine, reading, writing
from cloud.relational.tables import cases
from cloud.workflow.states import Step

CHINA = check_zone("Asia/Shanghai")
MONTH = month("2026-10", CHINA)
MADE = NOVEMBER + DAY


async def stored(engine: AsyncEngine, *stories: Story) -> None:
    async with writing(engine) as conn:
        await store(conn, stories)


async def test_the_store_gives_the_numbers_of_the_histories_in_pages_of_any_size(cloud_engine: AsyncEngine) -> None:
    stories = many(random.Random(1), 40)  # noqa: S311 - repeatable stories, no secret
    for told in stories:
        told.row["before_ns"] = None  # the store knows better
    await stored(cloud_engine, *stories)
    for by in By:
        wanted = tally([told.history() for told in stories], MONTH, by, MADE)
        for page in (1, 7, 40, 500):
            assert await report(cloud_engine, MONTH, by, MADE, page=page) == wanted


async def test_a_case_that_was_over_before_the_period_is_read_only_for_a_limit_or_a_step_in_it(cloud_engine: AsyncEngine) -> None:
    over = closed(at=OCTOBER - 9 * DAY)
    owed = closed(at=OCTOBER - DAY)
    owed.clocks[-1]["deadline_ns"] = OCTOBER + 1
    told = closed(5 * DAY, at=OCTOBER - 9 * DAY).then(Step.APPEAL, 5 * DAY)
    later = reported(at=NOVEMBER)
    await stored(cloud_engine, over, owed, told, later)
    async with reading(cloud_engine) as conn:
        found = [history async for history in histories(conn, MONTH.known(MADE))]
    assert found == [owed.history(), told.history()]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        pytest.param({}, 1, id="closed the day before"),
        pytest.param({"state": "void"}, 0, id="the one before was void"),
        pytest.param({"device": "cover-2"}, 0, id="of another device"),
        pytest.param({"matter": "cover_shifted"}, 0, id="another matter"),
        pytest.param({"closed_ns": OCTOBER + 3 * DAY}, 0, id="closed after this one was opened"),
    ],
)
async def test_the_case_before_is_the_last_one_closed_of_the_same_device_and_matter(
    cloud_engine: AsyncEngine, change: dict[str, object], again: int
) -> None:
    first, second = closed(at=OCTOBER - DAY, device="cover-1"), reported(at=OCTOBER + DAY, device="cover-1")
    await stored(cloud_engine, first, second)
    if change:
        async with writing(cloud_engine) as conn:
            await conn.execute(update(cases).where(cases.c.id == 1).values(change))
    found = {line.indicator.code: line for line in (await report(cloud_engine, MONTH, By.CITY, MADE)).of_city()}
    assert (found["repeat_case_rate"].numerator, found["repeat_case_rate"].denominator) == (again, 1)


async def test_an_empty_store_has_no_data(cloud_engine: AsyncEngine) -> None:
    empty = await report(cloud_engine, MONTH, By.DEPARTMENT, MADE)
    assert {line.value for line in empty.of_city() if line.denominator is not None} == {None}
    assert list(empty.of_groups()) == []


async def test_a_page_costs_three_questions_however_many_cases_it_holds(cloud_engine: AsyncEngine) -> None:
    await stored(cloud_engine, *many(random.Random(2), 20))  # noqa: S311 - repeatable stories, no secret
    asked: list[str] = []
    event.listen(cloud_engine.sync_engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for page, pages in ((500, 1), (5, 4)):
        asked.clear()
        await report(cloud_engine, MONTH, By.CITY, MADE, page=page)
        assert sum("SELECT" in statement for statement in asked) == 1 + 3 * pages


@pytest.fixture
async def a_file(tmp_path: Path, migrated_file: Path) -> AsyncIterator[AsyncEngine]:
    shutil.copy(migrated_file, tmp_path / "cloud.db")
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}")
    yield engine
    await engine.dispose()


async def test_the_case_before_is_looked_up_by_its_device(a_file: AsyncEngine) -> None:
    """Not among all closed cases of the city, which made a month of a city's cases take minutes."""
    await stored(a_file, reported())
    asked: list[tuple[str, tuple[object, ...]]] = []
    event.listen(a_file.sync_engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    await report(a_file, MONTH, By.CITY, MADE)
    [(wanted, parameters)] = [(statement, given) for statement, given in asked if "max(" in statement]
    async with reading(a_file) as conn:
        plan = str((await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {wanted}", parameters)).all())
    assert "SEARCH before USING INDEX ix_cases_device" in plan
