"""Numbers and rows of SensorThings, on both databases."""

from pathlib import Path
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import writing
from cloud.relational.tables import devices
from cloud.sensorthings.ask import Ask, Budget, conditions
from cloud.sensorthings.expression import read_filter
from cloud.sensorthings.model import SETS, Entity
from cloud.sensorthings.options import read_options, read_pairs
from cloud.sensorthings.query import Query
from cloud.sensorthings.stores import Stores
from cloud.series.duckdb_store import DuckStore
from device_profiles.loader import load_vocabulary
from device_profiles.shelf import load_catalog
from telemetry.clock import ManualClock

CATALOG = load_catalog()
METRICS = len(CATALOG["cover_nbiot"].metrics)


def device(name: str, first_seen_ns: int, version: int = 1) -> dict[str, Any]:
    return {
        "id": name, "gateway": "gw-1", "profile": "cover_nbiot", "profile_version": version, "kind": "manhole_cover", "name": "",
        "component_code": "", "longitude": 121.5, "latitude": 31.2, "first_seen_ns": first_seen_ns, "last_reading_ns": None,
    }  # fmt: skip


async def add(engine: AsyncEngine, *rows: dict[str, Any]) -> None:
    async with writing(engine) as conn:
        await conn.execute(devices.insert(), list(rows))


async def listed(stores: Stores, kind: str, text: str = "") -> list[Entity]:
    where = conditions(read_filter(text)) if text else []
    ask = Ask(kind=SETS[kind], where=where, wanted=frozenset())
    return [entity async for part in stores.parts(ask, Budget()) for entity in part]


async def test_numbers_are_given_once_and_rows_are_found_by_them(cloud_engine: AsyncEngine, tmp_path: Path) -> None:
    clock = ManualClock()
    series = DuckStore(tmp_path / "series.duckdb", clock)
    await series.open()
    stores = Stores(engine=cloud_engine, series=series, catalog=CATALOG, vocabulary=load_vocabulary(), clock=clock)
    await add(cloud_engine, device("b", 2 * 10**18), device("a", 10**18))
    await stores.numbers.keep()
    before = {entity.values["name"]: entity.id for entity in await listed(stores, "Datastreams")}
    assert [entity.values["name"] for entity in await listed(stores, "Things")] == ["a", "b"]
    assert len(before) == 2 * METRICS

    # One leaves a version as another joins it: the number of devices of each is what it was.
    async with writing(cloud_engine) as conn:
        await conn.execute(update(devices).where(devices.c.id == "a").values(profile_version=2))
    await add(cloud_engine, device("0", 15 * 10**17))
    await stores.numbers.keep()
    assert len(await listed(stores, "Things")) == 2, "it looks every five seconds at most"
    clock.advance(6)
    await stores.numbers.keep()
    after = {entity.values["name"]: entity.id for entity in await listed(stores, "Datastreams")}
    assert before.items() < after.items()
    assert len(after) == 3 * METRICS
    assert [entity.values["name"] for entity in await listed(stores, "Sensors")] == ["cover_nbiot v1", "cover_nbiot v2"]

    [number] = [entity.id for entity in await listed(stores, "ObservedProperties", "name eq 'tilt_deg'")]
    assert len(await listed(stores, "Datastreams", f"ObservedProperty/id eq {number}")) == 3
    assert len(await listed(stores, "Datastreams", "Thing/properties/device eq 'a' and id gt 0 and 5 ge id")) == 5
    assert len(await listed(stores, "Things", "id lt 99999999999999999999999")) == 3
    for text in ("Thing/properties/device eq 'a'", "Sensor/name eq 'cover_nbiot v2'"):
        options = read_options(
            SETS["Datastreams"], read_pairs(f"$filter={text}&$count=true&$top=3&$orderby=id desc&$select=name")
        )
        page = await Query(stores).page(options, {})
        assert page.count == METRICS
        assert [each.entity.refs["thing"] for each in page.items] == [1, 1, 1]
    counted = await Query(stores).page(read_options(SETS["Datastreams"], read_pairs("$count=true&$top=0")), {"thing": 2})
    assert counted.count == METRICS
    await series.close()
