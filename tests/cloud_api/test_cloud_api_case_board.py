"""The board of cases: counts of all, cards of the most urgent."""

from typing import Any

import pytest
from cloud_api_world import CHEAP, NOW_NS, World
from sqlalchemy import select

from cloud.accounts.accounts import Accounts
from cloud.accounts.roles import AccountRole, Grant
from cloud.relational.engine import reading, writing
from cloud.relational.tables import case_steps, cases
from telemetry.clock import SECOND_NS

pytestmark = pytest.mark.asyncio

HOUR_NS = 3600 * SECOND_NS
PHOTOS = ["a" * 64, "b" * 64, "c" * 64, "d" * 64]


async def add(city: World, count: int, first: int = 100, **more: Any) -> None:
    """So many cases like the one that is there, each due an hour before the next one; the last is due first."""
    async with writing(city.services.engine) as conn:
        like = dict((await conn.execute(select(cases).where(cases.c.id == 7))).mappings().one())
        rows = [{**like, "id": first + n, "device": None, "due_ns": NOW_NS + (90 - n) * HOUR_NS, **more} for n in range(count)]
        await conn.execute(cases.insert(), rows)


async def columns(city: World, query: str = "", **headers: str) -> dict[str, tuple[int, list[int]]]:
    """state -> how many, and the numbers of the cards."""
    board = await city.get(f"/api/board{query}", **headers)
    return {each["state"]: (each["count"], [card["id"] for card in each["items"]]) for each in board["columns"] if each["count"]}


async def test_each_state_has_all_counted_and_the_most_urgent_shown(city: World) -> None:
    await add(city, 60)
    await add(city, 3, first=300, state="handling")
    await add(city, 1, first=400, state="hold", due_ns=None)
    found = await columns(city, "?limit=2")
    assert found == {"dispatched": (61, [7, 159]), "handling": (3, [302, 301]), "hold": (1, [400])}
    board = await city.get("/api/board")
    assert [each["state"] for each in board["columns"]][:3] == ["reported", "verifying", "void"]
    assert len(board["columns"][4]["items"]) == 50


async def test_what_ended_stays_for_some_days_the_newest_first(city: World) -> None:
    await add(city, 1, first=500, state="closed", closed_ns=NOW_NS - 2 * 24 * HOUR_NS)
    await add(city, 1, first=501, state="closed", closed_ns=NOW_NS - 24 * HOUR_NS)
    await add(city, 1, first=502, state="closed", closed_ns=NOW_NS - 9 * 24 * HOUR_NS)
    assert (await columns(city))["closed"] == (2, [501, 500])
    assert (await columns(city, "?days=30"))["closed"] == (3, [501, 500, 502])


async def test_a_card_shows_its_newest_photos_and_what_was_extended_or_reworked_is_counted(city: World) -> None:
    await add(city, 2, first=600, extensions=1)
    await add(city, 1, first=610, reworks=2)
    async with writing(city.services.engine) as conn:
        step = {"from_state": "handling", "to_state": "handling", "actor": "li.wei", "at_ns": NOW_NS, "case_id": 7}
        await conn.execute(case_steps.insert().values(step="found", photos=PHOTOS[:2], **step))
        await conn.execute(case_steps.insert().values(step="submit", photos=PHOTOS[2:], **step))
    board = await city.get("/api/board")
    cards = {card["id"]: card for each in board["columns"] for card in each["items"]}
    assert (cards[7]["photos"], cards[600]["photos"], cards[600]["extensions"]) == ([*PHOTOS[2:], PHOTOS[0]], [], 1)
    assert (board["extended"], board["reworked"]) == (2, 1)


async def test_it_is_narrowed_by_department_district_and_person(city: World) -> None:
    await add(city, 2, first=700, district="tianhe")
    await add(city, 1, first=710, district="yuexiu", department="lamps", assignee="li.wei")
    assert (await columns(city, "?district=tianhe"))["dispatched"] == (2, [701, 700])
    assert (await columns(city, "?department=lamps&assignee=li.wei"))["dispatched"] == (1, [710])
    assert await columns(city, "?department=%E6%B2%A1%E6%9C%89") == {}


async def test_cases_of_other_districts_are_not_even_counted(city: World) -> None:
    await add(city, 2, first=700, district="tianhe")
    await add(city, 3, first=710, district="yuexiu")
    accounts = Accounts(city.services.engine, city.clock, CHEAP)
    await accounts.add("desk", "lamp cover toilet drain", (Grant(AccountRole.OPERATOR, "yuexiu"),), "Desk")
    answer = await city.post("/api/session", {"name": "desk", "password": "lamp cover toilet drain"})
    found = await columns(city, Authorization=f"Bearer {answer['token']}")
    assert found["dispatched"] == (4, [7, 712, 711, 710])


@pytest.mark.parametrize("query", ["?limit=0", "?limit=201", "?days=0", "?district=a%20b", "?department=%00", "?state=open"])
async def test_what_no_board_can_be_is_refused(city: World, query: str) -> None:
    await city.get(f"/api/board{query}", status=422)


async def test_the_store_is_only_read(city: World) -> None:
    async def rows() -> list[Any]:
        async with reading(city.services.engine) as conn:
            return [tuple(row) for row in await conn.execute(select(cases))]

    before = await rows()
    await city.get("/api/board")
    assert await rows() == before
