"""A street with a few devices, in real stores, behind the door of SensorThings on a loopback port."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from cloud.accounts.accounts import AccountPolicy
from cloud.accounts.passwords import Cost
from cloud.api.app import build_app
from cloud.api.headers import MAX_BODY_BYTES
from cloud.api.server import listen, serve
from cloud.api.services import Services
from cloud.cases.desk import Desk
from cloud.counts import CloudCounts
from cloud.feed import Feed
from cloud.relational.engine import make_engine, writing
from cloud.relational.tables import devices, metadata
from cloud.sensorthings.door import PATH, Door, install
from cloud.series.duckdb_store import DuckStore
from cloud.series.store import SeriesStore
from device_profiles.loader import load_vocabulary
from device_profiles.shelf import load_catalog
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Reading
from telemetry.wire import ReadingsBatch, group_readings

NOW_NS = 1_763_647_200 * SECOND_NS  # 2025-11-20T14:00:00Z
MINUTE_NS = 60 * SECOND_NS
CATALOG = load_catalog()
VOCABULARY = load_vocabulary()
COVER, TOILET, TRUCK = "cover_nbiot", "toilet_air_modbus", "vehicle_terminal"


class Watched:
    """The series store as the door has it, which counts what it is asked: others ask the store too."""

    def __init__(self, series: SeriesStore) -> None:
        self._series = series
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._series, name)


@dataclass
class World:
    """The door and what is behind it."""

    services: Services
    door: Door
    clock: ManualClock
    session: aiohttp.ClientSession
    base: str
    watched: "Watched"
    heard: list[ReadingsBatch] = field(default_factory=list)

    @property
    def asked(self) -> Counter[str]:
        """How often the door asked the series store what."""
        return self.watched.asked

    async def ask(self, path: str, status: int = 200, method: str = "GET", body: Any = None, **headers: str) -> Any:
        """What the door answers at a path below /sta/v1.1, as it is written there: JSON, text, or None where it is empty."""
        url = URL(f"{self.base}{PATH}{quote(path, safe=_AS_WRITTEN)}", encoded=True)
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None and len(data) > MAX_BODY_BYTES:
            # What is refused before it was read to its end leaves a connection that nothing else can use.
            headers["Connection"] = "close"
        async with self.session.request(method, url, data=data, headers=headers) as response:
            text = await response.text()
            assert response.status == status, f"{response.status}: {text[:500]}"
            self.last = response
            if not text:
                return None
            return json.loads(text) if "json" in response.headers["Content-Type"] else text

    async def follow(self, link: str) -> Any:
        """What is at an address that an answer gave."""
        async with self.session.get(URL(link, encoded=True)) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def stream(self, device: str, metric: str) -> int:
        """The number of a Datastream."""
        found = await self.ask(f"/Datastreams?$filter=properties/metric eq '{metric}'&$select=id,properties&$top=1000")
        return next(each["@iot.id"] for each in found["value"] if each["properties"]["device"] == device)

    async def write(self, *readings: Reading) -> None:
        """Put readings into the series store as gateways' readings come there."""
        assert await self.services.series.write([group_readings("gw-1", "e1", 1, readings)]) == []


_AS_WRITTEN = "/?&=$(),;:'@%+-._~!*"


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """The street, served until the block ends."""
    clock = ManualClock(NOW_NS)
    engine = make_engine(f"sqlite+aiosqlite:///{folder / 'cloud.db'}")
    store = DuckStore(folder / "series.duckdb", clock)
    services = Services(
        engine=engine,
        series=store,
        desk=Desk(catalog=CATALOG, channels=()),
        feed=Feed(size=100),
        clock=clock,
        counts=_counts,
        accounts=AccountPolicy(cost=Cost(passes=1, memory_kib=8, lanes=1)),
        stop=asyncio.Event(),
    )
    heard: list[ReadingsBatch] = []
    ready = asyncio.Event()
    bound = listen("127.0.0.1", 0)
    await store.open()
    try:
        async with engine.begin() as conn:
            await conn.run_sync(metadata.create_all)
        await _fill(services)
        app = build_app(services)
        watched: Any = Watched(store)
        door = install(
            app,
            replace(services, series=watched),
            VOCABULARY,
            ["mqtt://broker.example:1883"],
            lambda batch, _ns: heard.append(batch),
        )
        base = f"http://127.0.0.1:{bound.getsockname()[1]}"
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(serve(app, bound, services.stop, ready.set))
            await ready.wait()
            async with aiohttp.ClientSession() as session:
                yield World(services, door, clock, session, base, watched, heard)
            serving.cancel()
    finally:
        await store.close()
        await engine.dispose()


async def _counts() -> CloudCounts:
    return CloudCounts()


async def _fill(services: Services) -> None:
    rows = [
        _device("cover-1", COVER, "井 1", (121.5, 31.2)),
        _device("cover-2", COVER, "", (121.6, 31.3)),
        _device("toilet-1", TOILET, "Toilet O'Hara; first", None),
        _device("truck-1", TRUCK, "truck", None),
        _device("odd-1", "not_in_catalog", "odd", (120.0, 30.0)),
    ]
    async with writing(services.engine) as conn:
        await conn.execute(devices.insert(), rows)
    batch = group_readings("gw-1", "e1", 1, [*_covers(), *_truck()])
    assert await services.series.write([batch]) == []


def _device(name: str, profile: str, title: str, place: tuple[float, float] | None) -> dict[str, Any]:
    longitude, latitude = place or (None, None)
    known = CATALOG.get(profile)
    return {
        "id": name, "gateway": "gw-1", "profile": profile, "profile_version": known.version if known else 1,
        "kind": known.kind if known else "odd", "name": title, "component_code": "", "longitude": longitude,
        "latitude": latitude, "first_seen_ns": NOW_NS - 1000 * MINUTE_NS, "last_reading_ns": None,
    }  # fmt: skip


def reading(device: str, profile: str, at_ns: int, flaws: dict[str, Flaw] | None = None, **values: Any) -> Reading:
    """One reading."""
    return Reading(
        device=device, profile=profile, profile_version=1, time_ns=at_ns, received_ns=at_ns, values=values, flaws=flaws or {}
    )


def _covers() -> Sequence[Reading]:
    """Ten tilts of cover-1, one a minute up to now, the newest bad; one of cover-2."""
    bad = {"tilt_deg": Flaw(Quality.BAD, Reason.OUT_OF_RANGE)}
    found = [
        reading("cover-1", COVER, NOW_NS - (9 - step) * MINUTE_NS, bad if step == 9 else None, tilt_deg=float(step))
        for step in range(10)
    ]
    return [*found, reading("cover-2", COVER, NOW_NS - MINUTE_NS, tilt_deg=1.5)]


def _truck() -> Sequence[Reading]:
    """Five fixes on the way north, one a minute."""
    return [
        reading(
            "truck-1", TRUCK, NOW_NS - (4 - step) * MINUTE_NS, longitude_deg=121.4, latitude_deg=31.0 + step / 10, speed_kmh=30.0
        )
        for step in range(5)
    ]
