"""A map of a million devices from one process: how long it takes to load, and what each question costs through HTTP.

The city is made up: forty neighbourhoods, each a normal distribution of 3 km about its middle; half a percent of the devices
have a critical alarm, one percent another one, two percent are offline.
"""

import asyncio
import contextlib
import os
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import numpy as np

from cloud.api.app import build_app
from cloud.api.server import listen, serve
from cloud.api.services import Services
from cloud.atlas.mercator import units
from cloud.cases.desk import Desk
from cloud.counts import CloudCounts
from cloud.feed import Feed
from cloud.relational.engine import make_engine, writing
from cloud.relational.tables import alarms, cases, devices, gateways, metadata
from cloud.series.open import make_store
from device_profiles.shelf import load_catalog
from telemetry.clock import SECOND_NS, SystemClock

__all__ = ["AtlasResult", "Spread", "make_city", "measure_atlas", "page_paths", "search_paths", "tile_paths", "timed"]

_PART: Final = 20_000
_BLOBS: Final = 40
_MIDDLE: Final = (113.30, 23.10)
_HEARD_NS: Final = 60 * SECOND_NS
_LONG_AGO_NS: Final = 400 * 86_400 * SECOND_NS
_ZOOMS: Final = (10, 12, 15)
_WORDS: Final = ("lamp-0999999", "中山路4999", "路灯7", "44010500009", "nothing-such", "cover")


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p95: float
    most: float


class AtlasResult(msgspec.Struct, frozen=True):
    """Seconds, MiB and milliseconds. `changed_s`: from the news of an alarm to the event that names its tile."""

    devices: int
    load_s: float
    memory_mb: float
    changes_10k_ms: float
    tiles: dict[str, Spread]
    filtered: Spread
    search: Spread
    page: Spread
    changed_s: list[float]


