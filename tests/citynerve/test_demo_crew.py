"""The demo's crew beside a visitor who works on the same cases."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from citynerve.demo.crew import Crew
from cloud.feed import Feed

TAKEN, FREE = 1, 2
CLOSED = {"state": "closed", "version": 2, "longitude": None, "latitude": None, "closes_when": None}


@pytest.fixture
async def asked() -> AsyncIterator[tuple[str, list[int]]]:
    """An API where somebody else has just acted on one of two cases: its address, and the cases that were acted on."""
    steps: list[int] = []

    async def photo(_request: web.Request) -> web.Response:
        return web.json_response({"id": "0" * 64, "size": 1})

    async def case(_request: web.Request) -> web.Response:
        return web.json_response({**CLOSED, "state": "dispatched", "version": 1})

    async def step(request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        steps.append(number)
        return web.json_response(CLOSED, status=409 if number == TAKEN else 200)

    app = web.Application()
    app.add_routes([web.post("/api/evidence", photo), web.get("/api/cases/{id}", case), web.post("/api/cases/{id}/steps", step)])
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}", steps


async def test_the_crew_leaves_a_case_to_whoever_acts_on_it_and_goes_on_with_the_next(
    asked: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, steps = asked
    feed = Feed()

    async def at_once(_seconds: float) -> None:
        return None

    monkeypatch.setattr("citynerve.demo.crew.asyncio.sleep", at_once)
    work = asyncio.ensure_future(Crew(address).work(feed))
    await asyncio.wait([work], timeout=0.05)
    for number, device in ((TAKEN, "cover-1"), (FREE, "cover-2")):
        feed.publish("case", {"id": number, "device": device, "state": "dispatched"})
        feed.publish("transition", {"device": device, "cause": "return"})
    async with asyncio.timeout(5):
        while FREE not in steps:
            await asyncio.wait([work], timeout=0.02)
            assert not work.done()
    assert steps == [TAKEN, FREE]
    work.cancel()
    await asyncio.wait([work])
