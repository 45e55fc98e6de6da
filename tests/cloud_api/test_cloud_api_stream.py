"""The event stream: order, resuming, coalescing, and a prompt end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cloud_api_world import ALARM, World

from cloud.api import stream as module
from cloud.api.stream import Coalescer
from cloud.feed import FeedItem

Event = tuple[int | None, str, dict[str, Any]]


async def _events(city: World, **headers: str) -> AsyncIterator[Event]:
    async with city.session.get("/api/stream", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for raw in response.content:
            line = raw.decode().rstrip("\n")
            if not line and "data" in fields:
                yield (int(fields["id"]) if "id" in fields else None, fields["event"], json.loads(fields["data"]))
                fields = {}
            elif line and not line.startswith((":", "retry")):
                name, _, value = line.partition(": ")
                fields[name] = value


async def _opened(city: World, count: int = 1) -> None:
    async with asyncio.timeout(5):
        while (await city.get("/api/health"))["streams"] != count:  # noqa: ASYNC110 - asks as a client would
            await asyncio.sleep(0.01)


async def test_news_arrive_and_a_reader_that_comes_back_gets_what_it_missed(city: World) -> None:
    feed = city.services.feed
    first = aiter(_events(city))
    waiting = asyncio.ensure_future(anext(first))
    await _opened(city)
    feed.publish("case", {"id": 7})
    seen, kind, data = await asyncio.wait_for(waiting, 5)
    assert (kind, data) == ("case", {"id": 7})
    await first.aclose()
    await _opened(city, 0)
    feed.publish("case", {"id": 8})
    feed.publish("alarm", {"id": ALARM})
    again = aiter(_events(city, **{"Last-Event-ID": str(seen)}))
    assert [(await asyncio.wait_for(anext(again), 5))[1:] for _ in range(2)] == [("case", {"id": 8}), ("alarm", {"id": ALARM})]
    await again.aclose()


async def test_a_reader_that_was_away_too_long_is_told_of_the_gap(city: World) -> None:
    for n in range(150):
        city.services.feed.publish("case", {"id": n})
    news = aiter(_events(city, **{"Last-Event-ID": "10"}))
    assert await anext(news) == (50, "gap", {"missed": 40})
    assert (await anext(news))[0] == 51
    await news.aclose()


async def test_acknowledging_is_heard_by_whoever_listens(city: World) -> None:
    news = aiter(_events(city))
    waiting = asyncio.ensure_future(anext(news))
    await _opened(city)
    await city.post(f"/api/alarms/{ALARM}/acknowledge", {"actor": "li.wei"})
    _, kind, data = await asyncio.wait_for(waiting, 5)
    assert kind in {"alarm", "transition"}
    assert data["device"] == "cover-1"
    await news.aclose()


async def test_only_the_kinds_asked_for_are_sent(city: World) -> None:
    feed = city.services.feed
    feed.publish("device", {"id": "d"})
    feed.publish("case", {"id": 1})
    async with city.session.get("/api/stream?kind=case&last_event_id=0") as response:
        text = (await response.content.readuntil(b"\n\n") + await response.content.readuntil(b"\n\n")).decode()
    assert "event: case" in text
    assert "device" not in text


async def test_silence_is_filled_with_comments(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.02)
    async with city.session.get("/api/stream") as response:
        assert b"keep-alive" in await asyncio.wait_for(response.content.readuntil(b"alive\n\n"), 5)


async def test_the_server_ends_promptly_while_streams_are_open(city: World) -> None:
    async with city.session.get("/api/stream") as response:
        await _opened(city)
        start = time.monotonic()
        city.stop.set()
        async with asyncio.timeout(5):
            while await response.content.read(100):
                pass
    assert time.monotonic() - start < 1


async def test_streams_beyond_the_limit_are_refused(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STREAMS", 1)
    async with city.session.get("/api/stream"):
        await _opened(city)
        problem = await city.get("/api/stream", status=503)
    assert problem["reason"] == "queue_full"


def _device(number: int, name: str) -> FeedItem:
    return FeedItem(number, "device", {"id": name, "n": number})


def test_the_first_word_of_a_device_goes_out_at_once_and_the_next_ones_as_one() -> None:
    held = Coalescer()
    assert b'"n":1' in held.take(_device(1, "a"), 10.0)
    assert held.take(_device(2, "a"), 10.01) == b""
    assert held.take(_device(3, "a"), 10.02) == b""
    assert held.wait_s(10.05, 15.0) == pytest.approx(0.2)
    assert held.flush(10.25) == b'id: 3\nevent: device\ndata: {"id":"a","n":3}\n\n'
    assert held.wait_s(10.25, 15.0) == 15.0


def test_an_event_does_not_step_over_a_devices_held_news() -> None:
    held = Coalescer()
    held.take(_device(1, "a"), 10.0)
    held.take(_device(2, "a"), 10.01)
    overtaking = held.take(FeedItem(3, "case", {"id": 7}), 10.02)
    assert overtaking == b'event: case\ndata: {"id":7}\n\n'
    assert held.flush(10.3).startswith(b"id: 3\n")


def test_a_stream_that_never_rests_still_flushes() -> None:
    held, sent = Coalescer(), 0
    for n in range(1000):
        sent += held.take(_device(n, f"d{n % 3}"), 10.0 + n / 1000).count(b"event: device")
    assert 3 * 3 <= sent <= 3 * 5