async def measure_atlas(
    folder: Path,
    *,
    devices_count: int = 1_000_000,
    requests: int = 300,
    load: Callable[[Services], Awaitable[None]] | None = None,
) -> AtlasResult:
    """Make the city in `folder`, serve it, ask. `load` runs meanwhile, for instance writing; it is cancelled at the end."""
    engine = make_engine(f"sqlite+aiosqlite:///{folder / 'cloud.db'}")
    series = make_store(f"duckdb:{folder / 'series.duckdb'}", SystemClock())
    await series.open()
    try:
        async with engine.begin() as conn:
            await conn.run_sync(metadata.create_all)
        places = await make_city(engine, devices_count)
        before = _memory_mb()
        services = Services(
            engine=engine, series=series, desk=Desk(catalog=load_catalog()), feed=Feed(), clock=SystemClock(), counts=_counts
        )
        start = time.perf_counter()
        async with _served(services) as session:
            await services.atlas.ready.wait()
            load_s, memory_mb = time.perf_counter() - start, _memory_mb() - before
            changes = _changes(services, devices_count)
            async with asyncio.TaskGroup() as tasks:
                beside = None if load is None else tasks.create_task(_run(load, services))
                result = AtlasResult(
                    devices=devices_count,
                    load_s=round(load_s, 2),
                    memory_mb=round(memory_mb, 1),
                    changes_10k_ms=changes,
                    tiles={str(zoom): await timed(session, tile_paths(places, zoom, requests)) for zoom in _ZOOMS},
                    filtered=await timed(session, [f"{path}?kind=street_lamp" for path in tile_paths(places, 11, requests // 3)]),
                    search=await timed(session, search_paths(requests)),
                    page=await timed(session, page_paths(requests)),
                    changed_s=[await _changed(services, session, places, n) for n in range(5)],
                )
                if beside is not None:
                    beside.cancel()
        return result
    finally:
        await series.close()
        await engine.dispose()


async def _run(load: Callable[[Services], Awaitable[None]], services: Services) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await load(services)


@contextlib.asynccontextmanager
async def _served(services: Services) -> AsyncIterator[aiohttp.ClientSession]:
    bound, up = listen("127.0.0.1", 0), asyncio.Event()
    base = f"http://127.0.0.1:{bound.getsockname()[1]}"
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(build_app(services), bound, services.stop, up.set))
        await up.wait()
        async with aiohttp.ClientSession(base) as session:
            yield session
        services.stop.set()


async def _counts() -> CloudCounts:
    return CloudCounts()


async def make_city(engine: Any, count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Fills the tables, which are there and empty; the longitudes and latitudes."""
    chance = np.random.default_rng(7)
    blob = chance.integers(0, _BLOBS, count)
    middle = [chance.normal(degrees, 0.2, _BLOBS) for degrees in _MIDDLE]
    longitude, latitude = (centre[blob] + chance.normal(0, 0.03, count) for centre in middle)
    now_ns = time.time_ns()
    fate = chance.random(count)
    async with writing(engine) as conn:
        await conn.execute(gateways.insert(), [_gateway(n, now_ns) for n in range(max(1, count // 500))])
    for start in range(0, count, _PART):
        some = range(start, min(start + _PART, count))
        rows = [_device(n, float(longitude[n]), float(latitude[n]), float(fate[n]), now_ns) for n in some]
        bad = [n for n in some if fate[n] < 0.015]
        async with writing(engine) as conn:
            await conn.execute(devices.insert(), rows)
            if bad:
                await conn.execute(alarms.insert(), [_alarm(n, "critical" if fate[n] < 0.005 else "high", now_ns) for n in bad])
    async with writing(engine) as conn:
        every = max(1, count // 5_000)
        await conn.execute(
            cases.insert(), [_case(n, float(longitude[n]), float(latitude[n]), now_ns) for n in range(0, count, every)]
        )
    return longitude, latitude


def _id(n: int) -> str:
    return f"{'lamp' if n % 3 else 'cover'}-{n:07d}"


def _device(n: int, longitude: float, latitude: float, fate: float, now_ns: int) -> dict[str, Any]:
    profile, kind = ("lamp_nbiot", "street_lamp") if n % 3 else ("cover_nbiot", "manhole_cover")
    return {
        "id": _id(n), "gateway": f"gw-{n // 500}", "profile": profile, "profile_version": 1, "kind": kind,
        "name": f"中山路{n % 5000}号路灯{n % 97}", "component_code": f"{4401050000000000 + n:016d}", "longitude": longitude,
        "latitude": latitude, "first_seen_ns": 1,
        "last_reading_ns": now_ns - (_LONG_AGO_NS if fate > 0.98 else _HEARD_NS),
    }  # fmt: skip


def _gateway(n: int, now_ns: int) -> dict[str, Any]:
    return {"id": f"gw-{n}", "first_seen_ns": 1, "last_seen_ns": now_ns, "online": True}


def _alarm(n: int, priority: str, now_ns: int) -> dict[str, Any]:
    return {
        "id": f"{_id(n)}/tilted/{now_ns}", "device": _id(n), "rule": "tilted", "profile": "cover_nbiot", "profile_version": 1,
        "priority": priority, "state": "unacknowledged", "raised_ns": now_ns,
    }  # fmt: skip


def _case(n: int, longitude: float, latitude: float, now_ns: int) -> dict[str, Any]:
    return {
        "device": _id(n), "matter": "cover_displaced", "gbt_code": "0101", "department": "municipal", "title_zh": "井盖缺失",
        "title_en": "Cover missing", "priority": "high", "state": "dispatched", "longitude": longitude, "latitude": latitude,
        "opened_ns": now_ns,
    }  # fmt: skip


def _changes(services: Services, count: int) -> float:
    """Milliseconds for 10,000 devices to change their states in the index and in every zoom, and back."""
    index, now_ns = services.atlas.index, time.time_ns()
    some = np.random.default_rng(3).choice(count, min(count, 10_000), replace=False)
    before = index.column("alarms")[some].astype(np.int64)
    critical = index.column("critical")[some].astype(np.int64)
    start = time.perf_counter()
    index.count(some, now_ns, alarms=before + 1, critical=critical + 1)
    taken = time.perf_counter() - start
    index.count(some, now_ns, alarms=before, critical=critical)
    return round(taken * 1000, 2)


def tile_paths(places: tuple[Any, Any], zoom: int, count: int) -> list[str]:
    """Tiles that hold devices, as many different ones as there are, those with most devices as often as they have any."""
    x, y = units(*places)
    some = np.random.default_rng(zoom).integers(0, len(x), count)
    shift = np.uint32(32 - zoom)
    return [f"/api/tiles/{zoom}/{int(x[n] >> shift)}/{int(y[n] >> shift)}.mvt" for n in some]


def search_paths(count: int) -> list[str]:
    return [f"/api/devices/search?q={_WORDS[n % len(_WORDS)]}" for n in range(count)]


def page_paths(count: int) -> list[str]:
    shapes = (
        "state=critical",
        "kind=manhole_cover&state=offline",
        "q=7%E5%8F%B7",
        "box=113.2,23.0,113.4,23.2",
        "gateway=gw-77",
        "",
    )
    return [f"/api/devices?limit=100&{shapes[n % len(shapes)]}" for n in range(count)]


async def timed(session: aiohttp.ClientSession, paths: Sequence[str]) -> Spread:
    taken = []
    for path in paths:
        start = time.perf_counter()
        async with session.get(path) as answer:
            await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status}")
        taken.append((time.perf_counter() - start) * 1000)
    return Spread(*(round(float(np.quantile(taken, part)), 2) for part in (0.5, 0.95, 1.0)))


async def _changed(services: Services, session: aiohttp.ClientSession, places: tuple[Any, Any], n: int) -> float:
    """Raise an alarm of a device, and wait until the stream says that its tile is another."""
    longitude, latitude = float(places[0][n]), float(places[1][n])
    box = f"{longitude - 0.01},{latitude - 0.01},{longitude + 0.01},{latitude + 0.01}"
    async with session.get(f"/api/stream?kind=tiles&zoom=14&box={box}") as stream:
        await stream.content.readuntil(b'"tiles":[]}\n\n')
        start = time.perf_counter()
        now_ns = time.time_ns()
        async with writing(services.engine) as conn:
            await conn.execute(alarms.insert().values(_alarm(n, "critical", now_ns)))
        services.feed.publish("alarm", {"id": f"{_id(n)}/tilted/{now_ns}", "device": _id(n)})
        await asyncio.wait_for(stream.content.readuntil(b"\n\n"), 30)
        return round(time.perf_counter() - start, 3)


def _memory_mb() -> float:
    """What the process holds now (Linux), or the most that it ever held."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
