"""What dashboards and the map wait for, asked of a whole cloud through HTTP, while a gateway sends values without pause.

One cloud with a million devices on its map and thirty days of a few devices' past; broker, series store, gateway and cloud each
as in the street, all on this machine. One question after the other, as one person asks; the streams all at once.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import numpy as np

from benchmarks.atlas import Spread, make_city, page_paths, search_paths, tile_paths, timed
from benchmarks.history import Road, ask_chart, fill_past, known, writing_road
from benchmarks.ingest import StoreKind, cloud_process
from benchmarks.load import METRICS, raised
from benchmarks.servers import influxd, mosquitto
from cloud.relational.engine import make_engine
from cloud.relational.migrate import migrate
from telemetry.clock import SECOND_NS

__all__ = ["ApiFigures", "measure_api"]

_PIXELS: Final = 1000
_PAST: Final = 4
_MIDDLE: Final = (113.30, 23.10)
_ZOOMS: Final = (10, 12, 15)
_LATEST: Final = 1000
_BETWEEN_S: Final = 1.5
_PATIENCE_S: Final = 600.0


class ApiFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds, but for `load_s`. `history` is 30 days of 1-minute data of 4 metrics as 2,000 points each,
    `naive_history` the same past read raw; `told` is from the gateway's outbox to each reader of each stream,
    `to_map` to the tile that shows it."""

    store: StoreKind
    devices: int
    written_values_per_s: int
    load_s: float
    history: Spread
    naive_history: Spread
    latest_1000: Spread
    search: Spread
    page: Spread
    tiles: dict[str, Spread]
    streams: int
    told: Spread
    to_map: Spread


async def measure_api(
    store: StoreKind,
    *,
    devices: int = 1_000_000,
    asked: int = 200,
    streams: int = 200,
    alarms: int = 20,
    values_per_s: int = 50_000,
    tell: Callable[[str], None] = lambda _: None,
) -> ApiFigures:
    """Everything of `ApiFigures`; some minutes, most of them for making the city."""
    past = [f"past-{n:02}" for n in range(_PAST)]
    spots = {f"spot-{n:02}": (_MIDDLE[0] + 0.01 * n, _MIDDLE[1]) for n in range(alarms)}
    with tempfile.TemporaryDirectory(prefix="citynerve-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        series = f"duckdb:{folder / 'past.duckdb'}"
        if store is StoreKind.INFLUX:
            series = f"influx:{stack.enter_context(influxd(folder))}/past"
        end_ns = time.time_ns() // (60 * SECOND_NS) * 60 * SECOND_NS
        tell("thirty days of the past")
        await fill_past(series, past, end_ns)
        tell(f"a city of {devices:,} devices")
        places = await _city(folder, devices)
        broker = f"mqtt://127.0.0.1:{stack.enter_context(mosquitto(folder))}"
        tell("the cloud")
        began = time.perf_counter()
        base = stack.enter_context(cloud_process(folder, broker, series, patience_s=_PATIENCE_S))
        edge = folder / "edge"
        edge.mkdir()
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(base, timeout=timeout, connector=connector) as session,
            writing_road(edge, broker, past, values_per_s, spots) as road,
        ):
            await _ready(session)
            load_s = time.perf_counter() - began
            await known(session, [*past, *spots])
            await asyncio.sleep(5)
            acked, since = road.acked, time.perf_counter()
            tell("history")
            charts = [await ask_chart(session, past[n % _PAST], end_ns, pixels=_PIXELS) for n in range(asked)]
            naive = [await ask_chart(session, past[n % _PAST], end_ns, limit=50_000) for n in range(5)]
            tell("lists, searches, tiles")
            latest = await _latest(session, devices, asked)
            search = await timed(session, search_paths(asked))
            page = await timed(session, page_paths(asked))
            tiles = {str(zoom): await timed(session, tile_paths(places, zoom, asked)) for zoom in _ZOOMS}
            tell(f"{streams} streams")
            told, to_map = await _news(session, road, spots, streams)
            rate = (road.acked - acked) * len(METRICS) / (time.perf_counter() - since)
    return ApiFigures(
        store=store, devices=devices, written_values_per_s=round(rate), load_s=round(load_s, 1),
        history=_spread([answer.ms for answer in charts]), naive_history=_spread([answer.ms for answer in naive]),
        latest_1000=latest, search=search, page=page, tiles=tiles, streams=streams, told=_spread(told), to_map=_spread(to_map),
    )  # fmt: skip


async def _city(folder: Path, devices: int) -> Any:
    (folder / "cloud").mkdir()
    engine = make_engine(f"sqlite+aiosqlite:///{folder / 'cloud' / 'cloud.db'}")
    try:
        await migrate(engine)
        return await make_city(engine, devices)
    finally:
        await engine.dispose()


async def _ready(session: aiohttp.ClientSession) -> None:
    """Returns when the map knows every device."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            async with session.get("/api/map") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.5)


async def _latest(session: aiohttp.ClientSession, devices: int, asked: int) -> Spread:
    """The newest values of 1,000 devices in one question."""
    names: list[str] = []
    cursor = ""
    while len(names) < min(_LATEST, devices):
        async with session.get("/api/devices", params={"limit": "1000", **({"cursor": cursor} if cursor else {})}) as answer:
            found = await answer.json()
        names += [device["id"] for device in found["items"]]
        cursor = found["next"]
    taken = []
    for _ in range(asked):
        began = time.perf_counter()
        async with session.post("/api/latest", json={"devices": names[:_LATEST]}) as answer:
            await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"latest answered {answer.status}")
        taken.append((time.perf_counter() - began) * 1000)
    return _spread(taken)


async def _news(
    session: aiohttp.ClientSession, road: Road, spots: dict[str, tuple[float, float]], streams: int
) -> tuple[list[float], list[float]]:
    """One alarm after the other: when each of the readers heard, and when the tile at its place was another."""
    said: dict[str, float] = {}
    told: list[float] = []
    to_map: list[float] = []
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        readers = []
        for _ in range(streams):
            stream = await stack.enter_async_context(session.get("/api/stream?kind=alarm"))
            readers.append(tasks.create_task(_follow(stream, said, told)))
        for device, place in spots.items():
            path = tile_paths((np.array([place[0]]), np.array([place[1]])), 14, 1)[0]
            before = await _etag(session, path)
            said[device] = began = time.perf_counter()
            await road.outbox.commit([], [raised(device, time.time_ns())])
            async with asyncio.timeout(60):
                while await _etag(session, path) == before:  # noqa: ASYNC110 - a measurement looks from outside
                    await asyncio.sleep(0.05)
            to_map.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(max(0.0, began + _BETWEEN_S - time.perf_counter()))
        for reader in readers:
            reader.cancel()
    return told, to_map


async def _follow(stream: aiohttp.ClientResponse, said: dict[str, float], told: list[float]) -> None:
    heard: set[str] = set()
    async for line in stream.content:
        if line.startswith(b"data: "):
            device = msgspec.json.decode(line[6:]).get("device")
            if device in said and device not in heard:
                heard.add(device)
                told.append((time.perf_counter() - said[device]) * 1000)


async def _etag(session: aiohttp.ClientSession, path: str) -> str:
    async with session.get(path) as answer:
        await answer.read()
        return answer.headers["ETag"]


def _spread(taken: Sequence[float]) -> Spread:
    if len(taken) < 2:
        raise RuntimeError("nothing was measured")
    p95 = statistics.quantiles(taken, n=20, method="inclusive")[-1]
    return Spread(round(statistics.median(taken), 2), round(p95, 2), round(max(taken), 2))
