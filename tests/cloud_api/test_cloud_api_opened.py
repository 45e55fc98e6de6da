"""The link at the end of a message."""

from cloud_api_world import NOW_NS, World
from sqlalchemy import select, update

from cloud.relational.engine import reading, writing
from cloud.relational.tables import notifications

TOKEN = "Ab3-_x9Zq0Lk"  # noqa: S105 - the end of a link


async def _opened(city: World) -> int | None:
    async with reading(city.services.engine) as conn:
        found: int | None = await conn.scalar(select(notifications.c.opened_ns).where(notifications.c.token == TOKEN))
    return found


async def test_a_messages_link_leads_to_its_case_and_keeps_its_first_use(city: World) -> None:
    async with writing(city.services.engine) as conn:
        await conn.execute(update(notifications).values(token=TOKEN))
    assert await _opened(city) is None
    for _ in range(2):
        async with city.session.get(f"/n/{TOKEN}", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, "/cases/7")
            assert response.headers["Cache-Control"] == "no-store"
            assert "Set-Cookie" not in response.headers
        assert await _opened(city) == NOW_NS
        city.clock.advance(60)


async def test_a_digests_link_leads_to_the_cases(city: World) -> None:
    async with writing(city.services.engine) as conn:
        await conn.execute(update(notifications).values(token=TOKEN, case_id=None))
    async with city.session.get(f"/n/{TOKEN}", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "/cases")


async def test_a_link_that_is_none_leads_nowhere(city: World) -> None:
    problem = await city.get(f"/n/{TOKEN}", 404)
    assert problem["reason"] == "not_found"
    await city.get("/n/short", 422)
