"""The feed: in order, resumable, bounded, honest about what a slow reader missed."""

import asyncio
from typing import Any

import pytest

from cloud.feed import GAP, Feed, FeedItem


async def take(feed: Feed, count: int, after: int | None = None) -> list[FeedItem]:
    found = []
    async for item in feed.subscribe(after):
        found.append(item)
        if len(found) == count:
            break
    return found


def fill(feed: Feed, count: int) -> None:
    for i in range(count):
        feed.publish("case", {"i": i})


async def test_a_reader_gets_what_comes_after_it_came() -> None:
    feed = Feed()
    fill(feed, 2)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(take(feed, 2))
        await asyncio.sleep(0)
        fill(feed, 2)
    assert [item.id for item in reading.result()] == [3, 4]


async def test_a_reader_resumes_after_an_id() -> None:
    feed = Feed()
    fill(feed, 5)
    assert [item.data["i"] for item in await take(feed, 3, after=2)] == [2, 3, 4]


async def test_a_slow_reader_is_told_how_much_it_missed() -> None:
    feed = Feed(size=3)
    reader = feed.subscribe(after=0)
    fill(feed, 1)
    assert (await anext(reader)).id == 1
    fill(feed, 9)
    assert await anext(reader) == FeedItem(7, GAP, {"missed": 6})
    assert [(await anext(reader)).id for _ in range(3)] == [8, 9, 10]


async def test_an_id_of_a_former_process_is_a_gap() -> None:
    feed = Feed(first_id=1000)
    fill(feed, 1)
    assert [(item.id, item.kind) for item in await take(feed, 2, after=17)] == [(999, GAP), (1000, "case")]


async def test_an_id_from_the_future_is_a_gap_of_unknown_size() -> None:
    feed = Feed()
    fill(feed, 1)
    [gap] = await take(feed, 1, after=500)
    assert gap == FeedItem(1, GAP, {"missed": None})


async def test_many_readers_see_the_same() -> None:
    feed = Feed()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(take(feed, 50)) for _ in range(20)]
        await asyncio.sleep(0)
        for _ in range(50):
            fill(feed, 1)
            await asyncio.sleep(0)
    assert {tuple(item.id for item in reader.result()) for reader in readers} == {tuple(range(1, 51))}


def test_an_unknown_kind_is_a_mistake_of_ours() -> None:
    data: dict[str, Any] = {}
    with pytest.raises(ValueError, match="kind"):
        Feed().publish("gossip", data)
